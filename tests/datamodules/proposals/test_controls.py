"""Sliding windows and jittered boxes: as many as asked, inside the picture, the same each time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.errors import DataError
from datamodules.proposals.boxes import Boxes, iou
from datamodules.proposals.jittered import jittered_boxes
from datamodules.proposals.sliding_windows import sliding_windows

SIDES = st.integers(1, 70)


def check(boxes: Boxes, height: int, width: int) -> None:
    assert boxes.dtype == np.float32
    assert boxes.shape == (len(boxes), 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [width, height]).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert len(np.unique(boxes, axis=0)) == len(boxes)


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.integers(1, 300))
def test_windows_are_inside_and_different(height: int, width: int, count: int) -> None:
    windows = sliding_windows(height, width, count)
    check(windows, height, width)
    assert len(windows) <= count
    assert np.array_equal(windows, sliding_windows(height, width, count))
    assert np.array_equal(windows, np.round(windows))


@pytest.mark.parametrize("count", [1, 2, 37, 200, 2000])
def test_there_are_as_many_windows_as_asked(count: int) -> None:
    assert len(sliding_windows(60, 90, count)) == count


def test_windows_have_all_sizes_and_shapes_and_reach_every_border() -> None:
    windows = sliding_windows(128, 128, 500)
    sides = windows[:, 2:] - windows[:, :2]
    assert {16, 32, 64, 128} <= set(sides[sides[:, 0] == sides[:, 1]][:, 0].tolist())
    ratios = sides[:, 0] / sides[:, 1]
    assert min(ratios) == pytest.approx(0.5, abs=0.05)
    assert max(ratios) == pytest.approx(2, abs=0.1)
    assert windows[:, :2].min() == 0
    assert windows[:, 2].max() == windows[:, 3].max() == 128
    assert windows[0].tolist() == [0, 0, 91, 128]


def test_more_windows_come_closer_to_any_object() -> None:
    objects = np.array([[5, 9, 40, 51], [70, 70, 88, 90], [30, 12, 92, 44]])
    nearest = [iou(sliding_windows(96, 96, count), objects).max(axis=0).mean() for count in (20, 200, 2000)]
    assert nearest == sorted(nearest)
    assert nearest[-1] > 0.7


def test_a_picture_of_one_pixel_has_one_window() -> None:
    assert sliding_windows(1, 1, 10).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("wrong", [{"height": 0}, {"width": -1}, {"count": 0}])
def test_windows_that_cannot_be_are_one_line(wrong: dict[str, int]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(DataError, match=rf"^{name}={value}: must be at least 1$"):
        sliding_windows(**{"height": 9, "width": 9, "count": 9, **wrong})


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.integers(1, 60), st.data())
def test_jittered_boxes_are_inside_and_different(height: int, width: int, count: int, data: st.DataObject) -> None:
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    truth = [x1, y1, data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))]
    truths = np.array([truth, [0, 0, width, height]], dtype=np.float32)
    found = jittered_boxes(truths, height, width, count, seed=0, index=3)
    check(found, height, width)
    assert len(found) == count


def test_jitter_depends_on_seed_index_and_place_alone() -> None:
    truths = np.array([[10, 10, 30, 40], [50, 5, 80, 35]], dtype=np.float32)
    many = jittered_boxes(truths, 60, 90, 100, seed=1, index=2)
    assert np.array_equal(jittered_boxes(truths, 60, 90, 30, seed=1, index=2), many[:30])
    for seed, index in ((2, 2), (1, 3), (2, 1)):
        assert not np.array_equal(jittered_boxes(truths, 60, 90, 100, seed=seed, index=index), many)


def test_objects_take_turns_and_boxes_stay_near() -> None:
    truths = np.array([[10, 10, 30, 40], [50, 5, 80, 35]], dtype=np.float32)
    overlaps = iou(jittered_boxes(truths, 60, 90, 400, seed=0, index=0), truths)
    for turn in (0, 1):
        own = overlaps[turn::2, turn]
        assert own.min() > 0.15
        assert own.max() > 0.8
        assert 0.3 < own.mean() < 0.7


def test_without_objects_there_are_none() -> None:
    assert jittered_boxes(np.empty((0, 4)), 5, 5, 10, seed=0, index=0).shape == (0, 4)


def test_jitter_of_what_cannot_be_is_one_line() -> None:
    with pytest.raises(DataError, match=r"^count=0: must be at least 1$"):
        jittered_boxes(np.array([[0, 0, 1, 1]]), 5, 5, 0, seed=0, index=0)
    with pytest.raises(DataError, match=r"^truths\[0\]=\(0, 0, 6, 1\): must lie inside the picture"):
        jittered_boxes(np.array([[0, 0, 6, 1]]), 5, 5, 1, seed=0, index=0)
