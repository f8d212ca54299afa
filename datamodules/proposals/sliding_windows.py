"""Sliding windows: proposals that do not look at the picture, a control for those that do."""

import math

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.proposals.boxes import Boxes

SCALES = tuple(2 ** (-step / 2) for step in range(7))
"""Of the square root of a window's area, as a share of that of the picture: 1 … 1/8."""

ASPECT_RATIOS = (0.5, 1.0, 2.0)
"""Width by height."""

WIDEST_STRIDE = 4.0  # of the window's side, in both directions: then every window stands in few places
HALVINGS = 40  # of the range of strides, until two of them are the same


def sliding_windows(height: int, width: int, count: int) -> Boxes:
    """Return `count` windows, large ones first, no two alike; fewer where so many do not fit into the picture.

    Every scale comes in every aspect ratio. The stride is the same share of each window's sides, the largest that gives
    enough windows; of those that are too many, some are left out, evenly. So the first half of many windows are not few
    windows: ask for as many as are wanted.

    Args:
        height: of the picture, in pixels.
        width: as `height`.
        count: of windows.

    Raises:
        DataError: a number below 1.
    """
    for name, value in (("height", height), ("width", width), ("count", count)):
        if value < 1:
            raise DataError(f"{name}={value}: must be at least 1")
    sizes = _sizes(height, width)
    narrow, wide = 0.0, WIDEST_STRIDE
    for _ in range(HALVINGS):
        middle = (narrow + wide) / 2
        enough = sum(rows * columns for rows, columns in _places(sizes, height, width, middle)) >= count
        narrow, wide = (middle, wide) if enough else (narrow, middle)
    windows = [
        _placed(size, height, width, places)
        for size, places in zip(sizes, _places(sizes, height, width, narrow), strict=True)
    ]
    boxes = np.concatenate(windows)
    if len(boxes) > count:
        boxes = boxes[np.arange(count) * len(boxes) // count]
    return boxes.astype(np.float32)


def _sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Return the height and width of every kind of window, in pixels, each once."""
    side = math.sqrt(height * width)
    sizes = (
        (
            min(max(round(side * scale / math.sqrt(ratio)), 1), height),
            min(max(round(side * scale * math.sqrt(ratio)), 1), width),
        )
        for scale in SCALES
        for ratio in ASPECT_RATIOS
    )
    return list(dict.fromkeys(sizes))


def _places(sizes: list[tuple[int, int]], height: int, width: int, stride: float) -> list[tuple[int, int]]:
    """Return in how many rows and columns the windows of each size stand; a stride of 0: at every pixel."""
    return [(_steps(height - high, high * stride), _steps(width - wide, wide * stride)) for high, wide in sizes]


def _steps(room: int, stride: float) -> int:
    return room + 1 if stride < 1 else math.ceil(room / stride) + 1


def _placed(size: tuple[int, int], height: int, width: int, places: tuple[int, int]) -> NDArray[np.int64]:
    """Return windows of one size from border to border, `(rows · columns, 4)`."""
    y, x = (
        np.arange(count) * (side - covered) // max(count - 1, 1)
        for count, side, covered in zip(places, (height, width), size, strict=True)
    )
    top, left = (corner.ravel() for corner in np.meshgrid(y, x, indexing="ij"))
    return np.column_stack([left, top, left + size[1], top + size[0]])
