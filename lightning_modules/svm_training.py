"""Support vector machines for regions, with hard negative mining (Girshick et al. 2014, section 2.3, appendix B)."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.draws import fractions
from lightning_modules.networks.linear_svms import LinearSVMs
from lightning_modules.region_labels import LabelledRegions

Rows = NDArray[np.float32]

UNTRAINED_SCORE = -1e4
"""Of a class that has no positives, or no negatives: below that of any class that was learnt."""

TOLERANCE = 0.01  # of the solver; the authors' had its own of 0.1, scikit-learn's takes many times the iterations
MOST_ITERATIONS = 10_000


@dataclass(frozen=True)
class SVMTraining:
    """How the machines are trained; the defaults are those of the authors' code.

    Args:
        cost: C, the weight of the hinge losses against half the square of the weights.
        positive_weight: factor of a positive's loss.
        bias_multiplier: the feature that stands for the bias: the larger, the less the bias is penalised.
        mean_norm: features are scaled so that their norm has this mean over all regions; C goes with it.
        negative_overlap: a region whose IoU with every object of the class is below is a negative of the class; 0.3 was
            found on a validation set (section 2.3).
        hard_negatives: mine them; if not, `retrain_after` negatives of each class are drawn, all alike.
        retrain_after: a class is trained again when more new negatives than this have come.
        hard_score: a new negative comes if it scores more.
        easy_score: a negative goes if it scores less after a training.
        seed: of the negatives that are drawn.

    Raises:
        ValueError: an argument out of its range.
    """

    cost: float = 1e-3
    positive_weight: float = 2.0
    bias_multiplier: float = 10.0
    mean_norm: float = 20.0
    negative_overlap: float = 0.3
    hard_negatives: bool = True
    retrain_after: int = 2000
    hard_score: float = -1.0001
    easy_score: float = -1.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("cost", "positive_weight", "bias_multiplier", "mean_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}: must be above 0 and finite")
        if not 0 < self.negative_overlap <= 1:
            raise ValueError(f"negative_overlap={self.negative_overlap}: must be above 0 and at most 1")
        if self.retrain_after < 1:
            raise ValueError(f"retrain_after={self.retrain_after}: must be at least 1")
        if self.easy_score > self.hard_score:
            raise ValueError(f"easy_score={self.easy_score}: must be at most hard_score={self.hard_score}")


@dataclass(frozen=True, eq=False)
class SVMReport:
    """What each of K machines was trained on: K numbers each.

    Attributes:
        positives: objects of the class.
        negatives: those that were added over the whole training.
        kept: those that were left after the last training.
        trainings: how often it was trained; 0 of a class without positives or without negatives.
    """

    positives: tuple[int, ...]
    negatives: tuple[int, ...]
    kept: tuple[int, ...]
    trainings: tuple[int, ...]


def train_svms(
    svms: LinearSVMs, pictures: Iterable[tuple[Tensor, LabelledRegions]], training: SVMTraining | None = None
) -> SVMReport:
    """Train one machine per class and put it into `svms`.

    Positives are the class's objects alone, not the proposals around them. Negatives are gathered in one pass over the
    pictures: all that do not score well below the margin, by what was learnt so far. What overlaps an object of the
    class by more than `negative_overlap` and is none is left out.

    The features of one picture at a time are held, besides the objects' and the negatives' of each class.

    Args:
        svms: for K classes and D features.
        pictures: the features `(R, D)` of each picture's regions, and the regions; gone through twice.
        training: how.

    Raises:
        ValueError: pictures that can be gone through once only, or without any region, or features of another width, or
            that are no finite numbers.
    """
    training = training or SVMTraining()
    if isinstance(pictures, Iterator):
        said = f"pictures={type(pictures).__name__}: gone through twice; must be a sequence or its like"
        raise ValueError(said)  # noqa: TRY004 - of the argument
    num_classes, width = svms.weight.shape
    positives, norm = _positives(pictures, num_classes, width)
    scale = training.mean_norm / norm
    classes = [_Machine(scale * rows, training) for rows in positives]
    for number, (features, regions) in enumerate(pictures):
        rows = scale * _rows(features)
        for label, machine in enumerate(classes):
            negative = (regions.class_overlaps(label) < training.negative_overlap).cpu().numpy()
            if training.hard_negatives:
                machine.mine(rows[negative])
            else:
                machine.draw(rows[negative], fractions(len(rows), "negatives", training.seed, label, number)[negative])
    for label, machine in enumerate(classes):
        machine.train()
        # Of the features as they come, not as they are scaled here.
        svms.weight[label] = torch.from_numpy(machine.weight * scale)
        svms.bias[label] = machine.bias if machine.trainings else UNTRAINED_SCORE
    return SVMReport(
        positives=tuple(len(machine.positives) for machine in classes),
        negatives=tuple(machine.added for machine in classes),
        kept=tuple(len(machine.negatives) for machine in classes),
        trainings=tuple(machine.trainings for machine in classes),
    )


@dataclass(eq=False)
class _Machine:
    """One class's machine and what it is trained on, in scaled features."""

    positives: Rows
    training: SVMTraining
    weight: NDArray[np.float64] = field(init=False)
    bias: float = 0.0
    new: int = 0
    added: int = 0
    trainings: int = 0

    def __post_init__(self) -> None:
        width = self.positives.shape[1]
        # Untrained it scores 0, by which every negative is a hard one, as in the first picture of the authors' code.
        self.weight = np.zeros(width)
        self.negatives: Rows = np.empty((0, width), dtype=np.float32)
        self._draws = np.empty(0)

    def mine(self, rows: Rows) -> None:
        """Add the hard ones of a picture's negatives; train at the first ones, and when enough of them have come."""
        if not len(self.positives):
            return
        hard = rows[rows @ self.weight + self.bias > self.training.hard_score]
        self.negatives = np.concatenate([self.negatives, hard])
        self.new += len(hard)
        self.added += len(hard)
        if self.new > (self.training.retrain_after if self.trainings else 0):
            self.train()

    def draw(self, rows: Rows, draws: NDArray[np.float64]) -> None:
        """Keep those of the smallest draws: a uniform sample of all negatives so far."""
        self.added += len(rows)
        negatives, own = np.concatenate([self.negatives, rows]), np.concatenate([self._draws, draws])
        kept = np.argsort(own, kind="stable")[: self.training.retrain_after]
        self.negatives, self._draws = negatives[kept], own[kept]

    def train(self) -> None:
        """Solve for the weights, then forget the easy negatives."""
        if not len(self.positives) or not len(self.negatives):
            return
        # A training without boxes need not load it.
        from sklearn.svm import LinearSVC  # noqa: PLC0415

        solver = LinearSVC(
            loss="hinge",
            C=self.training.cost,
            class_weight={1: self.training.positive_weight},
            intercept_scaling=self.training.bias_multiplier,
            tol=TOLERANCE,
            max_iter=MOST_ITERATIONS,
            random_state=0,
        )
        labels = np.repeat([1, -1], [len(self.positives), len(self.negatives)])
        solver.fit(np.concatenate([self.positives, self.negatives]).astype(np.float64), labels)
        self.weight, self.bias = solver.coef_[0], float(solver.intercept_[0])
        self.new = 0
        self.trainings += 1
        if self.training.hard_negatives:
            self.negatives = self.negatives[self.negatives @ self.weight + self.bias >= self.training.easy_score]


def _positives(
    pictures: Iterable[tuple[Tensor, LabelledRegions]], num_classes: int, width: int
) -> tuple[list[Rows], float]:
    """Return the features of each class's objects, and the mean norm of those of all regions."""
    found: list[list[Rows]] = [[np.empty((0, width), dtype=np.float32)] for _ in range(num_classes)]
    norms, count = 0.0, 0
    for number, (features, regions) in enumerate(pictures):
        if features.shape != (len(regions.boxes), width):
            raise ValueError(
                f"picture {number}: features of shape {tuple(features.shape)}: must be ({len(regions.boxes)}, {width})"
            )
        rows = _rows(features)
        if not np.isfinite(rows).all():
            raise ValueError(f"picture {number}: features that are no finite numbers; the network has diverged")
        norms += float(np.linalg.norm(rows.astype(np.float64), axis=1).sum())
        count += len(rows)
        # The objects are a picture's first regions.
        for row, label in zip(rows, regions.classes.tolist(), strict=False):
            found[label].append(row[None])
    if not norms:
        raise ValueError(f"{count} regions: there must be some, with features that are not all zero")
    return [np.concatenate(rows) for rows in found], norms / count


def _rows(features: Tensor) -> Rows:
    return features.detach().cpu().float().numpy()
