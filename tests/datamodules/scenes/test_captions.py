"""Captions are sentences, and true."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from datamodules.scenes.annotation import AnnotatedScene, annotate
from datamodules.scenes.composing import Scenes
from datamodules.scenes.difficulty import Difficulty
from datamodules.scenes.scene import COLOURS, SHAPES, TEXTURES, Background, Scene, Thing
from datamodules.scenes.statements import COUNT, PLACES, RELATIONS, Phrase, Statement, is_true, read

Make = Callable[..., dict[str, Scenes]]
CROWDED = Difficulty(things=(1, 4), size=(0.3, 0.5), visible=0.5)
THING = rf"(?:a|an) (?:(?:{'|'.join(TEXTURES[1:])}) )?(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)})"


@pytest.fixture(scope="module")
def annotated() -> list[AnnotatedScene]:
    return [annotate(Scenes("shape", CROWDED), index, 64) for index in range(150)]


def test_every_caption_is_true_and_other_scenes_captions_mostly_are_not(annotated: list[AnnotatedScene]) -> None:
    own = [is_true(caption, one.scene) for one in annotated for caption in one.captions]
    others = [is_true(caption, other.scene) for one, other in pairwise(annotated) for caption in one.captions]
    assert all(own)
    assert len(own) == 750
    assert np.mean(others) < 0.1


def test_captions_are_grammatical_and_name_shape_and_colour(annotated: list[AnnotatedScene]) -> None:
    counted = 0
    kinds: Counter[str] = Counter()
    for one in annotated:
        assert len(set(one.captions)) == 5
        statements = [read(caption) for caption in one.captions]
        generic = [statement for statement in statements if statement is not None and statement.says == COUNT]
        assert len(generic) <= 1
        counted += len(generic)
        for caption, statement in zip(one.captions, statements, strict=True):
            assert statement is not None
            kinds[statement.says] += 1
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  |, and|^ | $", caption)
            assert statement.says == COUNT or len(re.findall(THING, caption)) == len(statement.of) >= 1
            assert ("there are" in caption) == (
                caption.startswith("there") and (len(statement.of) > 1 or "shapes" in caption)
            )
    assert counted < 0.6 * len(annotated)
    assert set(kinds) == {"shows", "background", "count", *RELATIONS, *PLACES}


def test_relations_are_true_of_the_pixels(annotated: list[AnnotatedScene]) -> None:
    checked = 0
    for one in annotated:
        if len({(thing.shape, thing.colour) for thing in one.scene.things}) < len(one.scene.things):
            continue
        for statement in filter(None, map(read, one.captions)):
            if statement.says not in RELATIONS or statement.says.endswith("than"):
                continue
            places = [
                next(number for number, thing in enumerate(one.scene.things) if phrase.fits(thing))
                for phrase in statement.of
            ]
            first, second = (np.argwhere(one.instances == number + 1).mean(axis=0) for number in places)
            down, across = first - second
            ahead = {"to the right of": across, "to the left of": -across, "below": down, "above": -down}
            assert ahead[statement.says] > 0
            checked += 1
    assert checked > 50


SCENE = Scene(
    (
        Thing("triangle", "red", "striped", 0.3, (0.8, 0.5)),
        Thing("square", "orange", "plain", 0.2, (0.2, 0.4)),
        Thing("square", "orange", "dotted", 0.2, (0.5, 0.9)),
    ),
    Background(((0, 0, 0), (0, 0, 0)), texture="dotted", contrast=0.2),
)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A striped red triangle is to the right of an orange square.", True),
        ("a red triangle is to the right of a plain orange square", True),
        ("a striped red triangle is to the left of an orange square", False),
        ("a red triangle is above a dotted orange square", True),
        ("a red triangle is above a plain orange square", False),
        ("a dotted red triangle is to the right of an orange square", False),
        ("a red triangle is larger than an orange square", True),
        ("a red triangle is smaller than an orange square", False),
        ("a picture of an orange square and an orange square", True),
        ("a picture of an orange square, an orange square and a red triangle", True),
        ("a picture of an orange square, an orange square and an orange square", False),
        ("the picture shows a red triangle and a blue disc", False),
        ("there is a red triangle", True),
        ("a red triangle can be seen", True),
        ("a red triangle is in the right half of the picture", True),
        ("a red triangle is in the middle of the picture", False),
        ("a red triangle on a dotted background", True),
        ("a red triangle on a plain background", False),
        ("a blue triangle on a dotted background", False),
        ("there are three shapes in the picture", True),
        ("there are four shapes in the picture", False),
        ("a red triangle is to the right of the right of", False),
        ("", False),
    ],
)
def test_what_a_caption_says_is_checked_against_the_scene(caption: str, expected: bool) -> None:
    assert is_true(caption, SCENE) is expected


def test_a_sentence_is_read_word_by_word() -> None:
    found = read("a striped red triangle is to the right of an orange square")
    assert found == Statement("to the right of", (Phrase("triangle", "red", "striped"), Phrase("square", "orange")))
    assert [str(phrase) for phrase in found.of] == ["a striped red triangle", "an orange square"]
    assert read("a red triangle of orange square") is None
