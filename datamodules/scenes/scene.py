"""What a scene is made of, before and after it is drawn. Lengths are shares of the picture's side: any size fits."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHAPES = ("disc", "square", "triangle", "ring", "cross", "star", "crescent", "arrow")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
TEXTURES = ("plain", "striped", "dotted", "checkered")

Point = tuple[float, float]
# Float32, though NumPy's types hold it for float64 once it meets a number of Python's.
FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Thing:
    """One shape of a scene.

    Attributes:
        shape: of `SHAPES`.
        colour: of `COLOURS`.
        texture: of `TEXTURES`.
        size: diameter of the circle that holds it, as a share of the picture's side. Every shape fills 41 % of it.
        centre: x to the right and y downwards, from the upper left corner.
        turn: cosine and sine of its rotation, clockwise as y points downwards; (1, 0) is upright.
        gain: factor of its brightness; 1 is the colour as it is.
        notch: where `fine` rules need a detail that few pixels show: diameter of a bite out of its outline, as a share
            of `size`; 0: whole.
    """

    shape: str
    colour: str
    texture: str
    size: float
    centre: Point
    turn: Point = (1.0, 0.0)
    gain: float = 1.0
    notch: float = 0.0


@dataclass(frozen=True, slots=True)
class Background:
    """What lies behind the things.

    Attributes:
        colours: two RGB triples, 0 black to 1 white, between which it is shaded.
        light: direction of that shading, cosine and sine.
        texture: of `TEXTURES`.
        contrast: of the texture, 0 to 1.
        specks: distractors of no class, small bars and dots: how many.
    """

    colours: tuple[tuple[float, float, float], tuple[float, float, float]]
    light: Point = (1.0, 0.0)
    texture: str = "plain"
    contrast: float = 0.0
    specks: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """All that decides a picture, but for the random numbers of its grain.

    Attributes:
        things: from back to front: later ones hide earlier ones.
        background: what lies behind them.
        noise: amplitude of the grain, 0 to 1: what a pixel is off at most.
    """

    things: tuple[Thing, ...]
    background: Background
    noise: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A scene as drawn at S pixels a side.

    Attributes:
        picture: uint8 `(3, S, S)`, RGB.
        instances: uint8 `(S, S)`; 0 background, `i + 1` where `things[i]` is seen.
        boxes: float32 `(len(things), 4)`, the smallest `(x1, y1, x2, y2)` around what is seen of each thing, in pixels,
            x2 and y2 exclusive; zeros for a thing of which nothing is seen.
        visible: float32 `(len(things),)`, seen pixels of each thing as a share of those that it would fill alone.
    """

    picture: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    visible: NDArray[np.float32]
