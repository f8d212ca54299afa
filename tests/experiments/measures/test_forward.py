"""What a network cannot be asked, and how it is said."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from experiments.measures.forward import NumbersNeededError, smallest_input
from experiments.measures.macs import count_macs
from experiments.measures.network import measure
from tests.experiments.measures.small import Small, lenet


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 28, 28), "input 28x28 is too small for this network: the smallest square image is 32x32"),
        ((1, 64, 64), r"input 64x64 is too large for this network \(5 takes 400 features, not 2704\)"),
        ((3, 32, 32), r"does not take images of 3 channels \(0 takes 1 channels, not 3\)"),
        ((1, 0, 32), r"input_shape=\(1, 0, 32\): must be"),
        ((1, 32), r"input_shape=\(1, 32\): must be"),
        ((1, 32.0, 32), r"must be \(C, H, W\), three whole numbers"),
    ],
)
def test_what_a_network_cannot_take_is_said_in_one_line(shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        measure(lenet(), shape)
    assert "\n" not in str(caught.value)


def test_smallest_input_of_networks_that_take_only_some_sizes() -> None:
    assert smallest_input(lenet(), 1) == 32
    multiple = nn.Sequential(nn.PixelUnshuffle(8), nn.Conv2d(64, 4, 3))
    assert smallest_input(multiple, 1) == 24
    with pytest.raises(ValueError, match="takes no image of 2 channels"):
        smallest_input(lenet(), 2)
    wrong = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(7, 2))
    with pytest.raises(ValueError, match="takes no square image of 1 channels up to 65 pixels a side"):
        smallest_input(wrong, 1)


def test_few_passes_are_spent_on_the_text_of_an_error() -> None:
    passes = 0

    class Particular(nn.Module):
        """Takes images of one size, and says no to larger ones in words of its own."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 9)

        def forward(self, x: Tensor) -> Tensor:
            nonlocal passes
            passes += 1
            x = self.conv(x)
            if x.shape[-1] != 1000:
                raise RuntimeError("only images of 1008 pixels")
            return x

    with pytest.raises(ValueError, match="input 8x8 is too small for this network") as caught:
        measure(Particular(), (1, 8, 8))
    assert "smallest" not in str(caught.value)
    assert passes < 80
    assert measure(Particular(), (1, 1008, 1008)).receptive_field == (9, 9)


def test_a_network_that_decides_by_values_is_refused() -> None:
    class Deciding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(NumbersNeededError, match="decides by the values of a tensor"):
        measure(Deciding(), (1, 8, 8))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("measuring", [measure, count_macs])
def test_torchscript_is_refused_by_name(measuring: Callable[..., object]) -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
    with pytest.raises(ValueError, match=r"^the network is TorchScript, which runs out of sight"):
        measuring(scripted, (1, 8, 8))
    with pytest.raises(ValueError, match=r"^its module 1 is TorchScript"):
        measuring(nn.Sequential(nn.ReLU(), scripted), (1, 8, 8))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (None, "must be a torch.nn.Module, not a NoneType"),
        (lambda x: x, "must be a torch.nn.Module, not a function"),
        (nn.Identity, "must be a torch.nn.Module, not the class Identity"),
        (nn.DataParallel(nn.Identity()), "measure its .module"),
    ],
)
def test_what_is_no_network_is_refused_in_words(network: nn.Module, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        measure(network, (3, 8, 8))


def test_lazy_layers_have_no_shape_yet() -> None:
    with pytest.raises(ValueError, match=r"^1.weight: has no shape before the first batch; call the network once"):
        measure(nn.Sequential(nn.ReLU(), nn.LazyConv2d(8, 3)), (3, 8, 8))


@pytest.mark.parametrize(
    "shape", [32, None, "abc", (3, 32), (1, 3, 32, 32), (3, 32.0, 32), (True, 32, 32), (3, 0, 32), (3, 10**12, 10)]
)
def test_what_is_no_input_shape_is_refused_in_words(shape: Any) -> None:  # noqa: ANN401 - of any type
    with pytest.raises(ValueError, match=r"must be \(C, H, W\), three whole numbers from 1 to 1,000,000"):
        measure(nn.Conv2d(3, 8, 3), shape)


def test_numbers_of_numpy_are_numbers() -> None:
    measures = measure(nn.Conv2d(3, 8, 3), tuple(np.array([3, 32, 16])))
    assert measures.input_shape == (3, 32, 16)
    assert all(type(size) is int for size in measures.input_shape)


def test_an_input_that_cannot_be_followed_for_want_of_memory_is_not_the_networks_fault() -> None:
    class Exhausting(nn.Module):
        def forward(self, _: Tensor) -> Tensor:
            raise MemoryError("unable to allocate 7 TiB")

    with pytest.raises(ValueError, match="input 8x8 is too large for the memory of this machine"):
        measure(Exhausting(), (3, 8, 8))


def test_a_refused_input_leaves_the_network_as_it_was() -> None:
    network = Small()
    with pytest.raises(ValueError, match="too small"):
        measure(network, (3, 2, 17))
    assert network.training
    assert network.stem[0].weight.device.type == "cpu"
    assert network(torch.ones(2, 3, 9, 9)).shape == (2, 10)
