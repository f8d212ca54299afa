"""Recall and best overlaps, on boxes of which they are known."""

import numpy as np
import pytest

from datamodules.errors import DataError
from datamodules.proposals.recall import best_overlaps, mean_average_best_overlap, recall

TRUTHS = np.array([[0, 0, 10, 10], [20, 0, 30, 10]])
PROPOSALS = np.array([[0, 0, 10, 5], [20, 0, 30, 9], [0, 0, 10, 10], [50, 50, 60, 60]])


def test_only_the_first_proposals_count() -> None:
    found = best_overlaps(PROPOSALS, TRUTHS, [1, 2, 3, 100])
    assert np.allclose(found, [[0.5, 0], [0.5, 0.9], [1, 0.9], [1, 0.9]])
    assert recall(found, 0.5).tolist() == [0.5, 1, 1, 1]
    assert recall(found, 0.7).tolist() == [0, 0.5, 1, 1]


def test_each_class_weighs_the_same() -> None:
    overlaps = np.array([[1.0, 0.5, 0.6, 0.1]])
    assert mean_average_best_overlap(overlaps, np.array([7, 7, 7, 2])) == pytest.approx([(0.7 + 0.1) / 2])


def test_without_proposals_nothing_is_found() -> None:
    none = np.empty((0, 4))
    assert best_overlaps(none, TRUTHS, [5]).tolist() == [[0, 0]]
    assert best_overlaps(PROPOSALS, none, [1, 5]).shape == (2, 0)


def test_more_proposals_never_find_less() -> None:
    random = np.random.default_rng(0)
    corners = random.uniform(0, 50, (2, 40, 2))
    boxes = np.concatenate([corners[0], corners[0] + 1 + corners[1]], axis=1)
    found = best_overlaps(boxes[8:], boxes[:8], range(1, 33))
    assert (np.diff(found, axis=0) >= 0).all()
    assert found[-1].min() > 0


def test_what_has_no_answer_is_one_line() -> None:
    overlaps = best_overlaps(PROPOSALS, TRUTHS, [1])
    with pytest.raises(DataError, match=r"^counts=\[2, 0\]: must all be at least 1$"):
        best_overlaps(PROPOSALS, TRUTHS, [2, 0])
    for threshold in (0.0, 1.5):
        with pytest.raises(DataError, match=rf"^threshold={threshold:g}: must be above 0 and at most 1$"):
            recall(overlaps, threshold)
    with pytest.raises(DataError, match=r"^no true box"):
        recall(overlaps[:, :0], 0.5)
    with pytest.raises(DataError, match=r"^classes of shape \(3,\): must be \(2,\)"):
        mean_average_best_overlap(overlaps, np.array([1, 2, 3]))
