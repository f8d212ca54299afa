"""The effective receptive field against closed forms, brute force and what Luo et al. (2016) found."""

from itertools import pairwise
from math import prod, sqrt

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from experiments.measures.effective import deviations, effective_field
from experiments.measures.network import measure
from experiments.measures.table import effective_line
from lightning_modules.networks.resnet import CifarResNet
from tests.experiments.measures.effective_networks import SHARE, Branches, Scaled, noise, random, uniform


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


# Of n layers of 3x3, computed by convolving kernels with each other. Uniform weights: `luo_size`, exactly. Random ones,
# without and with ReLU, one draw of many: `luo_size` and the standard deviation of the root mean square gradient.
UNIFORM = {5: 8.306623862918075, 10: 11.704699910719626, 20: 16.15549442140351}


RANDOM = {
    (5, False): (10.49, 2.31),
    (5, True): (10.44, 2.32),
    (10, False): (15.39, 3.50),
    (10, True): (15.56, 3.55),
    (20, False): (21.73, 5.10),
    (20, True): (21.35, 5.05),
}


@pytest.mark.parametrize("n", [5, 10, 20])
def test_uniform_layers_spread_as_their_number_times_the_variance_of_a_kernel(n: int) -> None:
    # Luo et al. 2016, section 2.
    for channels, kernel in ((1, 3), (2, 3), (1, 5)):
        size = n * (kernel - 1) + 3
        # As many draws as channels: alike as they are, random signs could make them cancel.
        network = uniform(*[(kernel, 1, 1)] * n, channels=channels)
        field = effective_field(network, noise(1, channels, size, size), draws=channels)
        expected = sqrt(n * (kernel**2 - 1) / 12)
        assert deviations(field.gradient) == pytest.approx((expected, expected), abs=1e-9)
        assert field.energy.sum() == pytest.approx(1)
        assert field.gradient.sum() == pytest.approx(1)
        assert not field.clipped
        if kernel == 3:
            assert field.luo_size == pytest.approx(UNIFORM[n], abs=1e-9)


@pytest.mark.parametrize(
    "layers",
    [
        [(3, 2, 1), (5, 1, 1), (3, 2, 1), (3, 1, 1)],
        [(3, 1, 2), (3, 1, 4), (5, 1, 1)],
        [(3, 2, 3), (5, 2, 2), (3, 1, 1)],
    ],
)
def test_strides_and_dilations_multiply_the_spread_of_a_layer(layers: list[tuple[int, int, int]]) -> None:
    field = effective_field(uniform(*layers), noise(1, 1, 96, 96))
    strides = [prod(stride for _, stride, _ in layers[:index]) for index in range(len(layers))]
    variance = sum(
        (kernel**2 - 1) / 12 * (dilation * stride) ** 2
        for (kernel, _, dilation), stride in zip(layers, strides, strict=True)
    )
    assert deviations(field.gradient) == pytest.approx((sqrt(variance),) * 2, abs=1e-9)


def test_axes_are_y_and_x() -> None:
    network = nn.Conv2d(1, 1, (1, 5), padding=(0, 2), bias=False)
    nn.init.constant_(network.weight, 1)
    field = effective_field(network, noise(1, 1, 9, 13))
    assert field.energy.shape == (9, 13)
    assert field.standard_deviation[0] == 0
    assert field.standard_deviation[1] == pytest.approx(sqrt(2))
    assert (field.unit.index, field.unit.units, field.unit.centre) == ((4, 6), (9, 13), (4.0, 6.0))
    assert field.ratio == pytest.approx(field.side / 5)


@pytest.mark.parametrize(("kernel", "extent"), [(1, 1), (3, 3), (2, 2), (7, 7)])
def test_the_side_of_even_energy_is_a_share_of_its_extent(kernel: int, extent: int) -> None:
    # Padded unequally, so that the middle of an even kernel lies between pixels.
    network = uniform((kernel, 1, 1))
    field = effective_field(network, noise(1, 1, 15, 15))
    assert field.side == pytest.approx(extent * sqrt(SHARE), abs=1e-6)
    assert field.ratio == pytest.approx(sqrt(SHARE), abs=1e-6)
    assert field.luo_size == extent


def test_the_side_is_of_a_square_around_the_theoretical_centre() -> None:
    # A kernel whose only weight is 2 pixels left of its middle.
    network = nn.Conv2d(1, 1, 5, padding=2, bias=False)
    with torch.no_grad():
        network.weight.zero_()[0, 0, 2, 0] = 1
    field = effective_field(network, noise(1, 1, 15, 15))
    assert field.unit.centre == (7.0, 7.0)
    assert np.argwhere(field.energy).tolist() == [[7, 5]]
    # It holds the pixel up to 95.45 % of its width.
    assert field.side == pytest.approx(2 * (1.5 + SHARE), abs=1e-6)
    assert field.standard_deviation == (0, 0)


@pytest.mark.parametrize(("n", "relu"), RANDOM)
def test_the_energy_of_random_layers_spreads_as_the_gradient_of_uniform_ones(n: int, *, relu: bool) -> None:
    # Section 2: zero-mean weights. One network of many: five others stayed within 4 % and 7 %.
    size = 2 * n + 7
    field = effective_field(random(n, 24, relu=relu), noise(1, 3, size, size), draws=24)
    expected = sqrt(n * 8 / 12)
    luo_size, deviation = RANDOM[n, relu]
    assert field.standard_deviation == pytest.approx((expected, expected), rel=0.05)
    assert deviations(field.gradient) == pytest.approx((deviation, deviation), rel=0.05)
    assert field.luo_size == pytest.approx(luo_size, rel=0.08)


