"""A probe finds what a linear reader can find, on pictures it has not learnt from; the depth is that of the falls."""

import math

import numpy as np
import pytest

from experiments.measures.probes import ProbedLayer, gain_depth, probe_error


def blobs(count: int, apart: float, seed: int = 0, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Four classes along one direction of `width` features: what a fit to their numbers would mask."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    features = random.normal(size=(count, width))
    features[:, 0] += apart * labels
    return features, labels


def test_classes_in_a_row_are_all_found() -> None:
    learnt, held_out = blobs(200, 8.0), blobs(200, 8.0, seed=1)
    assert probe_error(*learnt, *held_out) < 3.0


def test_what_is_not_there_is_at_chance_and_not_by_heart() -> None:
    learnt, held_out = blobs(200, 0.0, width=100), blobs(400, 0.0, seed=1, width=100)
    assert 68.0 < probe_error(*learnt, *held_out) < 82.0
    assert probe_error(*learnt, *learnt) < 40.0


def test_neither_scale_nor_offset_nor_a_silent_channel_matter() -> None:
    (features, labels), (others, other_labels) = blobs(120, 2.0), blobs(120, 2.0, seed=1)
    plain = probe_error(features, labels, others, other_labels)
    moved = [np.pad(1e3 * part + 5.0, ((0, 0), (0, 1)), constant_values=7.0) for part in (features, others)]
    moved[1][:, -1] = 9.0  # it never spoke while the probe learnt
    assert probe_error(moved[0], labels, moved[1], other_labels) == plain
    assert 0 < plain < 75


def test_a_feature_that_is_no_number_leaves_no_error() -> None:
    features, labels = blobs(40, 2.0)
    features[3, 1] = np.nan
    assert math.isnan(probe_error(features, labels, *blobs(40, 2.0)))


@pytest.mark.parametrize(("labels", "count"), [(np.zeros(40, dtype=np.int64), 40), (np.arange(39) % 4, 40)])
def test_what_cannot_be_learnt_is_refused(labels: np.ndarray, count: int) -> None:
    features, _ = blobs(count, 2.0)
    with pytest.raises(ValueError, match=r"two labels at least|40 pictures with 39 labels"):
        probe_error(features, labels, *blobs(40, 2.0))


def course(*errors: float) -> list[ProbedLayer]:
    last = len(errors) - 1
    return [ProbedLayer(str(place), place / last, error) for place, error in enumerate(errors)]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ((80, 20, 20, 20, 20), 0.25),  # all at the first of four layers
        ((80, 80, 80, 80, 20), 1.0),
        ((80, 60, 40, 20, 0), (0.25 + 0.5 + 0.75 + 1) / 4),
        ((80, 20, 60, 70, 75), 0.25),  # what later layers forget changes nothing
        ((80, 50, 60, 20, 20), (30 * 0.25 + 30 * 0.75) / 60),
        ((80, 75, 73, 72, 66), math.nan),  # no layer tells it
        ((80, 20, math.nan, 20, 20), math.nan),
    ],
)
def test_the_depth_of_the_gain(errors: tuple[float, ...], expected: float) -> None:
    assert gain_depth(course(*errors)) == pytest.approx(expected, nan_ok=True)
    assert gain_depth(course(*errors)[::-1]) == pytest.approx(expected, nan_ok=True)
