"""From an index to a scene: a function of (version, seed, split, index), the rule and the knobs alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.errors import DataError
from datamodules.scenes.difficulty import Difficulty
from datamodules.scenes.drawing import draw
from datamodules.scenes.factors import Factors, NoRoom, touch
from datamodules.scenes.rules import RULES, Rule
from datamodules.scenes.scene import Drawing, Scene, Thing
from datamodules.scenes.stream import Stream
from datamodules.scenes.things import place

VERSION = 1
"""Raised with whatever changes a scene or its picture: other pictures are another data set."""

GRID = 64
"""Pixels a side at which it is decided how much of a thing is seen: an index is one scene, whatever its size."""

SCENES_TRIED = 200
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Scenes:
    """The endless row of scenes of one split.

    Args:
        rule: of `RULES`.
        knobs: how hard they are.
        seed: of the data; another one gives other scenes of the same kind.
        split: of `SPLITS`; no scene of one is a scene of another.

    Raises:
        DataError: an unknown rule or split, or knobs that the rule refuses.
    """

    rule: str
    knobs: Difficulty
    seed: int = 0
    split: str = "train"

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise DataError(f"rule={self.rule}: must be one of {', '.join(RULES)}")
        if self.split not in SPLITS:
            raise DataError(f"split={self.split}: must be one of {', '.join(SPLITS)}")
        self._rule.check(self.knobs)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The answers to the rule's question."""
        return self._rule.class_names(self.knobs)

    @property
    def key(self) -> str:
        """All that these scenes depend on, as a text."""
        return f"scenes/{VERSION}/{self.seed}/{self.split}/{self.rule}/{self.knobs.described}"

    def label(self, index: int) -> int:
        """Return the class of a scene: all classes in turn, so that any row of scenes is balanced."""
        return index % len(self.class_names)

    def scene(self, index: int) -> Scene:
        """Compose a scene.

        Raises:
            DataError: under these knobs none was found.
        """
        stream = self.stream(index, "factors")
        for _ in range(SCENES_TRIED):
            factors = Factors(stream, self.knobs)
            try:
                things = tuple(self._rule.things(self.label(index), factors))
            except NoRoom:
                continue
            scene = Scene(things, factors.background, self.knobs.noise)
            if self._shows_enough(scene):
                return scene
        raise DataError(
            f"visible={self.knobs.visible:g}: no such scene in {SCENES_TRIED} tries at index {index} of {self.split} "
            f"under rule={self.rule}; allow fewer or smaller things, a larger shift, or more of a thing to be hidden"
        )

    def drawn(self, index: int, size: int) -> tuple[Scene, Drawing]:
        """Compose a scene and draw it at `size` pixels a side.

        Raises:
            DataError: as `scene`.
        """
        scene = self.scene(index)
        return scene, draw(scene, size, self.stream(index, "grain"))

    def stream(self, index: int, purpose: str) -> Stream:
        """Return the random numbers of one scene for one purpose."""
        return Stream(index, "scenes", VERSION, self.seed, self.split, purpose)

    @property
    def _rule(self) -> Rule:
        return RULES[self.rule]

    def _shows_enough(self, scene: Scene) -> bool:
        things = scene.things
        overlapping = any(
            touch(thing.centre, thing.size, other)
            for number, thing in enumerate(things)
            for other in things[number + 1 :]
        )
        if not overlapping:
            return True
        return least_visible(things, GRID) >= self.knobs.visible


def least_visible(things: Sequence[Thing], size: int) -> float:
    """Return what is seen of the thing that shows least, as `draw` would tell at `size`, without drawing it."""
    instances = np.zeros((size, size), dtype=np.uint8)
    alone = []
    for number, thing in enumerate(things, start=1):
        placed = place(thing, size)
        inside = placed.depth > 0
        np.copyto(instances[placed.rows, placed.columns], number, where=inside)
        alone.append(np.count_nonzero(inside))
    seen = np.bincount(instances.ravel(), minlength=len(things) + 1)[1:]
    return min(float(count) / whole if whole else 0.0 for count, whole in zip(seen, alone, strict=True))


def scenes_of(
    rule: str, knobs: Mapping[str, object], test_knobs: Mapping[str, object], *, seed: int, image_size: int
) -> dict[str, Scenes]:
    """Return the scenes of each split.

    Args:
        rule: of `RULES`.
        knobs: of `Difficulty`, by name.
        test_knobs: those that are different in the test split.
        seed: of the data.
        image_size: pixels a side, in which `distance` is counted.

    Raises:
        DataError: an unknown rule, or knobs that are unknown, out of range or refused by the rule.
    """
    if rule not in RULES:
        raise DataError(f"rule={rule}: must be one of {', '.join(RULES)}")
    found = {split: _scenes("knobs", rule, knobs, seed, split, image_size) for split in SPLITS}
    if test_knobs:
        found["test"] = _scenes("test_knobs", rule, {**knobs, **test_knobs}, seed, "test", image_size)
    if found["test"].class_names != found["train"].class_names:
        raise DataError(
            f"test_knobs={dict(test_knobs)}: leaves other classes to test ({', '.join(found['test'].class_names)}) "
            f"than to train on ({', '.join(found['train'].class_names)})"
        )
    return found


def _scenes(named: str, rule: str, knobs: Mapping[str, object], seed: int, split: str, image_size: int) -> Scenes:
    # Only where pixels are asked for is a scene another one at another size.
    side = None if knobs.get("distance") is None else image_size
    try:
        return Scenes(rule, Difficulty.of(knobs, side=side), seed, split)
    except DataError as error:
        raise DataError(f"{named}.{error}") from error
