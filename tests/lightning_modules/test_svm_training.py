"""Support vector machines with hard negative mining: the problem that is solved, and what it is solved on."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.networks.linear_svms import LinearSVMs
from lightning_modules.region_labels import LabelledRegions, label_regions
from lightning_modules.svm_training import UNTRAINED_SCORE, SVMReport, SVMTraining, train_svms

WIDTH = 6
Case = list[tuple[Tensor, LabelledRegions]]


def case(pictures: int = 20, *, regions: int = 60, seed: int = 0, num_classes: int = 2, scale: float = 1.0) -> Case:
    """Make pictures with one object of each class, whose features grow with the overlap with it."""
    generator = torch.Generator().manual_seed(seed)
    found: Case = []
    for _ in range(pictures):
        corner = torch.rand(regions, 2, generator=generator) * 80
        proposals = torch.cat([corner, corner + 10 + 10 * torch.rand(regions, 2, generator=generator)], dim=1)
        truths = torch.cat([corner[:num_classes], corner[:num_classes] + 15], dim=1)
        labelled = label_regions(proposals, {"boxes": truths, "labels": torch.arange(num_classes)}, 2)
        features = torch.randn(len(labelled.boxes), WIDTH, generator=generator)
        for label in range(num_classes):
            features[:, label] += 10 * labelled.class_overlaps(label).float()
        found.append((scale * features, labelled))
    return found


def trained(given: Case, **settings: Any) -> tuple[LinearSVMs, SVMReport]:  # noqa: ANN401 - as the settings are
    svms = LinearSVMs(2, WIDTH)
    return svms, train_svms(svms, given, SVMTraining(**settings))


def all_examples(given: Case, label: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the positives and all negatives of a class, scaled as the machines' are."""
    norm = torch.cat([features for features, _ in given]).double().norm(dim=1).mean()
    positives = [features[label : label + 1] for features, _ in given]
    negatives = [features[regions.class_overlaps(label) < 0.3] for features, regions in given]
    return tuple((torch.cat(rows).double() * 20 / norm).numpy() for rows in (positives, negatives))


def objective(examples: tuple[NDArray[np.float64], ...], weight: NDArray[np.float64], bias: float) -> float:
    """Return what the authors' code minimises: C = 0.001, positives twice, the bias as a weight of a feature of 10."""
    positives, negatives = examples
    hinges = 2 * np.maximum(0, 1 - positives @ weight - bias).sum() + np.maximum(0, 1 + negatives @ weight + bias).sum()
    return float(0.5 * weight @ weight + 0.5 * (bias / 10) ** 2 + 1e-3 * hinges)


def solution(given: Case, svms: LinearSVMs, label: int) -> tuple[NDArray[np.float64], float]:
    """Return a machine's weights of scaled features, and its bias."""
    norm = torch.cat([features for features, _ in given]).double().norm(dim=1).mean()
    return (svms.weight[label].double() * norm / 20).numpy(), float(svms.bias[label])


def test_the_solution_is_the_minimum_of_the_authors_problem() -> None:
    given = case()
    # All negatives at once: every one is hard, and none is easy.
    svms, report = trained(given, hard_score=-1e9, easy_score=-1e9, retrain_after=10**9)
    generator = np.random.default_rng(0)
    for label in range(2):
        weight, bias = solution(given, svms, label)
        examples = all_examples(given, label)
        least = objective(examples, weight, bias)
        assert report.negatives[label] == len(examples[1])
        assert np.abs(weight).max() > 0.01
        for _ in range(50):
            step = generator.normal(size=WIDTH + 1) * 10 ** generator.uniform(-4, -1)
            assert objective(examples, weight + step[:-1], bias + step[-1]) > least * 0.999
        for other in ({"positive_weight": 1.0}, {"bias_multiplier": 1.0}, {"cost": 1e-2}, {"mean_norm": 10.0}):
            machines, _ = trained(given, hard_score=-1e9, easy_score=-1e9, retrain_after=10**9, **other)
            assert objective(examples, *solution(given, machines, label)) > least * 1.001


