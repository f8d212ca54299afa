"""Five captions of a scene, in sentences that are true of it; all but at most one name shape and colour."""

from collections.abc import Callable

from datamodules.scenes.scene import Scene, Thing
from datamodules.scenes.statements import MIDDLE, NUMBERS, RELATIONS, SHOWN_CONTRAST, Phrase, background_texture
from datamodules.scenes.stream import Stream

CAPTIONS = 5
GENERIC_CHANCE = 0.5

# What is said only where nobody would doubt it, in shares of the side.
_CLEAR_STEP, _CLEAR_SLANT = 0.1, 1.5
_CLEAR_OFFSET, _CLEAR_MIDDLE = 0.08, MIDDLE / 2
_CLEAR_RATIO = 1.3
_FAINT_CONTRAST = 0.03


def captions(scene: Scene, stream: Stream) -> tuple[str, ...]:
    """Write `CAPTIONS` different captions of a scene with at least one thing; `stream` decides which.

    They begin with the things that there are, and go on with how these lie; a caption in ten says only how many.
    """
    written = [_shows(scene.things, stream)]
    if stream.chance(GENERIC_CHANCE):
        written.append(_counted(len(scene.things)))
    while len(written) < CAPTIONS:
        sentence = stream.choice(_KINDS)(scene, stream)
        if sentence is not None and sentence not in written:
            written.append(sentence)
    return tuple(written)


def _shows(things: tuple[Thing, ...], stream: Stream) -> str:
    named = [_named(thing, stream) for thing in stream.sample(things, len(things))]
    listed = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
    beginning = stream.choice(("a picture of", "the picture shows", "there are" if len(things) > 1 else "there is", ""))
    return f"{beginning} {listed}" if beginning else f"{listed} can be seen"


def _counted(number: int) -> str:
    return f"there {'are' if number > 1 else 'is'} {NUMBERS[number]} shape{'s' if number > 1 else ''} in the picture"


def _some(scene: Scene, stream: Stream) -> str:
    number = 1 + stream.below(min(len(scene.things), 2))
    return _shows(tuple(stream.sample(scene.things, number)), stream)


def _relation(scene: Scene, stream: Stream) -> str | None:
    if len(scene.things) == 1:
        return None
    one, other = stream.sample(scene.things, 2)
    clear = [relation for relation, holds in RELATIONS.items() if holds(one, other) and _is_clear(relation, one, other)]
    return f"{_named(one, stream)} is {stream.choice(clear)} {_named(other, stream)}" if clear else None


def _is_clear(relation: str, one: Thing, other: Thing) -> bool:
    if relation.endswith("than"):
        small, large = sorted((one.size, other.size))
        return large >= small * _CLEAR_RATIO
    least, most = sorted(abs(a - b) for a, b in zip(one.centre, other.centre, strict=True))
    return most >= max(_CLEAR_STEP, least * _CLEAR_SLANT)


def _place(scene: Scene, stream: Stream) -> str | None:
    thing = stream.choice(scene.things)
    x, y = thing.centre[0] - 0.5, thing.centre[1] - 0.5
    places = []
    if abs(x) >= _CLEAR_OFFSET:
        places.append("in the left half" if x < 0 else "in the right half")
    if abs(y) >= _CLEAR_OFFSET:
        places.append("in the upper half" if y < 0 else "in the lower half")
    if max(abs(x), abs(y)) <= _CLEAR_MIDDLE:
        places.append("in the middle")
    return f"{_named(thing, stream)} is {stream.choice(places)} of the picture" if places else None


def _background(scene: Scene, stream: Stream) -> str | None:
    if _FAINT_CONTRAST < scene.background.contrast < SHOWN_CONTRAST:
        return None
    return f"{_named(stream.choice(scene.things), stream)} on a {background_texture(scene)} background"


_KINDS: tuple[Callable[[Scene, Stream], str | None], ...] = (_relation, _relation, _place, _background, _some)


def _named(thing: Thing, stream: Stream) -> str:
    """Call a thing by shape and colour, and mostly by its texture; of a plain one nobody says that it is plain."""
    texture = thing.texture if thing.texture != "plain" and stream.chance(0.75) else None
    return str(Phrase(thing.shape, thing.colour, texture))
