"""One linear support vector machine per class, on features of regions (Girshick et al. 2014, section 2.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.networks import arguments


class LinearSVMs(nn.Module):
    """Scores each class apart from the others: 1 and more is the class, -1 and less is not, by a margin.

    Maps features `(N, D)` to scores `(N, num_classes)`. The weights are buffers: they are solved for, not trained.

    Args:
        num_classes: K.
        features: D.

    Attributes:
        weight: `(K, D)`.
        bias: `(K,)`.

    Raises:
        ValueError: a number below 1.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, num_classes: int, features: int) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, features=features)
        self.register_buffer("weight", torch.zeros(num_classes, features))
        self.register_buffer("bias", torch.zeros(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Map features `(N, D)` to scores `(N, num_classes)`."""
        return F.linear(features, self.weight, self.bias)
