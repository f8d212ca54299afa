"""Drawing lots for one scene: what lies behind it, and whatever of its things the label leaves open."""

import math
from collections.abc import Sequence

from datamodules.scenes.difficulty import Difficulty, Range
from datamodules.scenes.scene import COLOURS, SHAPES, TEXTURES, Background, Point, Thing
from datamodules.scenes.stream import Stream
from datamodules.scenes.things import PALETTE

TINT = 0.06  # of the background: how far red, green and blue are from grey
LEAST_CONTRAST = 0.2  # between a thing and the background, in the channel where they differ most
PLACES_TRIED = 20


class NoRoom(Exception):  # noqa: N818 - no mistake of anyone: another scene is drawn
    """The things drawn so far leave no place for another one."""


class Factors:
    """The lots of one scene.

    Args:
        stream: what decides them.
        knobs: their ranges.
    """

    def __init__(self, stream: Stream, knobs: Difficulty) -> None:
        self.stream = stream
        self.knobs = knobs
        self.shapes = SHAPES[: knobs.shapes]
        self.textures = TEXTURES[: knobs.textures]
        self.background = self._background()

    def between(self, span: Range) -> float:
        """Draw a number of a range."""
        return self.stream.uniform(*span)

    def whole(self, span: tuple[int, int]) -> int:
        """Draw a whole number of a range, both ends included."""
        return span[0] + self.stream.below(span[1] - span[0] + 1)

    def size(self) -> float:
        """Draw a thing's diameter."""
        return self.between(self.knobs.size)

    def place(self, size: float, taken: Sequence[Thing] = ()) -> Point:
        """Draw where a thing of diameter `size` lies; where nothing may be hidden, apart from those there are.

        Raises:
            NoRoom: no place was found.
        """
        reach = self.knobs.shift * (1 - size) / 2
        for _ in range(PLACES_TRIED):
            point = (0.5 + self.between((-reach, reach)), 0.5 + self.between((-reach, reach)))
            if self.knobs.visible < 1 or not any(touch(point, size, other) for other in taken):
                return point
        raise NoRoom

    def thing(
        self,
        shape: str,
        size: float,
        centre: Point,
        *,
        colour: str | None = None,
        texture: str | None = None,
        turned: float = 0.0,
        notch: float = 0.0,
    ) -> Thing:
        """Draw what is left open of a thing; `turned`: degrees, besides its own rotation."""
        gain = self.between(self.knobs.gain)
        return Thing(
            shape=shape,
            colour=self.colour(gain) if colour is None else colour,
            texture=self.stream.choice(self.textures) if texture is None else texture,
            size=size,
            centre=centre,
            turn=rotation(turned + self.between(self.knobs.turn)),
            gain=gain,
            notch=notch,
        )

    def colour(self, *gains: float) -> str:
        """Draw a colour that stands out from the background under each of `gains`."""
        standing_out = [colour for colour in COLOURS if all(self._contrast(colour, gain) for gain in gains)]
        # Under odd knobs nothing stands out, which is what was asked for.
        return self.stream.choice(standing_out or COLOURS)

    def _contrast(self, colour: str, gain: float) -> bool:
        ends = self.background.colours
        return all(
            max(abs(gain * channel - behind) for channel, behind in zip(PALETTE[colour], end, strict=True))
            >= LEAST_CONTRAST
            for end in ends
        )

    def _background(self) -> Background:
        knobs, stream = self.knobs, self.stream
        light = self.between(knobs.light)
        tints = [light + self.between((-TINT, TINT)) for _ in range(3)]
        shade = self.between((-knobs.shade, knobs.shade)) / 2
        first, second = (tuple(min(max(channel + offset, 0.0), 1.0) for channel in tints) for offset in (-shade, shade))
        contrast = self.between(knobs.contrast)
        return Background(
            colours=(first, second),  # type: ignore[arg-type]  # three channels each
            light=stream.turn(),
            texture=stream.choice(TEXTURES) if contrast else TEXTURES[0],
            contrast=contrast,
            specks=self.whole(knobs.specks),
        )


def touch(point: Point, size: float, other: Thing) -> bool:
    """Tell whether the circle of diameter `size` around `point` reaches into that of another thing."""
    across, down, reach = point[0] - other.centre[0], point[1] - other.centre[1], (size + other.size) / 2
    return across * across + down * down < reach * reach


def rotation(degrees: float) -> Point:
    """Return cosine and sine of an angle, by arithmetic that rounds alike everywhere, unlike `math.cos`."""
    quarter = degrees * (math.pi / 720)
    square, fraction = quarter * quarter, 17.0
    # Lambert's continued fraction; an angle of up to 90 degrees is right to the last bits.
    for odd in range(15, 0, -2):
        fraction = odd - square / fraction
    tangent = quarter / fraction
    cosine, sine = (1 - tangent * tangent) / (1 + tangent * tangent), 2 * tangent / (1 + tangent * tangent)
    return cosine * cosine - sine * sine, 2 * cosine * sine
