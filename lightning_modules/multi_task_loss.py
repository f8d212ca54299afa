"""What Fast R-CNN is trained on: classes and boxes at once (Girshick 2015, section 2.3, equations 1 to 3)."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from lightning_modules.networks.boxes import full_precision
from lightning_modules.networks.fast_rcnn import RegionPredictions


class MultiTaskLoss(NamedTuple):
    """Two means over all regions, scalars; the loss is their sum (λ = 1).

    Attributes:
        classification: cross entropy in nats, of K classes and the background.
        localisation: smooth L1 of the four offsets of the true class, 0 for background.
    """

    classification: Tensor
    localisation: Tensor


def multi_task_loss(predicted: RegionPredictions, labels: Tensor, targets: Tensor) -> MultiTaskLoss:
    """Return the loss of N regions, at least one.

    Args:
        predicted: by the network.
        labels: int64 `(N,)`, the class, or K for the background.
        targets: `(N, 4)`, as of `FastRCNN.targets`; those of background count for nothing.
    """
    positive = (labels < predicted.offsets.shape[1]).nonzero()[:, 0]
    offsets = predicted.offsets[positive, labels[positive]]
    return MultiTaskLoss(
        classification=F.cross_entropy(predicted.logits, labels),
        localisation=F.smooth_l1_loss(full_precision(offsets), targets[positive], reduction="sum") / len(labels),
    )
