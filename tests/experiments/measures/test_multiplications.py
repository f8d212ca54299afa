"""Multiply-accumulates operator by operator, also of those that torch's counter leaves out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.flop_counter import flop_registry
from torchvision.ops import deform_conv2d

from experiments.measures.multiplications import factors_of
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


# What the function multiplies the image by is a weight, but for the first and the last of attention alone.
MACS: dict[str, tuple[Callable[[Tensor, Multiplying], Tensor], int]] = {
    "linear": (lambda x, net: net.fc(x.flatten(1)), 64 * 5),
    "linear of a vector": (lambda x, net: net.fc(x.flatten()), 64 * 5),
    "matrix by vector": (lambda x, net: net.fc.weight @ x.flatten(), 64 * 5),
    "vector by vector": (lambda x, net: x.flatten() @ net.fc.weight[0], 64),
    "einsum": (lambda x, net: torch.einsum("nchw,wk->nchk", x, net.fc.weight[:, :8].T), 64 * 5),
    "matrix by vector, and added": (lambda x, net: torch.addmv(net.fc.bias, net.fc.weight, x.flatten()), 64 * 5),
    "batches summed": (lambda x, _: torch.addbmm(torch.zeros(8, 4), x[:, 0], torch.ones(1, 8, 4)), 8 * 8 * 4),
    "batches added": (lambda x, _: torch.baddbmm(torch.zeros(1, 8, 4), x[:, 0], torch.ones(1, 8, 4)), 8 * 8 * 4),
    "in place": (lambda x, net: (x[0, 0] * 0)[:, :5].addmm_(x[0, 0], net.fc.weight[:, :8].T), 8 * 8 * 5),
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


# Products one after the other, of which one factor at least is a weight; a recurrent network has one for each of the
# eight positions, which waits for the one before.
DEPTHS = dict.fromkeys(MACS, 1) | {"attention alone": 0, "attention": 2, "recurrent": 8}


@pytest.mark.parametrize("name", MACS)
def test_every_product_with_a_weight_is_a_layer_deeper(name: str) -> None:
    function, _ = MACS[name]
    measures = measure(Multiplying(function), (1, 8, 8))
    assert max(layer.depth for layer in measures.layers) == DEPTHS[name]


def test_all_that_torch_counts_of_a_forward_pass_is_a_product() -> None:
    packets = [packet for packet in flop_registry if isinstance(packet, torch._ops.OpOverloadPacket)]
    forward = [packet for packet in packets if "backward" not in packet.__name__]
    assert len(forward) > 10
    for packet in forward:
        overload = packet.default
        names = [argument.name for argument in overload._schema.arguments]
        factors = factors_of(overload, names)
        assert len(factors) in (2, 3), packet
        # Of attention, of convolution and of matrix products, by torch's own names.
        assert set(factors) <= {"query", "key", "value", "input", "weight", "self"} | {
            "mat1",
            "mat2",
            "batch1",
            "batch2",
        }


class Normalised(nn.Module):
    """Convolutions of which one computes its weight from others."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.mixing = nn.Parameter(torch.ones(4, 4))
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 4, H, W)."""
        weight = (self.mixing @ self.conv.weight.flatten(1)).view_as(self.conv.weight)
        out: Tensor = self.norm(F.conv2d(x, weight, padding=1))
        return out


@pytest.mark.parametrize("training", [False, True])
def test_what_is_computed_from_weights_alone_counts_once_whatever_the_mode(*, training: bool) -> None:
    measures = measure(Normalised(), (1, 8, 8), training=training)
    assert measures.macs == 4 * 4 * 9 + 4 * 9 * 64
    assert measures.activations == 4 * 9 + 4 * 64


def test_a_spectral_norm_costs_the_product_that_scales_it_and_in_training_mode_one_more_iteration() -> None:
    network = spectral_norm(nn.Conv2d(2, 4, 3, padding=1))
    convolution, matrix = 4 * 2 * 9 * 64, 4 * 2 * 9
    evaluation, training = (measure(network, (2, 8, 8), training=mode).macs for mode in (False, True))
    # u · (W v), of which u has four elements; the iteration is W v and Wᵀ u.
    assert evaluation == convolution + matrix + 4
    assert training == evaluation + 2 * matrix


@pytest.mark.parametrize("name", ["matrix by vector", "vector by vector"])
def test_a_product_with_a_vector_is_a_weighted_layer_that_sees_the_whole_image(name: str) -> None:
    measures = measure(Multiplying(MACS[name][0]), (1, 8, 8))
    last = measures.layers[-1]
    assert (last.status, last.receptive_field, last.depth) == (Status.WHOLE_IMAGE, (8, 8), 1)
    assert measures.receptive_field == (1, 1)
