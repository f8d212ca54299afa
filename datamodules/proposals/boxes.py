"""Boxes: which are valid, and how much two overlap."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError

Boxes = NDArray[np.float32]
"""`(N, 4)`, `(x1, y1, x2, y2)` in pixels from the upper left corner; x2 and y2 are exclusive (`pascal_voc`).

A box around the single pixel of column 3 and row 5 is `(3, 5, 4, 6)`: it is `x2 − x1` pixels wide.
"""

SIDES = 4


def iou(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Return the intersection over union of each of N boxes with each of M others, `(N, M)`.

    Raises:
        DataError: either is not `(N, 4)`, holds what is no number, or a box without an area.
    """
    one, other = (_checked(name, given) for name, given in (("boxes", boxes), ("others", others)))
    upper_left = np.maximum(one[:, None, :2], other[None, :, :2])
    lower_right = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.prod(np.maximum(lower_right - upper_left, 0.0), axis=2)
    return np.asarray(both / (_area(one)[:, None] + _area(other)[None, :] - both), dtype=np.float64)


def check_inside(name: str, boxes: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Return boxes as float64.

    Args:
        name: of the argument, for the error.
        boxes: `(N, 4)`.
        height: of their picture, in pixels.
        width: as `height`.

    Raises:
        DataError: not `(N, 4)`, or a box that has no area or lies partly outside the picture.
    """
    checked = _checked(name, boxes)
    outside = (checked < 0).any(axis=1) | (checked[:, 2] > width) | (checked[:, 3] > height)
    if outside.any():
        number = int(outside.argmax())
        raise DataError(
            f"{name}[{number}]={_said(checked[number])}: must lie inside the picture, 0 ≤ x ≤ {width}, 0 ≤ y ≤ {height}"
        )
    return checked


def _checked(name: str, boxes: NDArray[Any]) -> NDArray[np.float64]:
    checked = np.asarray(boxes, dtype=np.float64)
    if checked.shape != (len(checked) if checked.ndim else 0, SIDES):
        raise DataError(f"{name} of shape {checked.shape}: must be (N, 4), x1 y1 x2 y2")
    # Also where a side is no number: it is not less than anything.
    broken = ~(checked[:, :2] < checked[:, 2:]).all(axis=1) | ~np.isfinite(checked).all(axis=1)
    if broken.any():
        number = int(broken.argmax())
        raise DataError(f"{name}[{number}]={_said(checked[number])}: must be x1 < x2 and y1 < y2, all finite")
    return checked


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _said(box: NDArray[np.float64]) -> str:
    return f"({', '.join(f'{side:g}' for side in box)})"
