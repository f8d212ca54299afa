"""Overlap of boxes, against counting pixels one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.proposals.boxes import check_inside, iou

Box = tuple[int, int, int, int]


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x1, y1 = draw(st.integers(0, 8)), draw(st.integers(0, 8))
    return x1, y1, draw(st.integers(x1 + 1, 9)), draw(st.integers(y1 + 1, 9))


def pixels(box: Box) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


@given(st.lists(boxes(), min_size=1, max_size=4), st.lists(boxes(), min_size=1, max_size=4))
def test_iou_is_the_share_of_pixels_in_both(some: list[Box], others: list[Box]) -> None:
    expected = [[len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b)) for b in others] for a in some]
    assert np.allclose(iou(np.array(some, dtype=np.float32), np.array(others)), expected, rtol=0, atol=1e-12)


def test_no_boxes_overlap_with_nothing() -> None:
    none, one = np.empty((0, 4), dtype=np.float32), np.array([[0, 0, 1, 1]])
    assert iou(none, one).shape == (0, 1)
    assert iou(one, none).shape == (1, 0)


@pytest.mark.parametrize(
    ("given_boxes", "said"),
    [
        ([[0, 0, 1, 1], [5, 2, 3, 4]], "boxes[1]=(5, 2, 3, 4): must be x1 < x2 and y1 < y2, all finite"),
        ([[0, 0, 0, 1]], "boxes[0]=(0, 0, 0, 1): must be x1 < x2 and y1 < y2, all finite"),
        ([[0, 0, np.nan, 1]], "boxes[0]=(0, 0, nan, 1): must be x1 < x2 and y1 < y2, all finite"),
        ([[0, 0, np.inf, 1]], "boxes[0]=(0, 0, inf, 1): must be x1 < x2 and y1 < y2, all finite"),
        ([0, 0, 1, 1], "boxes of shape (4,): must be (N, 4), x1 y1 x2 y2"),
        ([[0, 0, 1]], "boxes of shape (1, 3): must be (N, 4), x1 y1 x2 y2"),
    ],
)
def test_what_is_no_box_is_one_line(given_boxes: list[float], said: str) -> None:
    with pytest.raises(DataError) as error:
        iou(np.array(given_boxes), np.array([[0, 0, 1, 1]]))
    assert str(error.value) == said


def test_a_box_outside_its_picture_is_one_line() -> None:
    inside = np.array([[0, 0, 20, 10]])
    assert np.array_equal(check_inside("truths", inside, 10, 20), inside)
    for box in ([0, 0, 21, 10], [0, 0, 20, 11], [-1, 0, 20, 10], [0, -0.5, 20, 10]):
        with pytest.raises(
            DataError, match=r"^truths\[1\]=\(.*\): must lie inside the picture, 0 ≤ x ≤ 20, 0 ≤ y ≤ 10$"
        ):
            check_inside("truths", np.array([[0, 0, 1, 1], box]), 10, 20)
