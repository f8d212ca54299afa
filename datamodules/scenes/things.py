"""One thing of a scene on the pixels: where it lies, and what it looks like."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from datamodules.scenes import shapes, textures
from datamodules.scenes.scene import FloatArray, Thing

# RGB, such that the lightest part of a texture, a dot, is within 0 to 1.
PALETTE = {
    "red": (0.71, 0.11, 0.11),
    "orange": (0.71, 0.36, 0.04),
    "yellow": (0.69, 0.64, 0.07),
    "green": (0.13, 0.55, 0.15),
    "cyan": (0.09, 0.59, 0.63),
    "blue": (0.13, 0.25, 0.71),
    "purple": (0.50, 0.14, 0.61),
    "white": (0.70, 0.70, 0.70),
}
CONTRAST = 0.3  # of a texture: half the difference of its light and dark parts, as a share of the mean
_UNIT = 0.58  # of a texture, in radii


class Placed(NamedTuple):
    """A thing in its window, the smallest that holds it, of h × w pixels.

    Attributes:
        rows: of the window.
        columns: of the window.
        u: float32 `(h, w)`, the pixels' centres in the thing's own frame, to its right, in radii.
        v: the same downwards.
        depth: float32 `(h, w)`, how deep inside its outline they lie, in pixels.
    """

    rows: slice
    columns: slice
    u: FloatArray
    v: FloatArray
    depth: FloatArray


def place(thing: Thing, size: int) -> Placed:
    """Return where `thing` lies in a picture of `size` pixels a side; its window is empty if that is outside."""
    radius = thing.size * size / 2
    x, y = thing.centre[0] * size, thing.centre[1] * size
    columns, rows = _reach(x, radius, size), _reach(y, radius, size)
    across = (_centres(size)[columns] - x) / radius
    down = (_centres(size)[rows, None] - y) / radius
    cosine, sine = thing.turn
    u, v = across * cosine + down * sine, down * cosine - across * sine
    depth = shapes.depth(thing.shape, u, v, thing.notch) * radius
    return Placed(rows, columns, u, v, depth)


def cover(placed: Placed) -> FloatArray:
    """Return the share of each pixel that the thing covers, `(h, w)`: its edges are as soft as one pixel."""
    return (placed.depth + 0.5).clip(0.0, 1.0)


def ink(thing: Thing, placed: Placed, size: int) -> FloatArray:
    """Return its colour, `(3, h, w)` or, where it is the same everywhere, `(3, 1, 1)`; 255 is white, not clipped."""
    colour = np.array(PALETTE[thing.colour], dtype=np.float32)[:, None, None] * (255 * thing.gain)
    if thing.texture == "plain":
        return colour
    tone = textures.BY_NAME[thing.texture]
    pixels = thing.size * size / 2 * _UNIT
    return colour * (tone(placed.u / _UNIT, placed.v / _UNIT, pixels) * CONTRAST + 1.0)


def _reach(middle: float, radius: float, size: int) -> slice:
    # Half a pixel more, where soft edges end.
    first = min(max(math.floor(middle - radius - 0.5), 0), size)
    return slice(first, max(min(math.ceil(middle + radius + 0.5), size), first))


@cache
def _centres(size: int) -> FloatArray:
    """Return where the centres of a row's pixels lie, in pixels: float32 `(size,)`."""
    positions = np.arange(size, dtype=np.float32) + 0.5
    positions.setflags(write=False)
    return positions
