"""The annotation of one scene agrees with itself, for every task."""

from collections.abc import Callable

import numpy as np

from datamodules.scenes.annotation import PIXEL_CLASSES, annotate
from datamodules.scenes.composing import Scenes
from datamodules.scenes.difficulty import Difficulty
from datamodules.scenes.scene import SHAPES

Make = Callable[..., dict[str, Scenes]]


def test_boxes_pixels_and_instances_agree(scenes: Make, preset: str) -> None:
    train = scenes(preset)["train"]
    for index in range(10):
        one = annotate(train, index, 48)
        assert one.label == train.label(index)
        assert len(one.boxes) == len(one.classes) == one.instances.max() == len(one.scene.things)
        assert [array.dtype.name for array in (one.boxes, one.classes, one.pixels)] == ["float32", "int64", "uint8"]
        assert np.array_equal(one.pixels > 0, one.instances > 0)
        for number, (box, kind, thing) in enumerate(zip(one.boxes, one.classes, one.scene.things, strict=True), 1):
            rows, columns = np.nonzero(one.instances == number)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert PIXEL_CLASSES[kind] == thing.shape
            assert (one.pixels[rows, columns] == kind).all()
    assert ("background", *SHAPES) == PIXEL_CLASSES


def test_what_is_too_small_to_be_seen_has_no_box() -> None:
    tiny = Scenes("shape", Difficulty(things=(3, 3), size=(0.3, 0.4), shapes=4))
    counts = set()
    for index in range(30):
        one = annotate(tiny, index, 6)
        numbers = set(np.unique(one.instances).tolist()) - {0}
        assert numbers == set(range(1, len(one.boxes) + 1))
        assert len(one.classes) == len(one.boxes)
        assert all(box[2] > box[0] and box[3] > box[1] for box in one.boxes)
        counts.add(len(one.boxes))
    assert min(counts) < 3
