"""Kept pictures: whole or not at all, the same whoever draws them."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datamodules.errors import DataError
from datamodules.scenes import cache
from datamodules.scenes.cache import row
from datamodules.scenes.composing import Scenes
from datamodules.scenes.difficulty import Difficulty

SCENES = Scenes("shape", Difficulty(things=(1, 1)))


def kept(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices that are drawn from now on."""
    indices: list[int] = []
    original = Scenes.drawn

    def noted(self: Scenes, index: int, size: int) -> object:
        indices.append(index)
        return original(self, index, size)

    monkeypatch.setattr(Scenes, "drawn", noted)
    return indices


def test_pictures_are_drawn_once_and_are_those_of_the_scenes(tmp_path: Path, drawn: list[int]) -> None:
    first = row(tmp_path, SCENES, 6, 16)
    assert drawn == list(range(6))
    again = row(tmp_path, SCENES, 6, 16)
    assert drawn == list(range(6))
    assert again.digest == first.digest
    expected = [SCENES.drawn(index, 16)[1].picture for index in range(6)]
    assert np.array_equal(again.pictures, expected)
    assert not again.pictures.flags.writeable
    assert [path.parent for path in kept(tmp_path)] == [tmp_path / "scenes"]


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "longer"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    whole = row(tmp_path, SCENES, 6, 16)
    digest, pictures = whole.digest, np.array(whole.pictures)
    (path,) = kept(tmp_path)
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.unlink()
    damaged = {"cut": content[:-40], "empty": bytearray(), "bit": content, "longer": content + b"0"}
    path.write_bytes(damaged[damage])
    again = row(tmp_path, SCENES, 6, 16)
    assert again.digest == digest
    assert np.array_equal(again.pictures, pictures)


def test_every_difference_has_a_file_of_its_own(tmp_path: Path) -> None:
    others = [
        (SCENES, 6, 16),
        (SCENES, 7, 16),
        (SCENES, 6, 17),
        (Scenes("shape", Difficulty(things=(1, 1)), seed=1), 6, 16),
        (Scenes("shape", Difficulty(things=(1, 1)), split="test"), 6, 16),
        (Scenes("shape", Difficulty(things=(1, 1), noise=0.1)), 6, 16),
        (Scenes("count", Difficulty(things=(1, 2), size=(0.3, 0.4))), 6, 16),
    ]
    digests = {row(tmp_path, *other).digest for other in others}
    assert len(digests) == len(kept(tmp_path)) == len(others)


def test_other_code_draws_anew(tmp_path: Path, drawn: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    row(tmp_path, SCENES, 6, 16)
    monkeypatch.setattr(cache, "_code_digest", lambda: "changed")
    row(tmp_path, SCENES, 6, 16)
    assert drawn == [*range(6), *range(6)]


def test_what_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Scenes.drawn

    def interrupted(self: Scenes, index: int, size: int) -> object:
        if index == 3:
            raise KeyboardInterrupt
        return original(self, index, size)

    with monkeypatch.context() as patched:
        patched.setattr(Scenes, "drawn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            row(tmp_path, SCENES, 6, 16)
    assert not kept(tmp_path)
    assert len(row(tmp_path, SCENES, 6, 16).pictures) == 6


def test_what_was_killed_is_cleared_away_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    row(tmp_path, SCENES, 6, 16)
    (path,) = kept(tmp_path)
    path.unlink()
    old, new = (path.with_name(f".{path.name}.{name}") for name in ("old", "new"))
    for draft in (old, new):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))
    row(tmp_path, SCENES, 6, 16)
    assert kept(tmp_path) == [new, path]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError) as found:
        row(tmp_path, SCENES, 6, 16)
    assert str(found.value).startswith(f"root={tmp_path}: v1-shape-train-6x16-")
    assert str(found.value).endswith(
        ".u8 cannot be kept there, 1 MiB (No space left on device); name a folder that has room"
    )
    assert "\n" not in str(found.value)
    assert not kept(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "scenes").write_text("")
    with pytest.raises(DataError, match=r"^root=.*cannot be kept there, .* \(File exists\)"):
        row(tmp_path, SCENES, 6, 16)


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from datamodules.scenes.cache import row\n"
        "from datamodules.scenes.composing import Scenes\n"
        "from datamodules.scenes.difficulty import Difficulty\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "found = row(Path(sys.argv[1]), Scenes('shape', Difficulty(things=(1, 1))), 300, 16)\n"
        "print(found.digest, len(found.pictures), flush=True)\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = [process.communicate("\n", timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0] == answers[1] == f"{row(tmp_path, SCENES, 300, 16).digest} 300\n"
    assert len(kept(tmp_path)) == 1
