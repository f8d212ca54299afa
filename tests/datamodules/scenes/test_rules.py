"""What each rule lets its class decide, and what it refuses."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from datamodules.errors import DataError
from datamodules.scenes.composing import Scenes, scenes_of
from datamodules.scenes.drawing import draw
from datamodules.scenes.factors import Factors
from datamodules.scenes.rules import RULES
from datamodules.scenes.scene import SHAPES, TEXTURES, Background, Scene, Thing
from datamodules.scenes.stream import Stream

Make = Callable[..., dict[str, Scenes]]


def under_every_label(scenes: Scenes, index: int) -> list[tuple[list[Thing], Background]]:
    """Things and background of one stream under each class."""
    found = []
    for label in range(len(scenes.class_names)):
        factors = Factors(Stream(index, "test"), scenes.knobs)
        found.append((RULES[scenes.rule].things(label, factors), factors.background))
    return found


def test_classes_come_in_turn(scenes: Make, preset: str) -> None:
    train = scenes(preset)["train"]
    counts = Counter(train.label(index) for index in range(10 * len(train.class_names)))
    assert counts == dict.fromkeys(range(len(train.class_names)), 10)


@pytest.mark.parametrize("preset", ["scenes", "scenes_facing", "scenes_fine", "scenes_relation", "scenes_narrow"])
def test_a_class_changes_what_it_is_about_and_nothing_else(scenes: Make, preset: str) -> None:
    about: dict[str, Callable[[Thing], Thing]] = {
        "shape": lambda thing: replace(thing, shape=""),
        "facing": lambda thing: replace(thing, turn=(0, 0)),
        "fine": lambda thing: replace(thing, notch=0, size=0),
        "relation": lambda thing: replace(thing, centre=(0, 0)),
    }
    train = scenes(preset)["train"]
    for index in range(20):
        drawn = under_every_label(train, index)
        without = {(tuple(map(about[train.rule], things)), background) for things, background in drawn}
        assert len(without) == 1
        assert len({tuple(things) for things, _ in drawn}) == len(train.class_names)


def test_shape_has_the_shape_of_its_class_as_the_largest(scenes: Make) -> None:
    train = scenes("scenes", things=[1, 4], size=[0.3, 0.4], visible=0.7)["train"]
    numbers = set()
    for index in range(64):
        things = sorted(train.scene(index).things, key=lambda thing: thing.size)
        numbers.add(len(things))
        assert things[-1].shape == train.class_names[train.label(index)]
        assert all(other.shape != things[-1].shape and other.size < 0.61 * things[-1].size for other in things[:-1])
    assert numbers == {1, 2, 3, 4}


def test_texture_agrees_in_training_and_misleads_in_the_test(scenes: Make) -> None:
    made = scenes("scenes_texture_conflict")
    agreeing = {}
    for split in ("train", "test"):
        pairs: Counter[tuple[int, int]] = Counter()
        for index in range(1200):
            (thing,) = made[split].scene(index).things
            assert thing.shape == made[split].class_names[index % 4]
            pairs[SHAPES.index(thing.shape), TEXTURES.index(thing.texture)] += 1
        agreeing[split] = sum(count for (shape, texture), count in pairs.items() if shape == texture) / 1200
        misleading = [pairs[shape, texture] for shape in range(4) for texture in range(4) if shape != texture]
        assert max(misleading) < 1.8 * min(misleading) + 20
    assert agreeing["train"] == pytest.approx(0.9, abs=0.03)
    assert agreeing["test"] == 0


def test_count_has_so_many_things_of_one_colour(scenes: Make) -> None:
    train = scenes("scenes_count")["train"]
    for index in range(40):
        things = train.scene(index).things
        assert str(len(things)) == train.class_names[train.label(index)]
        assert len({(thing.colour, thing.texture) for thing in things}) == 1


def test_area_in_all_tells_little_of_the_count(scenes: Make) -> None:
    train = scenes("scenes_count")["train"]
    areas: dict[int, list[float]] = {label: [] for label in range(4)}
    for index in range(400):
        areas[train.label(index)].append(sum(thing.size**2 for thing in train.scene(index).things))
    means = [np.mean(areas[label]) for label in range(4)]
    # Without the scale it would be 4.
    assert means[3] / means[0] == pytest.approx(1.3, abs=0.15)


def test_a_notch_takes_away_what_the_thing_is_larger_by(scenes: Make) -> None:
    train = scenes("scenes_fine", notch=0.25, shapes=8)["train"]
    areas: list[list[int]] = [[], []]
    for index in range(200):
        for label, (things, background) in enumerate(under_every_label(train, index)):
            drawing = draw(Scene(tuple(things), background), 96, Stream(0, "test"))
            areas[label].append(int((drawing.instances > 0).sum()))
            assert things[0].notch == (0.25 if label else 0)
    # Without that it would be 0.925.
    assert sum(areas[1]) / sum(areas[0]) == pytest.approx(1, abs=0.02)


def test_an_arrow_points_to_its_side_in_the_picture(scenes: Make) -> None:
    train = scenes("scenes_facing", turn=[0, 0])["train"]
    for index in range(20):
        scene, drawing = train.drawn(index, 64)
        rows, columns = np.nonzero(drawing.instances)
        # The head is wider than the shaft: most of the ink's height lies on the side it points to.
        middle = (columns.min() + columns.max()) / 2
        heights = [np.ptp(rows[side]) if side.any() else 0 for side in (columns < middle, columns > middle)]
        assert scene.things[0].shape == "arrow"
        assert train.class_names[train.label(index)] == ("left" if heights[0] > heights[1] else "right")


@pytest.mark.parametrize(
    ("rule", "knobs", "error"),
    [
        ("shape", {}, "knobs.things=null: must be given, rule=shape needs it"),
        ("fine", {}, "knobs.notch=null: must be given, rule=fine needs it"),
        ("facing", {"things": [1, 1]}, "knobs.things=[1, 1]: must be null, it has no effect under rule=facing"),
        ("shape", {"things": [1, 1], "notch": 0.2}, "knobs.notch=0.2: must be null, it has no effect under rule=shape"),
        ("count", {"things": [2, 2]}, "knobs.things=[2, 2]: must be a range, each number is a class of rule=count"),
        ("facing", {}, "knobs.turn=[-180.0, 180.0]: must be from -60 to 60 under rule=facing"),
        (
            "texture_conflict",
            {"conflict": 0.1},
            "knobs.shapes=8: must be at most 4 under rule=texture_conflict, a texture each",
        ),
        (
            "texture_conflict",
            {"conflict": 0.1, "shapes": 3},
            "knobs.textures=4: must be 3 under rule=texture_conflict, one for each shape",
        ),
        (
            "relation",
            {"distance": 12, "size": [0.16, 0.18]},
            "knobs.shade=0.2: must be 0 under rule=relation, it tells where in the picture a thing lies",
        ),
        (
            "relation",
            {"distance": 12, "size": [0.16, 0.18], "shade": 0},
            "knobs.contrast=[0.0, 0.2]: must be [0, 0] under rule=relation, it tells where in the picture a thing lies",
        ),
        (
            "relation",
            {"distance": 16, "size": [0.16, 0.18]},
            (
                "knobs.distance=16: must be at most 14.4 pixels at image_size=64 and size=[0.16, 0.18], "
                "so that three such gaps and both things fit side by side"
            ),
        ),
        (
            "relation",
            {"distance": 1},
            (
                "knobs.size=[0.4, 0.7]: must be smaller under rule=relation, at image_size=64 no room is left for "
                "three gaps and both things side by side"
            ),
        ),
        ("nope", {}, "rule=nope: must be one of shape, texture_conflict, relation, count, fine, facing"),
    ],
)
def test_a_rule_says_what_it_needs(rule: str, knobs: dict[str, object], error: str) -> None:
    with pytest.raises(DataError) as found:
        scenes_of(rule, knobs, {}, seed=0, image_size=64)
    assert str(found.value) == error


def test_the_test_scenes_have_the_classes_of_the_training_scenes() -> None:
    with pytest.raises(DataError, match=r"^test_knobs={'shapes': 4}: leaves other classes to test \(disc, .*\) than"):
        scenes_of("shape", {"things": [1, 1]}, {"shapes": 4}, seed=0, image_size=64)
    with pytest.raises(DataError, match=r"^test_knobs\.noise=2: must be a number from 0 to 1$"):
        scenes_of("shape", {"things": [1, 1]}, {"noise": 2}, seed=0, image_size=64)
