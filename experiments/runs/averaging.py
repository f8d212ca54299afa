"""The moving average of a network's weights over a training."""

from collections.abc import Callable

import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


def moving_average(decay: float) -> WeightAveraging:
    """Return what averages weights and buffers after each step: `decay` of the average, the rest of the newest.

    What does not change, such as frozen weights, stays as it is, to the bit: the usual decay · a + (1 - decay) · a is
    not a, for rounding.
    """
    return WeightAveraging(use_buffers=True, avg_fn=_towards(1 - decay))


def _towards(share: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    def average(mean: Tensor, newest: Tensor, _: Tensor | int) -> Tensor:
        # Batch norm counts its batches in whole numbers.
        return torch.lerp(mean, newest, share) if mean.is_floating_point() else newest

    return average
