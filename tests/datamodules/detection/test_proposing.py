"""The proposals of a sample: of every kind, the likely ones, found once."""

from pathlib import Path

import numpy as np
import pytest

from datamodules.detection.objects import ObjectRows
from datamodules.detection.proposing import KINDS, Proposer
from datamodules.errors import DataError
from datamodules.proposals.jittered import jittered_boxes
from datamodules.proposals.selective_search import SelectiveSearch

PICTURE = np.random.default_rng(0).integers(0, 256, (14, 18, 3), dtype=np.uint8)
OBJECTS = ObjectRows.of([[2, 2, 9, 8], [0, 0, 18, 14]], [0, 1], crowd=[False, True])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_boxes_inside_the_picture(tmp_path: Path, kind: str) -> None:
    boxes = Proposer(kind, 6, tmp_path).boxes(PICTURE, OBJECTS, 3)
    assert boxes.shape == (6, 4)
    assert boxes.dtype == np.float32
    assert (boxes[:, 2:] <= [18, 14]).all()
    assert (tmp_path / "proposals").is_dir() == kind.startswith("selective_search")


def test_a_search_is_that_of_the_settings_and_its_first_boxes_are_taken(tmp_path: Path) -> None:
    boxes = Proposer("selective_search_fast", 7, tmp_path).boxes(PICTURE, OBJECTS, 0)
    assert np.array_equal(boxes, SelectiveSearch("fast").boxes(PICTURE)[:7])


def test_nobody_guesses_near_a_crowd(tmp_path: Path) -> None:
    boxes = Proposer("jittered", 5, tmp_path).boxes(PICTURE, OBJECTS, 3)
    assert np.array_equal(boxes, jittered_boxes(OBJECTS.boxes[:1], 14, 18, 5, seed=0, index=3))
    assert Proposer("jittered", 5, tmp_path).boxes(PICTURE, ObjectRows.of([], []), 3).shape == (0, 4)


@pytest.mark.parametrize(
    ("kind", "count", "error"),
    [
        (
            "edge_boxes",
            5,
            "proposals=edge_boxes: must be null or one of selective_search_fast, selective_search_quality, ",
        ),
        ("jittered", 0, "num_proposals=0: must be at least 1"),
        ("jittered", True, "num_proposals=True: must be a whole number"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, kind: str, count: int, error: str) -> None:
    with pytest.raises(DataError) as found:
        Proposer(kind, count, tmp_path)
    assert str(found.value).startswith(error)


def test_any_picture_has_proposals_but_those_that_know_the_answer(tmp_path: Path) -> None:
    search = Proposer("selective_search_fast", 7, tmp_path)
    assert np.array_equal(search.anywhere(PICTURE), search.boxes(PICTURE, OBJECTS, 9))
    with pytest.raises(DataError, match=r"^proposals=jittered: made from the objects of a data set"):
        Proposer("jittered", 5, tmp_path).anywhere(PICTURE)
