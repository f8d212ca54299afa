"""Multiply-accumulates operator by operator, also of those that torch's counter leaves out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from experiments.measures.network import measure
from experiments.measures.reach import Status


class Multiplying(nn.Module):
    """A network of one function of an image of 8 × 8 pixels, with weights to multiply it by."""

    def __init__(self, function: Callable[[Tensor, "Multiplying"], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.fc = nn.Linear(64, 5)
        self.bilinear = nn.Bilinear(8, 8, 3)
        self.lstm = nn.LSTM(8, 3, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up = nn.ConvTranspose2d(1, 4, 3, 2)
        self.offsets = nn.Parameter(torch.zeros(1, 18, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        """(1, 1, 8, 8) → whatever the function makes of it."""
        return self.function(x, self)


MACS: dict[str, tuple[Callable[[Tensor, Multiplying], Tensor], int]] = {
    "linear": (lambda x, net: net.fc(x.flatten(1)), 64 * 5),
    "linear of a vector": (lambda x, net: net.fc(x.flatten()), 64 * 5),
    "matrix by vector": (lambda x, net: net.fc.weight @ x.flatten(), 64 * 5),
    "vector by vector": (lambda x, net: x.flatten() @ net.fc.weight[0], 64),
    "einsum": (lambda x, net: torch.einsum("nchw,wk->nchk", x, net.fc.weight[:, :8].T), 64 * 5),
    "batches summed": (lambda x, _: torch.addbmm(torch.zeros(8, 4), x[:, 0], torch.ones(1, 8, 4)), 8 * 8 * 4),
    "bilinear form": (lambda x, net: net.bilinear(x[:, 0], x[:, 0]), 8 * 8 * 8 * 3),
    "recurrent": (lambda x, net: net.lstm(x[:, 0])[0], 8 * (8 * 12 + 3 * 12)),
    "attention": (lambda x, net: net.attention(x[:, 0], x[:, 0], x[:, 0])[0], 4 * 8 * 8 * 8 + 2 * 8 * 8 * 8),
    "attention alone": (lambda x, _: F.scaled_dot_product_attention(x, x, x), 2 * 8 * 8 * 8),
    "transposed convolution": (lambda x, net: net.up(x), 4 * 9 * 64),
    "deformable convolution": (
        lambda x, net: deform_conv2d(x, net.offsets, net.up.weight.transpose(0, 1), padding=1),
        4 * 9 * 64,
    ),
    "weights multiplied first": (
        lambda x, net: F.linear(x, net.fc.weight[:, :8].T @ net.fc.weight[:, 8:16]),
        8 * 5 * 8 + 64 * 8,
    ),
}


@pytest.mark.parametrize("name", MACS)
def test_macs(name: str) -> None:
    function, macs = MACS[name]
    measures = measure(Multiplying(function), (1, 8, 8))
    assert measures.macs == macs
    assert sum(layer.macs for layer in measures.layers) <= macs


@pytest.mark.parametrize("name", ["matrix by vector", "vector by vector"])
def test_a_product_with_a_vector_is_a_weighted_layer_that_sees_the_whole_image(name: str) -> None:
    measures = measure(Multiplying(MACS[name][0]), (1, 8, 8))
    last = measures.layers[-1]
    assert (last.status, last.receptive_field, last.depth) == (Status.WHOLE_IMAGE, (8, 8), 1)
    assert measures.receptive_field == (1, 1)
