"""A scene depends on version, seed, split and index, on its rule and knobs, and on nothing else."""

import hashlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from datamodules.errors import DataError
from datamodules.scenes import composing
from datamodules.scenes.composing import Scenes, least_visible
from datamodules.scenes.difficulty import Difficulty

Make = Callable[..., dict[str, Scenes]]
CROWDED = Difficulty(things=(3, 4), size=(0.4, 0.5), visible=0.5)


def digest(scenes: Scenes, indices: range, size: int = 32) -> str:
    content = {index: scenes.drawn(index, size)[1].picture.tobytes() for index in indices}
    return hashlib.sha256(b"".join(content[index] for index in sorted(content))).hexdigest()


def test_order_and_process_do_not_matter() -> None:
    own = digest(Scenes("shape", CROWDED), range(12))
    assert digest(Scenes("shape", CROWDED), range(11, -1, -1)) == own
    script = (
        "import hashlib\n"
        "from datamodules.scenes.composing import Scenes\n"
        "from datamodules.scenes.difficulty import Difficulty\n"
        "scenes = Scenes('shape', Difficulty(things=(3, 4), size=(0.4, 0.5), visible=0.5))\n"
        "pictures = [scenes.drawn(index, 32)[1].picture.tobytes() for index in range(12)]\n"
        "print(hashlib.sha256(b''.join(pictures)).hexdigest())\n"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == own


def test_splits_seeds_and_indices_are_other_scenes(preset: str, scenes: Make) -> None:
    seen = [
        made[split].scene(index)
        for made in (scenes(preset), scenes(preset, seed=1))
        for split in composing.SPLITS
        for index in range(20)
    ]
    assert len(set(seen)) == len(seen) == 120


def test_an_index_is_one_scene_at_every_size(preset: str, scenes: Make) -> None:
    train = scenes(preset)["train"]
    for index in range(8):
        scene, small = train.drawn(index, 32)
        again, large = train.drawn(index, 96)
        assert scene == again
        assert small.picture.shape == (3, 32, 32)
        assert large.boxes / 3 == pytest.approx(small.boxes, abs=2)


def test_every_thing_shows_as_much_as_is_asked() -> None:
    crowded = Scenes("shape", CROWDED)
    visible = np.concatenate([crowded.drawn(index, 64)[1].visible for index in range(60)])
    assert visible.min() >= 0.5
    assert (visible < 0.9).any()
    for index in range(60):
        scene, drawing = crowded.drawn(index, 64)
        assert np.float32(least_visible(scene.things, 64)) == drawing.visible.min()
    assert all(
        (Scenes("count", Difficulty(things=(3, 4), size=(0.3, 0.4))).drawn(index, 64)[1].visible == 1).all()
        for index in range(20)
    )


def test_what_cannot_be_composed_is_said_after_a_bounded_search() -> None:
    with pytest.raises(DataError, match=r"^visible=1: no such scene in 200 tries at index 0 of train under rule=count"):
        Scenes("count", Difficulty(things=(5, 6), size=(0.9, 1.0))).scene(0)
