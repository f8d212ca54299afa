"""Kept proposals: made once, whole or not at all, whoever makes them."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.proposals import cache
from datamodules.proposals.cache import ProposalCache
from datamodules.proposals.selective_search import SelectiveSearch, picture_digest


def picture(index: int) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 256, (12, 15, 3), dtype=np.uint8)


def kept(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of the pictures that are searched from now on."""
    digests: list[str] = []
    original = SelectiveSearch.boxes

    def noted(self: SelectiveSearch, given: NDArray[np.uint8]) -> NDArray[np.float32]:
        digests.append(picture_digest(given))
        return original(self, given)

    monkeypatch.setattr(SelectiveSearch, "boxes", noted)
    return digests


def test_a_picture_is_searched_once(tmp_path: Path, searched: list[str]) -> None:
    first = [ProposalCache(tmp_path, SelectiveSearch()).boxes(picture(index)) for index in (0, 1, 0)]
    assert len(searched) == 2
    again = ProposalCache(tmp_path, SelectiveSearch()).boxes(picture(0))
    assert len(searched) == 2
    for other in (first[2], again):
        assert other.dtype == np.float32
        assert other.tobytes() == first[0].tobytes()
    assert again.flags.writeable
    assert len(kept(tmp_path / "proposals")) == len(kept(tmp_path)) == 2


def test_every_difference_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = picture(0)
    for search in (SelectiveSearch(), SelectiveSearch(seed=1), SelectiveSearch(side=9), SelectiveSearch("quality")):
        ProposalCache(tmp_path, search).boxes(one)
    # The same bytes in another shape are another picture.
    ProposalCache(tmp_path, SelectiveSearch()).boxes(one.reshape(15, 12, 3))
    ProposalCache(tmp_path, SelectiveSearch()).boxes(one.reshape(12, 45))
    assert len(kept(tmp_path)) == 6
    monkeypatch.setattr(cache, "_code_digest", lambda: "changed")
    ProposalCache(tmp_path, SelectiveSearch()).boxes(one)
    monkeypatch.setattr(cache, "_versions", lambda: "changed")
    ProposalCache(tmp_path, SelectiveSearch()).boxes(one)
    assert len(kept(tmp_path)) == 8


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "longer", "another's"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str, searched: list[str]) -> None:
    proposals = ProposalCache(tmp_path, SelectiveSearch())
    whole = proposals.boxes(picture(0))
    (path,) = kept(tmp_path)
    proposals.boxes(picture(1))
    (other,) = set(kept(tmp_path)) - {path}
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    damaged = {
        "cut": content[:-40],
        "empty": bytearray(),
        "bit": content,
        "longer": bytearray(path.read_bytes() + b"0"),
        "another's": bytearray(other.read_bytes()),
    }
    path.write_bytes(bytes(damaged[damage]))
    assert np.array_equal(proposals.boxes(picture(0)), whole)
    assert np.array_equal(proposals.boxes(picture(0)), whole)
    assert len(searched) == 3


def test_what_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Path, __: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ProposalCache(tmp_path, SelectiveSearch()).boxes(picture(0))
    assert not kept(tmp_path)


def test_what_was_killed_is_cleared_away_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    ProposalCache(tmp_path, SelectiveSearch()).boxes(picture(0))
    (path,) = kept(tmp_path)
    path.unlink()
    old, new = (path.with_name(f".{path.name}.{name}") for name in ("old", "new"))
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))
    ProposalCache(tmp_path, SelectiveSearch()).boxes(picture(0))
    assert kept(tmp_path) == [new, path]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path, __: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError) as found:
        ProposalCache(tmp_path, SelectiveSearch()).boxes(picture(0))
    assert str(found.value).startswith(f"root={tmp_path}: proposals/fast-500-0-")
    assert "KiB (No space left on device); name a folder that has room" in str(found.value)
    assert "\n" not in str(found.value)
    assert not kept(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "proposals").write_text("")
    with pytest.raises(DataError, match=r"^root=.*cannot be kept there, .*; name a folder that has room$"):
        ProposalCache(tmp_path, SelectiveSearch()).boxes(picture(0))