def test_more_draws_come_nearer_to_the_sum_of_the_channels() -> None:
    network, images = random(4, 128, relu=True), noise(1, 3, 15, 15)
    exact = effective_field(network, images, draws=128).energy

    def error(draws: int) -> float:
        return float(np.abs(effective_field(network, images, draws=draws).energy - exact).sum())

    errors = [error(draws) for draws in (1, 8, 64)]
    assert all(more < 0.6 * less for less, more in pairwise(errors))
    assert errors[-1] < 0.1
    assert error(128) == 0


def test_enough_draws_give_the_squared_jacobian() -> None:
    network, images = random(3, 5, relu=True).double(), noise(2, 3, 9, 9).double()
    images.requires_grad_()
    centre = network(images)[:, :, 4, 4].sum(0)
    energy = sum(torch.autograd.grad(channel, images, retain_graph=True)[0].square().sum((0, 1)) for channel in centre)
    assert isinstance(energy, Tensor)
    field = effective_field(network, images, draws=5)
    np.testing.assert_allclose(field.energy, (energy / energy.sum()).numpy(), rtol=1e-10)


def test_a_seed_decides_the_signs_and_nothing_else_does() -> None:
    network, images = random(3, 32, relu=True), noise(2, 3, 9, 9)
    first = effective_field(network, images, seed=3).energy
    torch.rand(7)
    assert np.array_equal(effective_field(network, images, seed=3).energy, first)
    assert not np.array_equal(effective_field(network, images, seed=4).energy, first)
    exact, same = (effective_field(network, images, draws=32, seed=seed).energy for seed in (3, 4))
    assert np.array_equal(exact, same)


def test_signs_differ_between_images() -> None:
    network, image = random(3, 64, relu=True), noise(1, 3, 9, 9)
    exact = effective_field(network, image, draws=64).energy
    alone, repeated = (effective_field(network, image.repeat(n, 1, 1, 1)).energy for n in (1, 64))
    assert np.abs(repeated - exact).sum() < 0.4 * np.abs(alone - exact).sum()


def test_the_scale_of_the_output_does_not_matter() -> None:
    network, images = random(3, 8, relu=True), noise(2, 3, 9, 9)
    before = effective_field(network, images)
    for scale in (2.0**-60, 2.0**60):
        scaled = nn.Sequential(network, Scaled(scale))
        assert np.array_equal(effective_field(scaled, images).energy, before.energy)


class Skips(nn.Module):
    """Convolutions, with or without skip connections."""

    def __init__(self, layers: nn.Sequential, *, residual: bool) -> None:
        super().__init__()
        self.layers = layers
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, C, H, W)."""
        first, *others = self.layers
        x = first(x)
        for layer in others:
            x = x + layer(x) if self.residual else layer(x)
        return x


def test_skip_connections_make_it_smaller_dilation_and_subsampling_larger() -> None:
    # Section 2.5.
    images = noise(1, 3, 64, 64)
    plain = random(6, 16, relu=False)
    sides = {
        residual: effective_field(Skips(plain, residual=residual), images, draws=16).side for residual in (True, False)
    }
    assert sides[True] < 0.9 * sides[False]
    dilated, strided = random(6, 16, relu=False, dilation=2), random(6, 16, relu=False, strides=(1, 2, 2))
    for network in (dilated, strided):
        assert effective_field(network, images, draws=16).side > 1.5 * sides[False]


@pytest.mark.parametrize("network", [Branches(), random(3, 4, relu=True, strides=(2, 2, 2)), nn.MaxPool2d(3, 2, 1)])
def test_all_energy_lies_inside_the_theoretical_receptive_field(network: nn.Module) -> None:
    field = effective_field(network, noise(16, 3, 41, 41), draws=8)
    assert field.unit.window is not None
    for axis, (first, last) in enumerate(field.unit.window):
        inside = np.flatnonzero(field.energy.sum(1 - axis))
        assert (inside[0], inside[-1]) == (first, last)
        assert field.unit.centre[axis] == (first + last) / 2
    assert not field.clipped
    assert field.ratio is not None
    assert field.ratio < 1
    assert field.theoretical == measure(network, (3, 41, 41)).field


def test_what_the_border_cuts_off_is_said() -> None:
    field = effective_field(CifarResNet(num_classes=10), noise(2, 3, 32, 32))
    assert field.clipped
    assert field.theoretical.size == (81, 81)
    assert field.unit.window == ((-24, 56), (-24, 56))
    assert field.ratio == pytest.approx(field.side / 81)
    assert field.luo_size != pytest.approx(field.side, rel=0.05)
    assert effective_line(field) == (
        f"effective receptive field of the last map: 95.45% of the gradient's energy in a square of {field.side:.1f} "
        f"pixels, {field.side / 81:.0%} of 81; a part of the theoretical one lies outside the image"
    )
    wide = effective_field(CifarResNet(num_classes=10), noise(1, 3, 96, 96))
    assert not wide.clipped
    assert wide.side > field.side
