"""What lies behind the things: a shaded and textured ground, and specks that belong to no class."""

import math
from functools import cache

import numpy as np

from datamodules.scenes import textures
from datamodules.scenes.scene import Background, FloatArray
from datamodules.scenes.stream import Stream

_UNIT = 0.125  # of a texture, as a share of the picture's side

# Of specks, as shares of the picture's side: half a bar's length, half its width, a dot's radius.
_BAR, _BAR_WIDTH, _DOT = 0.03, 0.009, 0.018
_SPECK_REACH = _BAR + _BAR_WIDTH
_DARKEST, _LIGHTEST = 0.05, 0.75


def ground(background: Background, size: int) -> FloatArray:
    """Return it without specks: float32 `(3, size, size)`, 0 black to 255 white, not clipped.

    It is shaded along `light` from the first colour to the second, which are reached in the corners. The texture is
    turned with the light.
    """
    cosine, sine = background.light
    across, down = _from_centre(size), _from_centre(size)[:, None]
    along = across * cosine + down * sine
    first, second = (np.array(colour, dtype=np.float32)[:, None, None] * 255.0 for colour in background.colours)
    picture: FloatArray = (second - first) * (along * math.sqrt(0.5) + 0.5)
    picture += first
    if background.texture != "plain" and background.contrast:
        athwart = down * cosine - across * sine
        tone = textures.BY_NAME[background.texture]
        picture *= tone(along / _UNIT, athwart / _UNIT, _UNIT * size) * background.contrast + 1.0
    return picture


def scatter(picture: FloatArray, count: int, grain: Stream) -> None:
    """Draw `count` specks, small bars and dots, into `picture` (3, S, S), whose white is 255.

    Which ones depends on `grain` alone, and not on the size.
    """
    size = picture.shape[1]
    # One speck a column: x, y, tangent of half its angle, whether it is a bar, red, green, blue.
    numbers = grain.uniforms(7 * count).reshape(7, count)
    centres = numbers[:2] * (size * (1 - 2 * _SPECK_REACH)) + size * _SPECK_REACH
    tangent = numbers[2] * 2.0 - 1.0
    squared = tangent * tangent
    cosine, sine = ((1.0 - squared) / (1.0 + squared))[:, None, None], (2.0 * tangent / (1.0 + squared))[:, None, None]
    bar = (numbers[3] < 0.5).astype(np.float32)[:, None, None]  # noqa: PLR2004 - one half
    half_length = bar * (_BAR * size)
    half_width = bar * ((_BAR_WIDTH - _DOT) * size) + _DOT * size
    colours = numbers[4:].T * (255 * (_LIGHTEST - _DARKEST)) + 255 * _DARKEST

    # All specks have windows of one width, so that they can be computed at once.
    width = min(size, math.ceil(2 * _SPECK_REACH * size) + 2)
    corners = np.floor(centres - (width - 1) / 2).clip(0.0, float(size - width))
    steps = np.arange(width, dtype=np.float32) + 0.5
    across = (corners[0] - centres[0])[:, None, None] + steps
    down = (corners[1] - centres[1])[:, None, None] + steps[:, None]
    along, athwart = across * cosine + down * sine, down * cosine - across * sine
    beyond = np.maximum(np.abs(along) - half_length, 0.0)
    cover = (half_width + 0.5 - np.sqrt(beyond * beyond + athwart * athwart)).clip(0.0, 1.0)
    # One after the other, since they may overlap.
    for share, colour, left, top in zip(cover, colours, *corners.astype(int).tolist(), strict=True):
        window = picture[:, top : top + width, left : left + width]
        window += share * (colour[:, None, None] - window)


@cache
def _from_centre(size: int) -> FloatArray:
    """Return how far the pixels of a row lie from its middle, in sides: float32 `(size,)`."""
    positions = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    positions.setflags(write=False)
    return positions
