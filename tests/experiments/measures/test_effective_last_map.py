"""The map whose effective receptive field is taken, wherever in a network it lies, and what is known of it."""

from math import sqrt

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.measures.effective import effective_field
from experiments.measures.network import measure
from experiments.measures.reach import Status
from experiments.measures.table import effective_line
from lightning_modules.networks.resnet import CifarResNet
from tests.experiments.measures.effective_networks import SHARE, Functional, Gated, MapsOf, noise


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_last_map_may_come_from_a_functional_call(layout: torch.memory_format) -> None:
    network, images = Functional().to(memory_format=layout), noise(2, 3, 9, 9)
    field = effective_field(network, images)
    assert np.array_equal(field.energy, effective_field(MapsOf(network, network.maps), images).energy)
    assert field.theoretical.size == (5, 5)
    assert not np.array_equal(field.energy, effective_field(network, images, layer="conv2").energy)


class Wrapped(Functional):
    """A network whose last map is a slice, after circular padding, which torch makes of slices."""

    def maps(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 8, H, W + 1)."""
        return F.pad(self.conv1(x), (1, 2, 0, 0), mode="circular")[..., 1:-1]


class WrappedLast(Functional):
    """A network whose last map is what circular padding puts out."""

    def maps(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 8, H, W + 3)."""
        return F.pad(self.conv1(x)[..., :-1], (1, 2, 1, 0), mode="circular")


@pytest.mark.parametrize("kind", [Wrapped, WrappedLast])
def test_circular_padding_is_one_operator(kind: type[Functional]) -> None:
    network, images = kind(), noise(2, 3, 9, 9)
    network.conv1 = nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular")
    field = effective_field(network, images)
    assert field.theoretical.status is Status.EXACT
    assert np.array_equal(field.energy, effective_field(MapsOf(network, network.maps), images).energy)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_last_map_may_be_flattened(layout: torch.memory_format) -> None:
    convolutions = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    network = nn.Sequential(convolutions, nn.Flatten(), nn.Linear(4 * 9, 5)).to(memory_format=layout)
    images = noise(2, 3, 8, 8)
    field = effective_field(network, images)
    assert field.unit.units == (3, 3)
    assert np.array_equal(field.energy, effective_field(network, images, layer="0").energy)


@pytest.mark.parametrize(
    ("name", "maps"), [("densenet121", None), ("mobilenet_v2", "features"), ("squeezenet1_1", "classifier.2")]
)
def test_the_last_map_of_torchvisions_networks(name: str, maps: str | None) -> None:
    network = torchvision.models.get_model(name, weights=None)
    images = noise(1, 3, 64, 64)
    field = effective_field(network, images)
    assert field.theoretical.size == measure(network, (3, 64, 64)).receptive_field
    if maps is None:
        other = effective_field(MapsOf(network, lambda x: F.relu(network.features(x))), images)
    else:
        other = effective_field(network, images, layer=maps)
    assert np.array_equal(field.energy, other.energy)


def test_the_residual_networks_last_map_is_their_last_stages_output() -> None:
    network, images = CifarResNet(num_classes=10), noise(2, 3, 32, 32)
    field = effective_field(network, images)
    assert np.array_equal(field.energy, effective_field(network, images, layer="layer3").energy)
    assert (field.unit.units, field.unit.index, field.unit.centre) == ((8, 8), (4, 4), (16.0, 16.0))


def test_a_layer_is_seen_before_what_changes_it_in_place() -> None:
    network, images = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(inplace=True)), noise(1, 3, 7, 7)
    energies = [effective_field(network, images, layer=layer, draws=64).energy for layer in ("0", "1")]
    expected = effective_field(network[0], images, draws=64).energy
    assert np.array_equal(energies[0], expected)
    assert not np.array_equal(energies[1], expected)


def test_of_a_layer_that_is_called_twice_the_last_call_counts() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = F.relu(self.conv(self.conv(x)))
            return out

    field = effective_field(Twice(), noise(1, 3, 15, 15), layer="conv")
    assert field.theoretical.size == (5, 5)
    # Without the ReLU that follows.
    assert np.count_nonzero(field.energy) == 25


def test_without_a_layer_the_last_map_is_the_image() -> None:
    field = effective_field(nn.Sequential(nn.Flatten(), nn.Linear(75, 2)), noise(1, 3, 5, 5))
    assert np.argwhere(field.energy).tolist() == [[2, 2]]
    assert field.ratio == pytest.approx(sqrt(SHARE))


def test_units_may_lie_in_any_dimension() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 6, 4, stride=4)
            self.norm = nn.LayerNorm(6)

        def forward(self, x: Tensor) -> Tensor:
            tokens = self.norm(self.patches(x).flatten(2).transpose(1, 2))
            pooled: Tensor = tokens.mean(1)
            return pooled

    field = effective_field(Tokens(), noise(2, 3, 12, 20))
    assert field.unit.units == (3, 5)
    assert field.unit.window == ((4, 7), (8, 11))
    rows, columns = np.nonzero(field.energy)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 7, 8, 11)


def test_where_a_unit_sees_the_whole_image_the_ratio_is_to_that() -> None:
    field = effective_field(Gated(), noise(2, 3, 16, 16))
    assert field.theoretical.status is Status.WHOLE_IMAGE
    assert field.unit.window is None
    assert field.clipped is None
    # The centre is that of the path that reaches least far: unit 4 of a stride of 2.
    assert field.unit.centre == (8.0, 8.0)
    assert field.ratio == pytest.approx(field.side / 16)
    assert effective_line(field).endswith(f"{field.side / 16:.0%} of whole image (16)")


def test_where_an_operator_is_not_understood_there_is_no_ratio() -> None:
    class Spectral(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            filtered: Tensor = torch.fft.ifft2(torch.fft.fft2(x)).real
            return filtered

    field = effective_field(nn.Sequential(nn.MaxPool2d(2), Spectral()), noise(1, 3, 10, 10))
    assert field.theoretical.status is Status.UNSUPPORTED
    assert (field.ratio, field.unit.window, field.clipped) == (None, None, None)
    assert field.unit.centre == (4.5, 4.5)
    assert field.totals()["effective_receptive_field_ratio"] is None
