"""Boxes of objects, shifted and stretched: proposals that know the answer, a control for those that do not."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.proposals.boxes import SIDES, Boxes, check_inside
from datamodules.proposals.draws import Draws

SHIFT = 0.3  # of a box's side, at most, either way
STRETCH = 0.5  # powers of two, at most, either way: each side becomes 0.71 to 1.41 times as long
TRIES = 16  # times `count`, before fewer are returned


def jittered_boxes(truths: NDArray[Any], height: int, width: int, count: int, *, seed: int, index: int) -> Boxes:
    """Return `count` boxes near those of a picture's objects, which take turns, no two alike.

    A box depends on the objects, the seed, the index and its place in the row: the first half of many are few. What
    lies beyond the picture is cut off. Where there are no objects there are no boxes, and fewer where `count` different
    ones are not found.

    Args:
        truths: boxes of the objects, `(M, 4)`.
        height: of the picture, in pixels.
        width: as `height`.
        count: of boxes.
        seed: of the draws.
        index: of the picture in its data set.

    Raises:
        DataError: `count` is below 1, or a box that has no area or lies partly outside the picture.
    """
    if count < 1:
        raise DataError(f"count={count}: must be at least 1")
    objects = check_inside("truths", truths, height, width)
    found = np.empty((0, SIDES), dtype=np.float32)
    if not len(objects):
        return found
    draws = Draws("jittered boxes", seed, index)
    for block in range(TRIES):
        turns = np.arange(block * count, (block + 1) * count) % len(objects)
        fresh = _jittered(objects[turns], draws.next(SIDES * count).reshape(count, SIDES), height, width)
        found = _different(np.concatenate([found, fresh]))
        if len(found) >= count:
            break
    return found[:count]


def _jittered(objects: NDArray[np.float64], fractions: NDArray[np.float64], height: int, width: int) -> Boxes:
    either_way = 2 * fractions - 1
    sides = objects[:, 2:] - objects[:, :2]
    centres = (objects[:, :2] + objects[:, 2:]) / 2 + SHIFT * either_way[:, :2] * sides
    halves = sides * np.exp2(STRETCH * either_way[:, 2:]) / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    inside = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    return np.asarray(inside[(inside[:, :2] < inside[:, 2:]).all(axis=1)], dtype=np.float32)


def _different(boxes: Boxes) -> Boxes:
    """Return each box once, in the order in which they were met."""
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)]
