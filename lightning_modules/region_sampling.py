"""Which regions a training step sees: mostly background, as most regions are, yet with enough objects.

Draws are functions of (seed, step) alone: a training that is resumed repeats those of one never interrupted.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_modules.draws import fractions
from lightning_modules.region_labels import IGNORED


class SampledRegions(NamedTuple):
    """The regions of one step: int64 `(B,)` each.

    Attributes:
        pictures: which of the pictures.
        regions: which of that picture's.
        labels: the class, K for the background.
    """

    pictures: Tensor
    regions: Tensor
    labels: Tensor


class RegionSampler:
    """Draws from the regions of all pictures alike, as R-CNN is fine-tuned (Girshick et al. 2014, section 2.3).

    Each step sees `positives` regions of any class and `backgrounds` others, each drawn uniformly and independently, as
    by the authors' code: a region may come twice, and a few positives come as often as many would. Where there is none,
    of which that code knows nothing, background takes their place, and the other way round.

    Args:
        labels: of the regions of each of P pictures, int64 `(R,)`, as of `label_regions`: of a whole training set as in
            the paper, or of a batch.
        num_classes: K.
        positives: regions of objects per step; 32 in the paper.
        backgrounds: regions of background per step; 96 in the paper.
        seed: of the draws.

    Raises:
        ValueError: a number below 0, both of them 0, or no picture has a region that is not ignored.
    """

    def __init__(
        self, labels: Sequence[Tensor], *, num_classes: int, positives: int = 32, backgrounds: int = 96, seed: int = 0
    ) -> None:
        if min(positives, backgrounds) < 0 or positives + backgrounds == 0:
            raise ValueError(f"positives={positives}, backgrounds={backgrounds}: must be at least 0, one of them above")
        self._seed = seed
        self._labels = torch.cat([torch.empty(0, dtype=torch.int64), *(own.cpu() for own in labels)])
        sizes = torch.tensor([len(own) for own in labels], dtype=torch.int64)
        self._pictures = torch.arange(len(labels)).repeat_interleave(sizes)
        self._first = sizes.cumsum(0) - sizes
        background = self._labels == num_classes
        of_objects = ~background & (self._labels != IGNORED)
        self._kinds = (of_objects.nonzero()[:, 0], background.nonzero()[:, 0])
        if not any(map(len, self._kinds)):
            raise ValueError(f"{len(labels)} pictures: none has a region of an object or of background")
        self._counts = [positives, backgrounds]
        if not all(map(len, self._kinds)):
            self._counts = [(positives + backgrounds) * bool(len(kind)) for kind in self._kinds]

    def batch(self, step: int) -> SampledRegions:
        """Return the regions of a step, counted from 0 over all epochs: `positives`, then `backgrounds`."""
        parts = np.split(fractions(sum(self._counts), "regions", self._seed, step), [self._counts[0]])
        drawn = [
            kind[torch.from_numpy((part * len(kind)).astype(np.int64))]
            for kind, part in zip(self._kinds, parts, strict=True)
        ]
        chosen = torch.cat(drawn)
        pictures = self._pictures[chosen]
        return SampledRegions(pictures, chosen - self._first[pictures], self._labels[chosen])


def sample_regions(
    labels: Tensor, num_classes: int, *, count: int = 64, positives: int = 16, key: tuple[str | int, ...]
) -> Tensor:
    """Draw some of one picture's regions, none twice, as Fast R-CNN does (Girshick 2015, section 2.3).

    Args:
        labels: int64 `(R,)`, as of `label_regions`.
        num_classes: K.
        count: how many at most; fewer where the picture has not so many that are not ignored.
        positives: how many of them are of objects at most; background makes up for those that are missing.
        key: of what the draw is a function, as seed, epoch and picture.

    Returns:
        Their numbers, int64 `(B,)`, those of objects first.
    """
    order = torch.from_numpy(np.argsort(fractions(len(labels), "regions of a picture", *key), kind="stable"))
    drawn = labels.cpu()[order]
    background = drawn == num_classes
    objects = order[~background & (drawn != IGNORED)][: min(positives, count)]
    return torch.cat([objects, order[background][: count - len(objects)]]).to(labels.device)
