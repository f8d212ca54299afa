"""Pictures that ask a layer for one label at a time: the orientation of an edge, a texture, a shape.

They are what linear probes of a network's layers learn from (Alain & Bengio 2016). In each set the other properties are
drawn at random, independently of the label, and the label does not show in the mean colour: an edge has either side the
lighter one, every shape fills the same share of its circle, and every texture has the same mean.

The bytes are the same with every version of NumPy and on every processor, as those of all scenes (`drawing.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.randomness import IndexArray
from datamodules.scenes.drawing import draw
from datamodules.scenes.scene import COLOURS, SHAPES, TEXTURES, Background, Scene, Thing
from datamodules.scenes.stream import Stream

VERSION = 1
SMALLEST = 8  # pixels a side
_COSINE, _SINE, _DIAGONAL = 0.9238795325112867, 0.3826834323650898, 0.7071067811865476  # of 22.5 and 45 degrees

# Across the edge, y pointing downwards: 0, 22.5 … 157.5 degrees.
_ACROSS = (
    (1.0, 0.0),
    (_COSINE, _SINE),
    (_DIAGONAL, _DIAGONAL),
    (_SINE, _COSINE),
    (0.0, 1.0),
    (-_SINE, _COSINE),
    (-_DIAGONAL, _DIAGONAL),
    (-_COSINE, _SINE),
)
ORIENTATIONS = tuple(f"{22.5 * step:g}" for step in range(len(_ACROSS)))
_TILT = 0.13  # tangent of half the largest rotation of a shape, about 15 degrees


@dataclass(frozen=True, eq=False)
class ProbePictures:
    """N pictures with one label each; every label as often as any other, in turn.

    Attributes:
        pictures: uint8 `(N, 3, S, S)`, RGB.
        labels: int64 `(N,)`.
        names: of the labels.
    """

    pictures: NDArray[np.uint8]
    labels: IndexArray
    names: tuple[str, ...]


def probe_pictures(kind: str, count: int, size: int) -> ProbePictures:
    """Return the first `count` pictures of one kind, at `size` pixels a side: always the same ones.

    Args:
        kind: of `KINDS`: `edge` (the orientation of a soft step edge, 8), `texture` (of a large thing), `shape`.
        count: how many.
        size: pixels a side.

    Raises:
        DataError: no such kind, no picture, or pictures too small to show anything.
    """
    if kind not in _KINDS:
        raise DataError(f"kind={kind}: must be one of {', '.join(_KINDS)}")
    if count < 1 or size < SMALLEST:
        raise DataError(f"count={count}, size={size}: must be at least 1 and {SMALLEST}")
    names, make = _KINDS[kind]
    labels = np.arange(count, dtype=np.int64) % len(names)
    streams = (Stream(index, "scenes/probing", VERSION, kind) for index in range(count))
    pictures = [make(names[label], stream, size) for label, stream in zip(labels, streams, strict=True)]
    return ProbePictures(np.stack(pictures), labels, names)


def _edge(orientation: str, stream: Stream, size: int) -> NDArray[np.uint8]:
    """Draw two colours with a soft step between them, through a random place of the middle half."""
    cosine, sine = (np.float32(part) for part in _ACROSS[ORIENTATIONS.index(orientation)])
    one, other = (_colour(stream) for _ in range(2))
    while _contrast(one, other) < 0.3:  # noqa: PLR2004 - in every channel together, of 3 at most
        other = _colour(stream)
    x, y = (np.float32(stream.uniform(0.25, 0.75) * size) for _ in range(2))
    softness = np.float32(stream.uniform(1.0, 2.0))
    centres = np.arange(size, dtype=np.float32) + np.float32(0.5)
    beyond = ((centres - x) * cosine + (centres[:, None] - y) * sine) / softness
    share = (beyond + np.float32(0.5)).clip(0.0, 1.0)
    low, high = (np.array(colour, dtype=np.float32)[:, None, None] * np.float32(255) for colour in (one, other))
    picture: NDArray[np.uint8] = (low + share * (high - low) + np.float32(0.5)).astype(np.uint8)
    return picture


def _texture(texture: str, stream: Stream, size: int) -> NDArray[np.uint8]:
    """Draw a large thing of any shape and colour, turned any way."""
    thing = Thing(
        shape=stream.choice(SHAPES),
        colour=stream.choice(COLOURS),
        texture=texture,
        size=stream.uniform(0.9, 1.2),
        centre=(stream.uniform(0.4, 0.6), stream.uniform(0.4, 0.6)),
        turn=stream.turn(),
        gain=stream.uniform(0.7, 1.0),
    )
    return _drawn(thing, stream, size)


def _shape(shape: str, stream: Stream, size: int) -> NDArray[np.uint8]:
    """Draw a thing of any colour and texture, about upright, whole in the picture."""
    across = stream.uniform(0.5, 0.8)
    tangent = stream.uniform(-_TILT, _TILT)
    squared = 1 + tangent * tangent
    thing = Thing(
        shape=shape,
        colour=stream.choice(COLOURS),
        texture=stream.choice(TEXTURES),
        size=across,
        centre=(stream.uniform(across / 2, 1 - across / 2), stream.uniform(across / 2, 1 - across / 2)),
        turn=((1 - tangent * tangent) / squared, 2 * tangent / squared),
        gain=stream.uniform(0.7, 1.0),
    )
    return _drawn(thing, stream, size)


def _drawn(thing: Thing, stream: Stream, size: int) -> NDArray[np.uint8]:
    background = Background(colours=(_colour(stream), _colour(stream)), light=stream.turn())
    return draw(Scene((thing,), background), size, stream).picture


def _colour(stream: Stream) -> tuple[float, float, float]:
    red, green, blue = (stream.uniform(0.1, 0.9) for _ in range(3))
    return red, green, blue


def _contrast(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    return sum(abs(first - second) for first, second in zip(one, other, strict=True))


_Make = Callable[[str, Stream, int], NDArray[np.uint8]]
_KINDS: Mapping[str, tuple[tuple[str, ...], _Make]] = {
    "edge": (ORIENTATIONS, _edge),
    "texture": (TEXTURES, _texture),
    "shape": (SHAPES, _shape),
}
KINDS = tuple(_KINDS)
