"""Ridge regression of boxes: the authors' formula, and which pairs it is of."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.box_regressor_training import BoxRegressorTraining, RidgeRegression, ridge
from lightning_modules.networks.box_regression import BoxRegressors, decode
from lightning_modules.region_labels import LabelledRegions, label_regions


def written_out(x: NDArray[np.float64], y: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return `(D + 1, 4)` weights, the bias last, by the steps of the authors' code, one target after the other."""
    rows = np.hstack([x, np.ones((len(x), 1))])
    mean = y.mean(axis=0)
    variances, axes = np.linalg.eigh((y - mean).T @ (y - mean) / len(y))
    whiten = axes @ np.diag(1 / np.sqrt(np.maximum(variances, 0) + 0.001)) @ axes.T
    back = axes @ np.diag(np.sqrt(np.maximum(variances, 0) + 0.001)) @ axes.T
    penalised = np.vstack([rows, np.sqrt(penalty) * np.eye(rows.shape[1])])
    solved = [
        np.linalg.lstsq(penalised, np.concatenate([target, np.zeros(rows.shape[1])]), rcond=None)[0]
        for target in ((y - mean) @ whiten).T
    ]
    weights = np.stack(solved, axis=1) @ back
    weights[-1] += mean
    return np.asarray(weights)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("rows", "width"), [(1, 3), (4, 9), (10, 9), (60, 9)])
def test_weights_are_those_of_the_authors_steps(seed: int, rows: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(rows, width)), generator.normal(size=(rows, 4)) * [1, 0.1, 10, 0.3]
    weight, bias = ridge(torch.from_numpy(x), torch.from_numpy(y), penalty=3.0)
    expected = written_out(x, y, 3.0)
    np.testing.assert_allclose(weight.numpy(), expected[:-1], atol=1e-9)
    np.testing.assert_allclose(bias.numpy(), expected[-1], atol=1e-9)


def test_a_linear_map_is_found_again_where_nothing_is_penalised() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 5, generator=generator, dtype=torch.float64)
    true = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    weight, bias = ridge(x, x @ true + 2, penalty=1e-9)
    torch.testing.assert_close(weight, true, rtol=0, atol=1e-8)
    torch.testing.assert_close(bias, torch.full((4,), 2.0, dtype=torch.float64), rtol=0, atol=1e-8)


def moved_regions(seed: int) -> tuple[Tensor, LabelledRegions]:
    """Make objects of classes 0 and 2 and proposals near them, with features that tell the way back, by class."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(6, 2, generator=generator) * 80 + 10
    truths = torch.cat([corner, corner + 20 + 20 * torch.rand(6, 2, generator=generator)], dim=1)
    labels = torch.tensor([0, 2, 0, 2, 0, 2])
    offsets = torch.randn(6, 9, 4, generator=generator) * 0.1
    proposals = decode(truths[:, None], offsets).reshape(-1, 4)
    regions = label_regions(proposals, {"boxes": truths, "labels": labels}, 3)
    overlap, number = regions.nearest()
    way = torch.zeros(len(regions.boxes), 4)
    way[:] = _encode(regions.boxes, truths[number])
    way[regions.classes[number] == 2] *= -1
    assert (overlap > 0.6).sum() > 10
    return way, regions


def _encode(boxes: Tensor, truths: Tensor) -> Tensor:
    size, true = boxes[:, 2:] - boxes[:, :2], truths[:, 2:] - truths[:, :2]
    shift = (truths[:, :2] + truths[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2 / size
    return torch.cat([shift, (true / size).log()], dim=1)


def test_each_class_learns_its_own_way_to_the_nearest_object() -> None:
    training = BoxRegressorTraining(3, RidgeRegression(penalty=1e-6))
    for seed in range(4):
        training.add(*moved_regions(seed))
    regressors = BoxRegressors(3, 4)
    pairs = training.fit(regressors)
    features, regions = moved_regions(9)
    overlap, number = regions.nearest()
    found = regressors(features, regions.boxes)
    for label in (0, 2):
        near = (overlap > 0.6) & (regions.classes[number] == label)
        torch.testing.assert_close(found[near, label], regions.truths[number[near]], rtol=0, atol=1e-2)
    # A class without pairs leaves boxes as they are.
    assert pairs[1] == 0
    torch.testing.assert_close(found[:, 1], regions.boxes)


def test_pairs_are_regions_that_overlap_by_more_than_asked_and_the_objects() -> None:
    _, regions = moved_regions(0)
    overlap, number = regions.nearest()
    training = BoxRegressorTraining(3)
    training.add(torch.ones(len(regions.boxes), 4), regions)
    near = overlap > 0.6
    assert near.sum() < len(near)
    classes = regions.classes[number[near]]
    assert training.fit(BoxRegressors(3, 4)) == tuple(int((classes == label).sum()) for label in range(3))


def test_the_penalty_means_the_same_whatever_the_unit_of_the_features() -> None:
    found = []
    for unit in (1.0, 1000.0):
        training, regressors = BoxRegressorTraining(3), BoxRegressors(3, 4)
        features, regions = moved_regions(0)
        training.add(unit * features, regions)
        training.fit(regressors)
        found.append(regressors(unit * features, regions.boxes))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-3)


def test_nothing_to_learn_from_leaves_boxes_as_they_are() -> None:
    training, regressors = BoxRegressorTraining(3), BoxRegressors(3, 4)
    regressors.weight.fill_(1.0)
    nothing = {"boxes": torch.empty(0, 4), "labels": torch.empty(0, dtype=torch.int64)}
    training.add(torch.ones(1, 4), label_regions(torch.tensor([[0.0, 0.0, 5.0, 5.0]]), nothing, 3))  # type: ignore[arg-type]
    assert training.fit(regressors) == (0, 0, 0)
    assert not regressors.weight.any()


def test_wrong_input_is_refused() -> None:
    features, regions = moved_regions(0)
    with pytest.raises(ValueError, match=r"features of 3 regions: must be of 60"):
        BoxRegressorTraining(3).add(features[:3], regions)
    with pytest.raises(ValueError, match=r"features that are no finite numbers; the network has diverged"):
        BoxRegressorTraining(3).add(features * float("inf"), regions)
    with pytest.raises(ValueError, match=r"penalty=0\.0: must be above 0"):
        RidgeRegression(penalty=0.0)
    with pytest.raises(ValueError, match=r"overlap=1\.0: must be at least 0 and below 1"):
        RidgeRegression(overlap=1.0)
