"""What a caption says of a scene, read back from its words, and whether it is true."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

from datamodules.scenes.scene import COLOURS, SHAPES, TEXTURES, Scene, Thing

NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
SHOWN_CONTRAST = 0.1  # from which on a background's texture is said to be there
MIDDLE = 0.2  # how far from the middle, in shares of the side, something is still in the middle of the picture


@dataclass(frozen=True, slots=True)
class Phrase:
    """A thing as it is called; `texture` is None where nothing is said of it."""

    shape: str
    colour: str
    texture: str | None = None

    def __str__(self) -> str:
        words = " ".join(word for word in (self.texture, self.colour, self.shape) if word)
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"

    def fits(self, thing: Thing) -> bool:
        """Tell whether `thing` can be called that."""
        texture = self.texture or thing.texture
        return (self.shape, self.colour, texture) == (thing.shape, thing.colour, thing.texture)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one caption says.

    Attributes:
        says: of `RELATIONS`, `PLACES`, `SHOWS`, `BACKGROUND` or `COUNT`.
        of: the things that it names.
        value: number of things or texture of the background.
    """

    says: str
    of: tuple[Phrase, ...] = ()
    value: str = ""


SHOWS, BACKGROUND, COUNT = "shows", "background", "count"

# Seen from the first thing: x and y of it, less those of the second one.
RELATIONS: dict[str, Callable[[Thing, Thing], bool]] = {
    "to the right of": lambda one, other: _leads(_from(other, one), 0, 1),
    "to the left of": lambda one, other: _leads(_from(other, one), 0, -1),
    "below": lambda one, other: _leads(_from(other, one), 1, 1),
    "above": lambda one, other: _leads(_from(other, one), 1, -1),
    "larger than": lambda one, other: one.size > other.size,
    "smaller than": lambda one, other: one.size < other.size,
}

PLACES: dict[str, Callable[[float, float], bool]] = {
    "in the left half": lambda x, _: x < 0,
    "in the right half": lambda x, _: x > 0,
    "in the upper half": lambda _, y: y < 0,
    "in the lower half": lambda _, y: y > 0,
    "in the middle": lambda x, y: max(abs(x), abs(y)) <= MIDDLE,
}


def read(caption: str) -> Statement | None:
    """Return what `caption` says; None where it is none of the sentences that captions are made of."""
    text = " ".join(caption.lower().removesuffix(".").split())
    for pattern, statement in _SENTENCES:
        if found := pattern.fullmatch(text):
            return statement(found)
    return None


def is_true(caption: str, scene: Scene) -> bool:
    """Tell whether `caption` is a sentence that is true of `scene`."""
    statement = read(caption)
    return statement is not None and holds(statement, scene)


def holds(statement: Statement, scene: Scene) -> bool:
    """Tell whether `statement` is true of `scene`: some of its things, each of them once, are as it says."""
    if statement.says == COUNT:
        return NUMBERS[len(scene.things)] == statement.value
    if statement.says == BACKGROUND and background_texture(scene) != statement.value:
        return False
    return any(
        all(phrase.fits(thing) for phrase, thing in zip(statement.of, chosen, strict=True))
        and _holds_of(statement.says, chosen)
        for chosen in permutations(scene.things, len(statement.of))
    )


def background_texture(scene: Scene) -> str:
    """Return the texture that the background is seen to have."""
    background = scene.background
    return background.texture if background.contrast >= SHOWN_CONTRAST else TEXTURES[0]


def _holds_of(says: str, chosen: Sequence[Thing]) -> bool:
    if says in RELATIONS:
        return RELATIONS[says](chosen[0], chosen[1])
    if says in PLACES:
        x, y = chosen[0].centre
        return PLACES[says](x - 0.5, y - 0.5)
    return True


def _from(start: Thing, end: Thing) -> tuple[float, float]:
    return end.centre[0] - start.centre[0], end.centre[1] - start.centre[1]


def _leads(step: tuple[float, float], axis: int, sign: int) -> bool:
    """Tell whether a step leads in a direction rather than in any other."""
    return sign * step[axis] > 0 and abs(step[axis]) >= abs(step[1 - axis])


_PHRASE = rf"(?:an? )(?:(?:{'|'.join(TEXTURES)}) )?(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)})"
_LIST = rf"{_PHRASE}(?:(?:, {_PHRASE})* and {_PHRASE})?"


def _phrases(text: str) -> tuple[Phrase, ...]:
    phrases = []
    for found in re.findall(_PHRASE, text):
        *texture, colour, shape = found.split()[1:]
        phrases.append(Phrase(shape, colour, texture[0] if texture else None))
    return tuple(phrases)


def _sentence(
    pattern: str, statement: Callable[[re.Match[str]], Statement]
) -> tuple[re.Pattern[str], Callable[[re.Match[str]], Statement]]:
    return re.compile(pattern), statement


_SENTENCES = (
    _sentence(rf"(?:a picture of|the picture shows) ({_LIST})", lambda found: Statement(SHOWS, _phrases(found[1]))),
    _sentence(
        rf"(?:there (?:is|are) ({_LIST})|({_LIST}) can be seen)",
        lambda found: Statement(SHOWS, _phrases(found[0])),
    ),
    _sentence(
        rf"({_PHRASE}) is ({'|'.join(RELATIONS)}) ({_PHRASE})",
        lambda found: Statement(found[2], _phrases(found[0])),
    ),
    _sentence(
        rf"({_PHRASE}) is ({'|'.join(PLACES)}) of the picture", lambda found: Statement(found[2], _phrases(found[1]))
    ),
    _sentence(
        rf"({_PHRASE}) on a ({'|'.join(TEXTURES)}) background",
        lambda found: Statement(BACKGROUND, _phrases(found[1]), found[2]),
    ),
    _sentence(
        rf"there (?:is|are) ({'|'.join(NUMBERS[1:])}) shapes? in the picture",
        lambda found: Statement(COUNT, value=found[1]),
    ),
)
