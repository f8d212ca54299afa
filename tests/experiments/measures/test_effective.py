"""The effective receptive field against closed forms, brute force and what Luo et al. (2016) found."""

import copy
from collections.abc import Callable
from itertools import pairwise
from math import prod, sqrt
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.measures.effective import deviations, effective_field
from experiments.measures.effective_drawing import draw_effective_field
from experiments.measures.network import measure
from experiments.measures.reach import Status
from experiments.measures.table import effective_line
from lightning_modules.networks.resnet import CifarResNet

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
SHARE = 0.9545


def uniform(*layers: tuple[int, int, int], channels: int = 1) -> nn.Sequential:
    """Return convolutions (kernel, stride, dilation) whose weights are all the same, in double precision."""
    convolutions = [
        nn.Conv2d(channels, channels, kernel, stride, dilation * (kernel // 2), dilation, bias=False)
        for kernel, stride, dilation in layers
    ]
    for convolution in convolutions:
        nn.init.constant_(convolution.weight, 1 / convolution.weight[0].numel())
    return nn.Sequential(*convolutions).double()


def random(n: int, channels: int, *, relu: bool, strides: tuple[int, ...] = (), dilation: int = 1) -> nn.Sequential:
    """Return n convolutions of 3x3 with zero-mean random weights that keep the variance; missing strides are 1."""
    layers: list[nn.Module] = []
    for index in range(n):
        stride = strides[index] if index < len(strides) else 1
        convolution = nn.Conv2d(channels if index else 3, channels, 3, stride, padding=dilation, dilation=dilation)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu" if relu else "linear")
        layers += [convolution, nn.ReLU(inplace=True)] if relu else [convolution]
    return nn.Sequential(*layers[:-1] if relu else layers)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


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


class Scaled(nn.Module):
    """The input times a number."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """(…) → (…)."""
        return x * self.scale


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


class Branches(nn.Module):
    """Two branches of different reach that are joined, then a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(3, 8, 3, stride=2)
        self.far = nn.Conv2d(3, 8, (3, 5), stride=2, dilation=(1, 2), padding=(0, 3))
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4, H', W')."""
        out: Tensor = self.up(self.near(x) + self.far(x))
        return out


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


class Functional(nn.Module):
    """A network whose last map no module puts out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def maps(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 8, H, W)."""
        # The same operators before and after, so that only their order tells the last map from the others.
        x = F.relu(self.conv1(x), inplace=True)
        return F.relu(x + self.norm(self.conv2(x)), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4)."""
        out: Tensor = self.fc(self.maps(x).mean((2, 3)))
        return out


class MapsOf(nn.Module):
    """The last map of a network as its output."""

    def __init__(self, network: nn.Module, maps: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.maps = maps

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H', W')."""
        return self.maps(x)


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


class Gated(nn.Module):
    """A convolution whose channels are scaled by what the whole map holds, as in squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4, H', W')."""
        maps: Tensor = self.conv(x)
        gate: Tensor = self.gate(maps.mean((2, 3), keepdim=True))
        return maps * gate.sigmoid()


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


def test_one_number_each() -> None:
    field = effective_field(random(3, 4, relu=True), noise(2, 3, 12, 9))
    assert field.totals() == {
        "effective_receptive_field": field.side,
        "effective_receptive_field_ratio": field.ratio,
        "effective_receptive_field_standard_deviation": max(field.standard_deviation),
        "effective_receptive_field_luo_size": field.luo_size,
    }


@pytest.mark.parametrize("layer", [None, "conv2"])
def test_the_network_is_left_as_it_was(layer: str | None) -> None:
    network = Functional().double()
    network.norm.eval()
    network.conv1.weight.requires_grad_(False)
    network.fc.weight.grad = torch.ones_like(network.fc.weight)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    identities = [id(parameter) for parameter in network.parameters()]
    training = [module.training for module in network.modules()]
    images = noise(2, 3, 9, 9)
    kept = images.clone()
    random_state = torch.get_rng_state()
    effective_field(network, images, layer=layer)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert [id(parameter) for parameter in network.parameters()] == identities
    assert [module.training for module in network.modules()] == training
    assert [parameter.requires_grad for parameter in network.parameters()] == [False] + [True] * 7
    assert [parameter.grad is None for parameter in network.parameters()] == [True] * 6 + [False, True]
    assert all(not module._forward_hooks for module in network.modules())
    assert not images.requires_grad
    assert torch.equal(images, kept)


def test_batch_norm_and_dropout_do_as_in_evaluation() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 4, 3))
    field = effective_field(network, noise(2, 3, 9, 9))
    assert np.array_equal(field.energy, effective_field(network.eval(), noise(2, 3, 9, 9)).energy)
    assert np.count_nonzero(field.energy) == 25


def test_surroundings_without_gradients_or_in_low_precision_make_no_difference() -> None:
    network, images = Functional(), noise(2, 3, 9, 9)
    expected = effective_field(network, images).energy
    with torch.inference_mode():
        assert np.array_equal(effective_field(copy.deepcopy(network), images + 0).energy, expected)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(effective_field(network, images).energy, expected)


def test_a_network_that_begins_in_place_leaves_the_images_alone() -> None:
    images = noise(1, 3, 9, 9)
    kept = images.clone()
    field = effective_field(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3)), images)
    assert torch.equal(images, kept)
    assert 0 < np.count_nonzero(field.energy) <= 9


class Constant(nn.Module):
    """A map whose gradient is zero, or that has none."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        return x.detach() if self.factor else x * 0


