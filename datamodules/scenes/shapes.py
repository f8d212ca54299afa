"""The eight shapes as functions of the plane: how deep inside its outline a point lies.

A shape's frame has its origin at the centre, u to the right and v downwards while it stands upright. One unit is the
radius of the circle that holds it, so that every shape lies within u² + v² = 1. All have the same area, that of the
largest triangle in the circle (41 % of it): how much colour a picture holds says nothing about its shapes. All are
their own mirror image, u for -u. Only operations are used that IEEE 754 rounds alike on every processor.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from datamodules.scenes.scene import FloatArray

# Of u and v, which fit together: depth in radii, positive inside, negative outside, right near the outline.
Depth = Callable[[FloatArray, FloatArray], FloatArray]

AREA = math.sqrt(27) / 4  # in radii squared

_SIN_36, _COS_36 = math.sqrt((5 - math.sqrt(5)) / 8), (1 + math.sqrt(5)) / 4
_SIN_108, _COS_108 = math.sqrt((5 + math.sqrt(5)) / 8), (1 - math.sqrt(5)) / 4

_DISC = math.sqrt(AREA / math.pi)
_SQUARE = math.sqrt(AREA) / 2
_RING_OUTER = 0.8
_RING_INNER = math.sqrt(_RING_OUTER * _RING_OUTER - AREA / math.pi)
_ARM = 0.22
_CROSS = (AREA + 4 * _ARM * _ARM) / (8 * _ARM)
_STAR_INNER = AREA / (5 * _SIN_36)
# A disc without another one; the shift puts the middle of its box in the centre.
_MOON, _MOON_SHADOW, _MOON_APART, _MOON_SHIFT = 0.9, 0.75, 0.539337, 0.15
_HEAD_TIP, _HEAD_END, _HEAD = -0.95, -0.05, 0.75
_SHAFT_END = 0.95
_SHAFT = (AREA - _HEAD * (_HEAD_END - _HEAD_TIP)) / (2 * (_SHAFT_END - _HEAD_END))


def disc(u: FloatArray, v: FloatArray) -> FloatArray:
    """Depth in a disc."""
    return _DISC - np.sqrt(u * u + v * v)


def square(u: FloatArray, v: FloatArray) -> FloatArray:
    """Depth in a square."""
    return _SQUARE - np.maximum(np.abs(u), np.abs(v))


def triangle(u: FloatArray, v: FloatArray) -> FloatArray:
    """Depth in a triangle of equal sides, one of which is below."""
    side = (0.5 * v + 0.5) - math.sqrt(0.75) * np.abs(u)
    deep: FloatArray = np.minimum(side, 0.5 - v)
    return deep


def ring(u: FloatArray, v: FloatArray) -> FloatArray:
    """Depth in a ring."""
    off_middle = np.abs(np.sqrt(u * u + v * v) - (_RING_OUTER + _RING_INNER) / 2)
    return (_RING_OUTER - _RING_INNER) / 2 - off_middle


def cross(u: FloatArray, v: FloatArray) -> FloatArray:
    """Depth in a cross of four equal arms, as a plus sign has."""
    across, along = np.abs(u), np.abs(v)
    deep: FloatArray = np.minimum(_ARM - np.minimum(across, along), _CROSS - np.maximum(across, along))
    return deep


def star(u: FloatArray, v: FloatArray) -> FloatArray:
    """Depth in a star of five points, one of which is above."""
    # Two reflections fold all points onto the upper one, of which one edge is left.
    u = np.abs(u)
    for sine, cosine in ((_SIN_108, _COS_108), (_SIN_36, _COS_36)):
        beyond = 2.0 * np.maximum(cosine * u + sine * v, 0.0)
        u = u - cosine * beyond
        v = v - sine * beyond
    across, along = 1 - _STAR_INNER * _COS_36, _STAR_INNER * _SIN_36
    length = math.sqrt(across * across + along * along)
    return (along / length * v + along / length) - across / length * np.abs(u)


def crescent(u: FloatArray, v: FloatArray) -> FloatArray:
    """Depth in a crescent whose horns point down."""
    squared = u * u
    lit, shadow = v - _MOON_SHIFT, v - (_MOON_SHIFT + _MOON_APART)
    inside = _MOON - np.sqrt(squared + lit * lit)
    deep: FloatArray = np.minimum(inside, np.sqrt(squared + shadow * shadow) - _MOON_SHADOW)
    return deep


def arrow(u: FloatArray, v: FloatArray) -> FloatArray:
    """Depth in an arrow that points up."""
    across = np.abs(u)
    height = _HEAD_END - _HEAD_TIP
    edge = math.sqrt(height * height + _HEAD * _HEAD)
    head = np.minimum(_HEAD / edge * (v - _HEAD_TIP) - height / edge * across, _HEAD_END - v)
    # The shaft starts within the head: no seam shows between them.
    reach = (_SHAFT_END - _HEAD_END) / 2 + 0.15
    shaft = np.minimum(_SHAFT - across, reach - np.abs(v - (_SHAFT_END - reach)))
    deep: FloatArray = np.maximum(head, shaft)
    return deep


class Shape(NamedTuple):
    """What is known of one shape.

    Attributes:
        depth: its function of the plane.
        bite: u and v of the point of its outline around which a notch is cut out.
    """

    depth: Depth
    bite: tuple[float, float]


BY_NAME = {
    "disc": Shape(disc, (0.0, -_DISC)),
    "square": Shape(square, (0.0, -_SQUARE)),
    "triangle": Shape(triangle, (0.0, 0.5)),
    "ring": Shape(ring, (0.0, -_RING_OUTER)),
    "cross": Shape(cross, (0.0, -_CROSS)),
    "star": Shape(star, (0.0, _STAR_INNER)),
    "crescent": Shape(crescent, (0.0, _MOON_SHIFT - _MOON)),
    "arrow": Shape(arrow, (0.0, _SHAFT_END)),
}


def depth(shape: str, u: FloatArray, v: FloatArray, notch: float = 0.0) -> FloatArray:
    """Return how deep inside `shape` the points lie, in radii; `notch`: radius of the bite out of its outline."""
    known = BY_NAME[shape]
    whole = known.depth(u, v)
    if not notch:
        return whole
    u, v = u - known.bite[0], v - known.bite[1]
    deep: FloatArray = np.minimum(whole, np.sqrt(u * u + v * v) - notch)
    return deep
