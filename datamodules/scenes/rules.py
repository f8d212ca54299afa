"""What is asked about a scene: from a class, drawn in turn, to the things that make it the right answer."""

import math
from dataclasses import fields
from typing import ClassVar

from datamodules.errors import DataError
from datamodules.scenes.difficulty import Difficulty
from datamodules.scenes.factors import Factors, NoRoom
from datamodules.scenes.scene import SHAPES, TEXTURES, Thing
from datamodules.scenes.shapes import AREA

# Knobs that only some rules take.
OF_SOME_RULES = ("things", "conflict", "notch", "distance")
UPRIGHT = 60.0  # degrees up to which left and right stay what they are


class Rule:
    """A rule draws a scene for every class. Attributes: `name`, and `needs`, the knobs of some rules that it takes."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset()

    def check(self, knobs: Difficulty) -> None:
        """Refuse knobs under which the rule cannot draw, or which it would not look at.

        Raises:
            DataError: the knob, its value and what is allowed.
        """
        for knob in fields(knobs):
            value = getattr(knobs, knob.name)
            if knob.name not in OF_SOME_RULES:
                continue
            if value is None and knob.name in self.needs:
                raise DataError(f"{knob.name}=null: must be given, rule={self.name} needs it")
            if value is not None and knob.name not in self.needs:
                shown = list(value) if isinstance(value, tuple) else value
                raise DataError(f"{knob.name}={shown}: must be null, it has no effect under rule={self.name}")

    def class_names(self, knobs: Difficulty) -> tuple[str, ...]:
        """Return the names of the classes."""
        raise NotImplementedError

    def things(self, label: int, factors: Factors) -> list[Thing]:
        """Draw the things of a scene of class `label`, from back to front.

        Raises:
            NoRoom: these lots gave no scene.
        """
        raise NotImplementedError


class Shape(Rule):
    """Which shape is there? Where there are several, the largest: the others are of other shapes, half its size."""

    name = "shape"
    needs = frozenset({"things"})
    others_size = (0.4, 0.6)

    def class_names(self, knobs: Difficulty) -> tuple[str, ...]:
        """Return the shapes in play."""
        return SHAPES[: knobs.shapes]

    def things(self, label: int, factors: Factors) -> list[Thing]:
        """Draw the thing that counts, and the others."""
        size, shape = factors.size(), factors.shapes[label]
        drawn = [factors.thing(shape, size, factors.place(size))]
        others = [other for other in factors.shapes if other != shape]
        for _ in range(factors.whole(factors.knobs.things or (1, 1)) - 1):
            smaller = size * factors.between(self.others_size)
            place = factors.place(smaller, drawn)
            drawn.append(factors.thing(factors.stream.choice(others), smaller, place))
        return factors.stream.sample(drawn, len(drawn))


class TextureConflict(Rule):
    """Which shape is there? Every class has a texture, which is another class's in a share `conflict` of the scenes."""

    name = "texture_conflict"
    needs = frozenset({"conflict"})

    def check(self, knobs: Difficulty) -> None:
        """Refuse other numbers of shapes and textures than one texture for each shape."""
        super().check(knobs)
        if knobs.shapes > len(TEXTURES):
            raise DataError(
                f"shapes={knobs.shapes}: must be at most {len(TEXTURES)} under rule={self.name}, a texture each"
            )
        if knobs.textures != knobs.shapes:
            raise DataError(
                f"textures={knobs.textures}: must be {knobs.shapes} under rule={self.name}, one for each shape"
            )

    def class_names(self, knobs: Difficulty) -> tuple[str, ...]:
        """Return the shapes in play."""
        return SHAPES[: knobs.shapes]

    def things(self, label: int, factors: Factors) -> list[Thing]:
        """Draw one thing, with its class's texture or another's."""
        texture = factors.textures[label]
        if factors.stream.chance(factors.knobs.conflict or 0.0):
            texture = factors.stream.choice([other for other in factors.textures if other != texture])
        size = factors.size()
        return [factors.thing(factors.shapes[label], size, factors.place(size), texture=texture)]


class Count(Rule):
    """How many things are there? All of one colour and texture, so that colours do not tell."""

    name = "count"
    needs = frozenset({"things"})
    # So that neither the area in all nor the size of a single thing gives the number away.
    scale = (1.0, 0.76, 0.64, 0.57, 0.53, 0.49)

    def check(self, knobs: Difficulty) -> None:
        """Refuse a single number of things."""
        super().check(knobs)
        if knobs.things is not None and knobs.things[0] == knobs.things[1]:
            raise DataError(f"things={list(knobs.things)}: must be a range, each number is a class of rule={self.name}")

    def class_names(self, knobs: Difficulty) -> tuple[str, ...]:
        """Return the numbers of things."""
        least, most = knobs.things or (1, 1)
        return tuple(str(number) for number in range(least, most + 1))

    def things(self, label: int, factors: Factors) -> list[Thing]:
        """Draw so many things."""
        number = (factors.knobs.things or (1, 1))[0] + label
        colour, texture = factors.colour(*factors.knobs.gain), factors.stream.choice(factors.textures)
        drawn: list[Thing] = []
        for _ in range(number):
            size = factors.size() * self.scale[number - 1]
            shape, place = factors.stream.choice(factors.shapes), factors.place(size, drawn)
            drawn.append(factors.thing(shape, size, place, colour=colour, texture=texture))
        return drawn


