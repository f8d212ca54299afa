"""Boxes moved and stretched towards the object that they have found (Girshick et al. 2014, appendix C)."""

import torch
from torch import Tensor, nn

from lightning_modules.networks import arguments
from lightning_modules.networks.boxes import SIDES, centre_and_size, of_corners


def encode(boxes: Tensor, truths: Tensor) -> Tensor:
    """Return the offsets tx ty tw th that lead from each box to its true one, `(…, 4)` (equations 6 to 9).

    The first two are of the centre, as shares of the box's width and height; the others are natural logarithms of how
    much wider and higher the true box is.

    Args:
        boxes: `(…, 4)`, x1 y1 x2 y2 in pixels, x2 and y2 exclusive; all of them with an area.
        truths: as `boxes`.
    """
    centre, size = centre_and_size(boxes)
    true_centre, true_size = centre_and_size(truths)
    return torch.cat([(true_centre - centre) / size, (true_size / size).log()], dim=-1)


def decode(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Return the boxes that offsets lead to, `(…, 4)` (equations 1 to 4): the inverse of `encode`.

    Args:
        boxes: `(…, 4)`, x1 y1 x2 y2 in pixels, x2 and y2 exclusive.
        offsets: tx ty tw th, `(…, 4)`.
    """
    centre, size = centre_and_size(boxes)
    found_centre, found_size = centre + size * offsets[..., :2], size * offsets[..., 2:].exp()
    return of_corners(found_centre - found_size / 2, found_centre + found_size / 2)


class BoxRegressors(nn.Module):
    """One linear map per class from the features of a region to the offsets of its box.

    Maps features `(N, D)` and boxes `(N, 4)` to boxes `(N, num_classes, 4)`. The weights are buffers: they are solved
    for, not trained. Until they are, all are zero and every box stays as it is.

    Args:
        num_classes: K.
        features: D.

    Attributes:
        weight: `(K, D, 4)`.
        bias: `(K, 4)`.

    Raises:
        ValueError: a number below 1.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, num_classes: int, features: int) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, features=features)
        self.register_buffer("weight", torch.zeros(num_classes, features, SIDES))
        self.register_buffer("bias", torch.zeros(num_classes, SIDES))

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Return, `(N, num_classes, 4)`, where each class's object lies by features `(N, D)` of boxes `(N, 4)`."""
        offsets = torch.einsum("nd,kds->nks", features, self.weight) + self.bias
        return decode(boxes[:, None], offsets)