def test_mined_negatives_do_as_well_as_all_of_them() -> None:
    given = case()
    whole, _ = trained(given, hard_score=-1e9, easy_score=-1e9, retrain_after=10**9)
    mined, report = trained(given, retrain_after=40)
    for label in range(2):
        examples = all_examples(given, label)
        least, reached = (objective(examples, *solution(given, svms, label)) for svms in (whole, mined))
        assert reached < 1.02 * least
        assert report.trainings[label] > 2
        assert report.kept[label] < report.negatives[label] < len(examples[1])
        assert report.positives[label] == len(given)


def test_scores_part_objects_from_what_is_far_from_them() -> None:
    given = case()
    svms, _ = trained(given)
    for label in range(2):
        inside = torch.cat([svms(features)[label, label][None] for features, _ in given])
        outside = torch.cat([svms(features)[regions.class_overlaps(label) < 0.3, label] for features, regions in given])
        assert (inside > 0).float().mean() > 0.8
        assert (outside < 0).float().mean() > 0.9


def test_scores_do_not_depend_on_the_unit_of_the_features() -> None:
    small, large = trained(case())[0], trained(case(scale=1000.0))[0]
    torch.testing.assert_close(large.weight * 1000, small.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(large.bias, small.bias, rtol=1e-3, atol=1e-3)


def test_training_twice_gives_the_same_to_the_bit() -> None:
    one, other = trained(case(), retrain_after=40)[0], trained(case(), retrain_after=40)[0]
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)


def test_regions_that_overlap_an_object_of_the_class_are_neither() -> None:
    given = case(pictures=1, regions=30)
    features, regions = given[0]
    _, report = trained(given, hard_score=-1e9, easy_score=-1e9)
    for label in range(2):
        overlap = regions.class_overlaps(label)
        assert int(((overlap >= 0.3) & (overlap < 1)).sum()) > 0
        assert report.positives[label] == 1
        assert report.negatives[label] == int((overlap < 0.3).sum()) < len(features) - 1


def test_without_mining_a_uniform_sample_of_negatives_is_learnt_from() -> None:
    given = case()
    svms, report = trained(given, hard_negatives=False, retrain_after=100)
    assert report.kept == (100, 100)
    assert report.trainings == (1, 1)
    assert report.negatives[0] == len(all_examples(given, 0)[1])
    assert not torch.equal(svms.weight, trained(given, hard_negatives=False, retrain_after=100, seed=1)[0].weight)


def test_a_class_without_objects_is_nowhere() -> None:
    svms, report = trained(case(num_classes=1))
    assert report.positives == (20, 0)
    assert report.trainings[1] == report.kept[1] == 0
    assert (svms(torch.randn(5, WIDTH))[:, 1] == UNTRAINED_SCORE).all()


def test_pictures_without_regions_and_without_objects_are_legal() -> None:
    nothing = {"boxes": torch.empty(0, 4), "labels": torch.empty(0, dtype=torch.int64)}
    given = case(pictures=4)
    empty = (torch.empty(0, WIDTH), label_regions(torch.empty(0, 4), nothing, 2))  # type: ignore[arg-type]
    one, other = trained(given)[0], trained([empty, *given, empty])[0]
    assert torch.equal(one.weight, other.weight)


def test_wrong_input_is_refused() -> None:
    given = case(pictures=2)
    with pytest.raises(ValueError, match=r"pictures=generator: gone through twice"):
        train_svms(LinearSVMs(2, WIDTH), (each for each in given))
    with pytest.raises(ValueError, match=r"picture 0: features of shape \(62, 6\): must be \(62, 7\)"):
        train_svms(LinearSVMs(2, 7), given)
    with pytest.raises(ValueError, match=r"0 regions: there must be some"):
        train_svms(LinearSVMs(2, WIDTH), [])
    given[1][0][3, 2] = float("nan")
    with pytest.raises(ValueError, match=r"picture 1: features that are no finite numbers; the network has diverged"):
        train_svms(LinearSVMs(2, WIDTH), given)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cost", 0.0), ("mean_norm", float("inf")), ("negative_overlap", 0.0), ("retrain_after", 0), ("easy_score", 0.0)],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}={value}: must be"):
        SVMTraining(**{name: value})  # type: ignore[arg-type]