class Fine(Rule):
    """Is the thing whole, or is a notch cut out of it? Few pixels decide.

    A notched thing is larger by what the notch takes away, so that the area does not tell.
    """

    name = "fine"
    needs = frozenset({"notch"})

    def class_names(self, knobs: Difficulty) -> tuple[str, ...]:  # noqa: ARG002 - a rule's way
        """Return the two answers."""
        return ("whole", "notched")

    def things(self, label: int, factors: Factors) -> list[Thing]:
        """Draw one thing, whole or not."""
        notch = factors.knobs.notch or 0.0
        size = factors.size()
        # About half of the disc that is cut out lies within the outline; shares of the area, whatever the size.
        lost = min(math.pi / 2 * notch * notch / AREA, 0.5)
        larger = min(size / math.sqrt(1 - lost), 1.0)
        shape, place = factors.stream.choice(factors.shapes), factors.place(larger)
        return [factors.thing(shape, larger if label else size, place, notch=notch if label else 0.0)]


class Facing(Rule):
    """Does the arrow point left or right? A mirrored picture has the other answer."""

    name = "facing"

    def check(self, knobs: Difficulty) -> None:
        """Refuse rotations that turn right into left."""
        super().check(knobs)
        if max(map(abs, knobs.turn)) > UPRIGHT:
            raise DataError(f"turn={list(knobs.turn)}: must be from -{UPRIGHT:g} to {UPRIGHT:g} under rule={self.name}")

    def class_names(self, knobs: Difficulty) -> tuple[str, ...]:  # noqa: ARG002 - a rule's way
        """Return the two directions."""
        return ("left", "right")

    def things(self, label: int, factors: Factors) -> list[Thing]:
        """Draw one arrow, which points upwards until it is turned."""
        size = factors.size()
        return [factors.thing("arrow", size, factors.place(size), turned=90.0 if label else -90.0)]


class Relation(Rule):
    """Where does the small thing lie, seen from the large one? To tell, both must be seen at once.

    Between the two lie `distance` pixels at least, and as many between either and the border of the picture, so that
    nothing as small as that shows more of where a thing lies than that it is there: a network with a smaller receptive
    field, whose answer is averaged over the picture, is left to guess. A shaded or textured background would tell it
    where in the picture it looks, and is refused.
    """

    name = "relation"
    needs = frozenset({"distance"})
    small = (0.45, 0.55)  # diameter of the small thing, as a share of the large one's
    slant = 0.5  # how far the small thing may lie off the direction, as a share of how far it lies along it

    def check(self, knobs: Difficulty) -> None:
        """Refuse distances for which there is no room, and backgrounds that tell where a thing lies."""
        super().check(knobs)
        side, distance = knobs.side, knobs.distance
        if side is None or distance is None:
            raise DataError("distance: is counted in pixels, so it needs side, the pixels of a picture")
        largest = (side * (1 - knobs.size[1] * (1 + self.small[1]))) / 3 - 1
        if largest < 1:
            raise DataError(
                f"size={list(knobs.size)}: must be smaller under rule={self.name}, at image_size={side} no room is "
                "left for three gaps and both things side by side"
            )
        if distance > largest:
            raise DataError(
                f"distance={distance:g}: must be at most {largest:.1f} pixels at image_size={side} and "
                f"size={list(knobs.size)}, so that three such gaps and both things fit side by side"
            )
        tells = "it tells where in the picture a thing lies"
        if knobs.shade:
            raise DataError(f"shade={knobs.shade:g}: must be 0 under rule={self.name}, {tells}")
        if knobs.contrast[1]:
            raise DataError(f"contrast={list(knobs.contrast)}: must be [0, 0] under rule={self.name}, {tells}")
        if knobs.shift < 1:
            raise DataError(f"shift={knobs.shift:g}: must be 1 under rule={self.name}, which places its things itself")

    def class_names(self, knobs: Difficulty) -> tuple[str, ...]:  # noqa: ARG002 - a rule's way
        """Return the four directions."""
        return ("right", "below", "left", "above")

    def things(self, label: int, factors: Factors) -> list[Thing]:
        """Draw the large and the small thing."""
        knobs = factors.knobs
        # One pixel more, as the outlines lie anywhere between pixels.
        gap = ((knobs.distance or 0.0) + 1) / (knobs.side or 1)
        large = factors.size()
        small = large * factors.between(self.small)
        margins = gap + large / 2, gap + small / 2
        apart = factors.between((1.0, 1.2)) * gap + (large + small) / 2
        spare = 1 - apart - sum(margins)
        if spare < 0:
            raise NoRoom
        start = margins[0] + factors.between((0.0, spare))
        along = (start, start + apart)
        across = factors.between((margins[0], 1 - margins[0]))
        reach = self.slant * apart
        lowest, highest = max(across - reach, margins[1]), min(across + reach, 1 - margins[1])
        off = (across, factors.between((lowest, highest)))
        # To the left and above is to the right and below, seen in a mirror.
        if label > 1:
            along = (1 - along[0], 1 - along[1])
        drawn = []
        for size, position, beside in zip((large, small), along, off, strict=True):
            centre = (beside, position) if label % 2 else (position, beside)
            drawn.append(factors.thing(factors.stream.choice(factors.shapes), size, centre))
        return drawn


RULES: dict[str, Rule] = {
    rule.name: rule for rule in (Shape(), TextureConflict(), Relation(), Count(), Fine(), Facing())
}
