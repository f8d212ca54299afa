"""Ridge regression of boxes, one class at a time (Girshick et al. 2014, appendix C)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.networks.box_regression import BoxRegressors, encode
from lightning_modules.networks.boxes import SIDES
from lightning_modules.region_labels import LabelledRegions

WHITENING = 1e-3
"""Added to the variances of the targets, in the authors' code, so that none of them is zero."""


@dataclass(frozen=True)
class RidgeRegression:
    """How the regressors are fitted; the defaults are those of the paper and the authors' code.

    Args:
        penalty: λ, of the square of the weights; 1000 was found on a validation set.
        overlap: a region is learnt from if its IoU with the nearest object is above; 0.6 was found there, too.
        mean_norm: features are scaled so that their norm has this mean over all regions; λ goes with it.

    Raises:
        ValueError: an argument out of its range.
    """

    penalty: float = 1000.0
    overlap: float = 0.6
    mean_norm: float = 20.0

    def __post_init__(self) -> None:
        for name in ("penalty", "mean_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}: must be above 0 and finite")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap={self.overlap}: must be at least 0 and below 1")


class BoxRegressorTraining:
    """Gathers pairs of a region and its nearest object, picture by picture, then fits a class's regressor to its pairs.

    Of each picture those regions are held that overlap an object enough; the objects, of which there is nothing to
    correct, are among them.

    Args:
        num_classes: K.
        regression: how.
    """

    def __init__(self, num_classes: int, regression: RidgeRegression | None = None) -> None:
        self.regression = regression or RidgeRegression()
        self._features: list[list[Tensor]] = [[] for _ in range(num_classes)]
        self._targets: list[list[Tensor]] = [[] for _ in range(num_classes)]
        self._norms = 0.0
        self._regions = 0

    def add(self, features: Tensor, regions: LabelledRegions) -> None:
        """Take the pairs of a picture.

        Args:
            features: of its regions, `(R, D)`.
            regions: R.

        Raises:
            ValueError: not as many features as regions, or features that are no finite numbers.
        """
        if len(features) != len(regions.boxes):
            raise ValueError(f"features of {len(features)} regions: must be of {len(regions.boxes)}")
        if not features.isfinite().all():
            raise ValueError("features that are no finite numbers; the network has diverged")
        self._norms += float(features.double().norm(dim=1).sum())
        self._regions += len(features)
        overlap, number = regions.nearest()
        near = (overlap > self.regression.overlap).nonzero()[:, 0]
        if not len(near):
            return
        targets = encode(regions.boxes[near].double(), regions.truths[number[near]].double())
        classes = regions.classes[number[near]]
        for label in sorted(set(classes.tolist())):
            self._features[label].append(features[near[classes == label]].detach().cpu())
            self._targets[label].append(targets[classes == label].cpu())

    def fit(self, regressors: BoxRegressors) -> tuple[int, ...]:
        """Solve for the weights and put them into `regressors`.

        The regressor of a class without pairs leaves every box as it is.

        Returns:
            The number of pairs of each class.
        """
        # Of features that are all zero, as of no regions, no weight can be learnt, whatever the scale.
        scale = self.regression.mean_norm * self._regions / self._norms if self._norms else 1.0
        regressors.weight.zero_()
        regressors.bias.zero_()
        for label, (features, targets) in enumerate(zip(self._features, self._targets, strict=True)):
            if features:
                weight, bias = ridge(scale * torch.cat(features).double(), torch.cat(targets), self.regression.penalty)
                # Of the features as they come, not as they are scaled here.
                regressors.weight[label], regressors.bias[label] = scale * weight, bias
        return tuple(sum(map(len, targets)) for targets in self._targets)


def ridge(features: Tensor, targets: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Regress whitened targets on features in closed form, and undo the whitening.

    As in the authors' code the targets are centred and decorrelated first, so that λ means the same for all four, and
    the bias is a weight as any other.

    Args:
        features: float64 `(N, D)`; N at least 1.
        targets: float64 `(N, 4)`.
        penalty: λ.

    Returns:
        Weights `(D, 4)` and biases `(4,)` of the targets as they are given.
    """
    mean = targets.mean(dim=0)
    centred = targets - mean
    variances, axes = torch.linalg.eigh(centred.T @ centred / len(targets))
    # Rounding may leave a variance of zero a little below it.
    deviations = (variances.clamp(min=0) + WHITENING).sqrt()
    whitened = centred @ (axes / deviations) @ axes.T
    rows = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    # The same solution either way; the smaller of the two systems is solved.
    if len(rows) >= rows.shape[1]:
        solved = _solve(rows.T @ rows, rows.T @ whitened, penalty)
    else:
        solved = rows.T @ _solve(rows @ rows.T, whitened, penalty)
    solved = solved @ (axes * deviations) @ axes.T
    return solved[:-1], solved[-1] + mean


def _solve(gram: Tensor, right: Tensor, penalty: float) -> Tensor:
    regular = gram + penalty * torch.eye(len(gram), dtype=gram.dtype)
    return torch.cholesky_solve(right.reshape(-1, SIDES), torch.linalg.cholesky(regular))
