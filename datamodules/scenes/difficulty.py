"""How hard scenes are: the knobs of a scene data set, their ranges and their errors."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Self, get_type_hints

from datamodules.errors import DataError
from datamodules.scenes.scene import SHAPES, TEXTURES

Range = tuple[float, float]
WholeRange = tuple[int, int]

MOST_THINGS = 6
MOST_SPECKS = 100


@dataclass(frozen=True)
class _Allowed:
    """What a knob takes: a number, or a pair of them in order; `some`: null under the rules that do not look at it."""

    least: float
    most: float
    whole: bool = False
    pair: bool = False
    some: bool = False

    def read(self, name: str, value: object) -> Any:  # noqa: ANN401 - a number or a pair
        """Return `value` as it is kept.

        Raises:
            DataError: it is not allowed.
        """
        if value is None and self.some:
            return None
        if self.pair and isinstance(value, Sequence) and not isinstance(value, str):
            numbers = tuple(self._number(number) for number in value)
            if len(numbers) == 2 and None not in numbers and numbers[0] <= numbers[1]:  # type: ignore[operator]  # noqa: PLR2004
                return numbers
        elif not self.pair and (number := self._number(value)) is not None:
            return number
        kind = "whole number" if self.whole else "number"
        shape = f"two {kind}s in order, each" if self.pair else f"a {kind}"
        raise DataError(f"{name}={_shown(value)}: must be {shape} from {self.least:g} to {self.most:g}")

    def _number(self, value: object) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return None
        return (value if self.whole else float(value)) if self.least <= value <= self.most else None


@dataclass(frozen=True)
class Difficulty:
    """The knobs. Lengths are shares of the picture's side; a range is drawn from evenly.

    The last four are for some rules only: these need them, the others refuse them.

    Attributes:
        shapes: how many of `SHAPES` are in play, the first ones.
        textures: how many of `TEXTURES` are in play on things, the first ones.
        size: diameter of a thing.
        shift: how far a thing may lie from the middle, as a share of the room there is; 0 centred, 1 anywhere.
        turn: rotation of a thing in degrees, clockwise.
        gain: factor of a thing's brightness.
        visible: share of every thing that can be seen at least, at 64 px; 1: nothing hides anything.
        light: brightness of the background.
        shade: by how much one end of the background may be brighter than the other.
        contrast: of the background's texture.
        specks: distractors of no class.
        noise: what a pixel is off at most.
        things: how many things there are (`shape`: further ones are smaller than the one that counts; `count`).
        conflict: share of the scenes whose texture is that of another class (`texture_conflict`).
        notch: share of the diameter that is cut out (`fine`).
        distance: gap between the two things in pixels of a picture of `side` (`relation`).
        side: pixels a side that `distance` is counted in.
    """

    shapes: Annotated[int, _Allowed(2, len(SHAPES), whole=True)] = len(SHAPES)
    textures: Annotated[int, _Allowed(1, len(TEXTURES), whole=True)] = len(TEXTURES)
    size: Annotated[Range, _Allowed(0.05, 1, pair=True)] = (0.4, 0.7)
    shift: Annotated[float, _Allowed(0, 1)] = 1.0
    turn: Annotated[Range, _Allowed(-180, 180, pair=True)] = (-180.0, 180.0)
    gain: Annotated[Range, _Allowed(0.2, 2, pair=True)] = (0.8, 1.2)
    visible: Annotated[float, _Allowed(0.1, 1)] = 1.0
    light: Annotated[Range, _Allowed(0, 1, pair=True)] = (0.15, 0.65)
    shade: Annotated[float, _Allowed(0, 1)] = 0.2
    contrast: Annotated[Range, _Allowed(0, 1, pair=True)] = (0.0, 0.2)
    specks: Annotated[WholeRange, _Allowed(0, MOST_SPECKS, whole=True, pair=True)] = (0, 6)
    noise: Annotated[float, _Allowed(0, 1)] = 0.08
    things: Annotated[WholeRange | None, _Allowed(1, MOST_THINGS, whole=True, pair=True, some=True)] = None
    conflict: Annotated[float | None, _Allowed(0, 1, some=True)] = None
    notch: Annotated[float | None, _Allowed(0.05, 0.8, some=True)] = None
    distance: Annotated[float | None, _Allowed(1, 1024, some=True)] = None
    side: Annotated[int | None, _Allowed(1, 4096, whole=True, some=True)] = None

    def __post_init__(self) -> None:
        for name, allowed in _allowed().items():
            object.__setattr__(self, name, allowed.read(name, getattr(self, name)))

    @classmethod
    def of(cls, knobs: Mapping[str, object], *, side: int | None = None) -> Self:
        """Make one of `knobs` by name; what is not named is as it is by default.

        Raises:
            DataError: an unknown name, or a value that is not allowed.
        """
        known = [name for name in _allowed() if name != "side"]
        for name, value in knobs.items():
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(known)}"
                raise DataError(f"{name}={_shown(value)}: unknown; {hint}")
        return cls(**knobs, side=side)  # type: ignore[arg-type]  # looked at by __post_init__

    @property
    def described(self) -> str:
        """All knobs as JSON, the same text for the same values."""
        return json.dumps(asdict(self), sort_keys=True)


@cache
def _allowed() -> dict[str, _Allowed]:
    hints = get_type_hints(Difficulty, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def _shown(value: object) -> str:
    return "null" if value is None else str(list(value) if isinstance(value, tuple) else value)
