"""The textures as functions of the plane: how much lighter or darker a point is than the mean.

One unit of length is about a period. Every texture has mean 0, and its light and dark parts differ by 2: which texture
it is changes neither the mean brightness nor the contrast. Edges are as soft as one pixel.
"""

import math
from collections.abc import Callable

import numpy as np

from datamodules.scenes.scene import FloatArray

# Of u and v, which fit together, and the pixels a unit.
Tone = Callable[[FloatArray, FloatArray, float], FloatArray]

_DIAGONAL = math.sqrt(0.5)
# Periods. Those of dots and fields are far apart, so that the two can be told apart where both are blurred.
_STRIPES, _DOTS, _FIELDS = 1.0, 0.9, 1.45
_DOT = 0.33  # radius, in periods
_DOT_SHARE = math.pi * _DOT * _DOT


def striped(u: FloatArray, v: FloatArray, pixels: float) -> FloatArray:
    """Tone of stripes from the lower left to the upper right."""
    return _wave((u + v) * (_DIAGONAL / _STRIPES), pixels * _STRIPES)


def dotted(u: FloatArray, v: FloatArray, pixels: float) -> FloatArray:
    """Tone of light dots, in rows from corner to corner, one of them in the centre."""
    # Light ones leave the outline whole where they meet it; in such rows five of them fit on a square or a cross.
    along, athwart = (u + v) * (_DIAGONAL / _DOTS), (u - v) * (_DIAGONAL / _DOTS)
    along, athwart = along - np.rint(along), athwart - np.rint(athwart)
    inside = (_DOT - np.sqrt(along * along + athwart * athwart)) * (pixels * _DOTS)
    return 2.0 * inside.clip(-0.5, 0.5) + (1 - 2 * _DOT_SHARE)


def checkered(u: FloatArray, v: FloatArray, pixels: float) -> FloatArray:
    """Tone of a chequerboard, four of whose fields meet in the centre."""
    return _wave(u / _FIELDS, pixels * _FIELDS) * _wave(v / _FIELDS, pixels * _FIELDS)


BY_NAME: dict[str, Tone] = {"striped": striped, "dotted": dotted, "checkered": checkered}


def _wave(x: FloatArray, pixels: float) -> FloatArray:
    """Return 1 on the first half of every period and -1 on the second; `pixels` a period."""
    x = x - 0.25
    return ((0.25 - np.abs(x - np.rint(x))) * (2 * pixels)).clip(-1.0, 1.0)
