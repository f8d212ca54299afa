"""Pictures in memory and in files."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules import storage
from datamodules.storage import FileStore, MemoryStore

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)


def test_memory_gives_the_pictures_themselves_as_a_copy() -> None:
    store = MemoryStore(PICTURES, 8)
    read = store.read(np.asarray([4, 0, 4]))
    assert len(store) == 6
    assert np.array_equal(read, PICTURES[[4, 0, 4]])
    read[:] = 0
    assert PICTURES.any()


@pytest.mark.parametrize("size", [4, 12])
def test_memory_resizes_alike_at_once_and_when_read(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = np.asarray([5, 2])
    at_once = MemoryStore(PICTURES, size).read(chosen)
    monkeypatch.setattr(storage, "RESIDENT_BYTES", 0)
    assert np.array_equal(MemoryStore(PICTURES, size).read(chosen), at_once)
    interpolation = cv2.INTER_AREA if size < 8 else cv2.INTER_LINEAR
    expected = cv2.resize(PICTURES[5].transpose(1, 2, 0), (size, size), interpolation=interpolation)
    assert np.array_equal(at_once[0].transpose(1, 2, 0), expected)


def test_files_are_decoded_in_the_order_asked(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        picture = np.full((5, 9, 3), 0, dtype=np.uint8)
        picture[:, :, number] = 200
        files.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(files[-1]), picture[:, :, ::-1])
    read = FileStore(files, 5).read(np.asarray([2, 0]))
    assert read.shape == (2, 3, 5, 5)
    assert read[:, :, 2, 2].tolist() == [[0, 0, 200], [200, 0, 0]]