class ClassToken(nn.Module):
    """Patches that go on, with a token that belongs to none, as a list."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, stride=4)
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 2)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        out: Tensor = self.fc(torch.cat([torch.zeros(len(x), 1, 6), tokens], dim=1).softmax(1)[:, 0])
        return out


@pytest.mark.parametrize(
    ("network", "images", "arguments", "message"),
    [
        (Functional(), noise(2, 3, 9), {}, r"images=torch.float32 \(2, 3, 9\): must be floating point, \(N, C, H, W\)"),
        (Functional(), noise(0, 3, 9, 9), {}, "N at least 1"),
        (Functional(), torch.ones(2, 3, 9, 9, dtype=torch.uint8), {}, r"images=torch.uint8 \(2, 3, 9, 9\): must be"),
        (Functional(), noise(2, 4, 9, 9), {}, r"does not take images of 4 channels \(conv1 takes 3 channels, not 4\)"),
        (Functional(), noise(2, 3, 9, 9), {"draws": 0}, "draws=0: must be at least 1"),
        (Functional(), noise(2, 3, 9, 9), {"layer": "conv3"}, "layer=conv3: the network has no such module; .*conv2"),
        (Functional(), noise(2, 3, 9, 9), {"layer": "fc"}, r"layer=fc puts out \(4,\), which is no map"),
        (Branches(), noise(2, 3, 1, 1), {}, "input 1x1 is too small for this network: the smallest"),
        (Constant(0), noise(2, 3, 9, 9), {}, "the last map: the gradient of its centre unit is zero at every pixel"),
        (Constant(1), noise(2, 3, 9, 9), {}, "the last map: no gradient leads from there to the images"),
        (nn.Sequential(Scaled(1e38), Scaled(1e38)), noise(2, 3, 9, 9), {}, "the last map: .* is not finite"),
        (
            ClassToken(),
            noise(1, 3, 8, 8),
            {},
            r"is not known \(network: cat lays maps .*\): name the layer whose output",
        ),
        (Functional().to("meta"), noise(2, 3, 9, 9), {}, "the network is on the meta device"),
    ],
)
def test_mistakes_are_said_in_one_line(
    network: nn.Module, images: Tensor, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        effective_field(network, images, **arguments)
    assert "\n" not in str(caught.value)


def test_a_layer_may_be_named_where_the_last_map_is_not_known() -> None:
    assert effective_field(ClassToken(), noise(1, 3, 8, 8), layer="patches").unit.window == ((4, 7), (4, 7))


def outlines(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Return the rectangles of a picture: from and to y, from and to x."""
    lines = [np.asarray(line.get_xydata()) for panel in figure.axes for line in panel.lines]
    return [(*line[[0, 2], 1].tolist(), *line[[0, 2], 0].tolist()) for line in lines if len(line) == 5]


def test_the_drawing_outlines_both_fields_and_says_their_sizes() -> None:
    before, after = (effective_field(random(3, 8, relu=True), noise(2, 3, 16, 24), seed=seed) for seed in (0, 1))
    figure = draw_effective_field(before, after)
    expected: list[tuple[float, ...]] = []
    for field, panel, title in zip((before, after), figure.axes, ("Before", "After"), strict=False):
        half = field.side / 2
        expected += [(8 - half, 8 + half, 12 - half, 12 + half), (4.5, 11.5, 8.5, 15.5)]
        assert panel.get_title() == f"{title} training\nside {field.side:.1f} pixels, {field.side / 7:.1%} of 7x7"
        drawn = np.asarray(panel.images[0].get_array())
        np.testing.assert_allclose(drawn, (field.energy / field.energy.max()).clip(1e-4))
    assert outlines(figure) == [pytest.approx(edges) for edges in expected]
    assert "unit (8, 12) of the last map, 16x24" in figure.get_suptitle()
    with pytest.raises(
        ValueError, match=r"after=\(None, \(8, 8\), \(16, 16\)\): must be of the unit and the input size"
    ):
        draw_effective_field(before, effective_field(random(3, 8, relu=True), noise(2, 3, 16, 16)))


def test_the_drawing_of_one_field_whatever_is_known_of_it() -> None:
    whole = draw_effective_field(effective_field(Gated(), noise(1, 3, 16, 16)))
    assert len(outlines(whole)) == 1
    assert whole.axes[0].get_title().endswith("% of the 16x16 image")
    beyond = draw_effective_field(effective_field(CifarResNet(num_classes=10), noise(1, 3, 32, 32), layer="layer3"))
    labels = [text.get_text() for text in beyond.legends[0].get_texts()]
    assert labels == ["square with 95.45% of the energy", "theoretical receptive field, beyond all borders"]
    square, theoretical = beyond.legends[0].get_lines()
    assert (square.get_linestyle(), theoretical.get_linestyle()) == ("-", "None")
    assert len(outlines(beyond)) == 1
    assert "8x8 map of layer3" in beyond.get_suptitle()
