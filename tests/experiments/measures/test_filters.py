"""Coherence is 1 of what has one direction, 0 of what has none, and between them as theory says."""

import io
import json
import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from experiments.measures.filters import (
    LayerSelectivity,
    coherence,
    filter_selectivity,
    first_filters,
    kernels_of,
)
from experiments.measures.filters_drawing import draw_first_filters, draw_selectivity
from experiments.measures.network import measure
from lightning_modules.networks.resnet import CifarResNet

ANGLES = [math.pi * (index + 0.1) / 12 for index in range(12)]
SIZES = [3, 5, 7, 11]


def plane(size: int) -> tuple[Tensor, Tensor]:
    """Return y and x `(size, size)` from the middle, in pixels."""
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    return y, x


def along(size: int, angle: float) -> Tensor:
    y, x = plane(size)
    return x * math.cos(angle) + y * math.sin(angle)


def gaussian(size: int, deviation_y: float, deviation_x: float) -> Tensor:
    y, x = plane(size)
    return torch.exp(-((y / deviation_y) ** 2 + (x / deviation_x) ** 2) / 2)


def gabor(size: int, angle: float, phase: float) -> Tensor:
    return gaussian(size, size / 4, size / 4) * torch.cos(2 * math.pi / (0.8 * size) * along(size, angle) + phase)


def coherence_of(kernel: Tensor) -> float:
    """Return the coherence of one kernel `(kH, kW)` of one channel."""
    return float(coherence(kernel[None]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wave", [2.5, 4.0, 17.0])
def test_a_grating_of_any_direction_length_and_phase_has_coherence_one(size: int, wave: float) -> None:
    for angle in ANGLES:
        for phase in (0.3, 1.5):
            grating = torch.cos(2 * math.pi / wave * along(size, angle) + phase)
            assert coherence_of(grating) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_an_edge_has_coherence_one_along_the_grid_and_nearly_so_in_other_directions(size: int) -> None:
    step = torch.sign(along(size, 0))
    assert coherence_of(step) == pytest.approx(1, abs=1e-12)
    assert coherence_of(step.T) == pytest.approx(1, abs=1e-12)
    for angle in ANGLES:
        assert coherence_of(torch.tanh(4 * along(size, angle) / size)) > 0.99
        # Sampled without blur, a slanted edge is a staircase.
        assert coherence_of(torch.sign(along(size, angle))) > 0.7


@pytest.mark.parametrize("size", SIZES)
def test_blobs_and_centre_surround_have_coherence_zero(size: int) -> None:
    narrow, wide = gaussian(size, size / 8, size / 8), gaussian(size, size / 5, size / 5)
    for kernel in (wide, narrow - 0.4 * wide):
        assert coherence_of(kernel) == pytest.approx(0, abs=1e-12)


def test_an_elongated_blob_has_the_coherence_of_theory() -> None:
    # The mean squared slopes of a Gaussian are as 1 / variance: (1/9 - 1/36) / (1/9 + 1/36) = 0.6.
    assert coherence_of(gaussian(61, 6, 3)) == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("size", [5, 7, 11])
def test_edge_detectors_are_told_from_blobs_and_noise_at_every_angle(size: int) -> None:
    gabors = [coherence_of(gabor(size, angle, phase)) for angle in ANGLES for phase in (0.0, math.pi / 2)]
    noise = torch.randn(2000, 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert min(gabors) > 0.7
    assert max(gabors) - min(gabors) < 0.2
    assert float(coherence(noise).mean()) < 0.35


@pytest.mark.parametrize(("size", "chance"), [(3, 0.57), (7, 0.22)])
def test_chance_of_random_kernels_is_as_documented(size: int, chance: float) -> None:
    noise = torch.randn(20000, 1, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(coherence(noise).mean()) == pytest.approx(chance, abs=0.01)


def test_coherence_does_not_change_with_scale_sign_offset_and_right_angles() -> None:
    kernel = torch.randn(3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    own = float(coherence(kernel))
    assert 0 < own < 1
    for same in (
        1e-30 * kernel,
        -kernel,
        kernel + 7,
        kernel.rot90(1, (1, 2)),
        kernel.flip(2),
        kernel.transpose(1, 2),
        kernel[[2, 0, 1]],
    ):
        assert float(coherence(same)) == pytest.approx(own, rel=1e-9)


def test_input_channels_count_by_their_energy() -> None:
    grating = torch.cos(2 * math.pi / 5 * along(7, 0))
    crossed = torch.stack([2 * grating, grating.T])
    assert float(coherence(crossed)) == pytest.approx((4 - 1) / (4 + 1), rel=1e-9)
    assert float(coherence(torch.stack([grating, grating.T]))) == pytest.approx(0, abs=1e-9)


def test_a_kernel_without_gradient_has_no_coherence() -> None:
    kernels = torch.stack([torch.zeros(1, 3, 3), torch.full((1, 3, 3), 0.1), torch.full((1, 3, 3), torch.nan)]).double()
    kernels = torch.cat([kernels, (1.0 - 2.0 * (torch.arange(9) % 2)).view(1, 1, 3, 3)])
    assert coherence(kernels).isnan().all()


def gratings(count: int, channels: int, size: int) -> Tensor:
    turned = [torch.cos(2 * math.pi / 4 * along(size, math.pi * index / count)) for index in range(count)]
    return torch.stack(turned)[:, None].repeat(1, channels, 1, 1).float()


class Turned(nn.Module):
    """Called from `first` to `last`, `again` twice, registered the other way round, with layers that do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(8, 4, 3)
        self.pointwise = nn.Conv2d(8, 8, 1)
        self.unused = nn.Conv2d(3, 3, 3)
        self.row = nn.Conv2d(8, 8, (1, 7), padding=(0, 3))
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.first = nn.Conv2d(3, 8, 5)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 2)."""
        x = self.row(self.again(self.again(self.first(x).relu())))
        out: Tensor = self.fc(self.last(self.pointwise(x)).mean((2, 3)))
        return out


def test_layers_are_the_kernels_with_an_area_in_the_order_of_the_calls() -> None:
    network = Turned()
    measures = measure(network, (3, 16, 16))
    layers = filter_selectivity(network, measures)
    assert [(layer.name, layer.depth, layer.kernel_size, layer.units) for layer in layers] == [
        ("first", 1, (5, 5), 8),
        ("again", 2, (3, 3), 8),
        ("last", 6, (3, 3), 4),
    ]
    filters = first_filters(network, measures)
    assert filters is not None
    assert torch.equal(filters, network.first.weight.detach().double())
    assert first_filters(nn.Flatten(), measure(nn.Flatten(), (3, 8, 8))) is None
    for layer in layers:
        kernels = getattr(network, layer.name).weight.detach().double()
        assert layer.coherence == pytest.approx(float(coherence(kernels).mean()), rel=1e-9)


def test_a_computed_weight_is_measured_as_it_is_used() -> None:
    conv = parametrizations.weight_norm(nn.Conv2d(3, 4, 5, padding=2, padding_mode="reflect"))
    network = nn.Sequential(conv)
    (layer,) = filter_selectivity(network, measure(network, (3, 16, 16)))
    assert (layer.name, layer.depth, layer.units) == ("0", 1, 4)
    assert layer.coherence == pytest.approx(float(coherence(conv.weight.detach().double()).mean()), rel=1e-9)


def test_planted_edges_stand_out_and_random_kernels_do_not() -> None:
    network = CifarResNet(num_classes=10, depth=20)
    with torch.no_grad():
        network.conv1.weight.copy_(gratings(16, 3, 3))
    layers = filter_selectivity(network, measure(network, (3, 32, 32)))
    assert [layer.depth for layer in layers] == list(range(1, 20))
    first, *others = layers
    assert first.coherence == pytest.approx(1, abs=1e-5)
    assert first.adjusted == pytest.approx(1, abs=1e-4)
    assert first.coherence > first.chance + 5 * first.chance_deviation
    for layer in others:
        assert abs(layer.coherence - layer.chance) < 4.5 * layer.chance_deviation
        assert abs(layer.adjusted) < 0.15


def test_a_chance_level_keeps_the_likeness_of_channels() -> None:
    # Kernels that are the same in all channels have the chance level of one channel, not of three.
    conv = nn.Conv2d(3, 200, 3)
    network = nn.Sequential(conv)
    noise = torch.randn(200, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        conv.weight.copy_(noise.expand(200, 3, 3, 3))
    (layer,) = filter_selectivity(network, measure(network, (3, 8, 8)))
    assert layer.chance == pytest.approx(0.57, abs=0.03)


def test_many_input_channels_have_the_chance_level_that_shuffling_them_gives() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(40, 64, 3)
    network = nn.Sequential(conv)
    with torch.no_grad():
        conv.weight += 0.3 * gratings(64, 40, 3)
    (layer,) = filter_selectivity(network, measure(network, (40, 8, 8)))
    kernels = conv.weight.detach().double().flatten(2)
    means = []
    for _ in range(200):
        order = torch.rand(64, 9).argsort(dim=1)[:, None].expand_as(kernels)
        means.append(float(coherence(kernels.gather(2, order).view(64, 40, 3, 3)).mean()))
    assert layer.chance == pytest.approx(np.mean(means), abs=0.01)
    assert layer.chance_deviation == pytest.approx(np.std(means), rel=0.5)


def test_numbers_depend_on_the_weights_and_the_seed_alone() -> None:
    network = Turned()
    measures = measure(network, (3, 16, 16))
    state = torch.get_rng_state()
    one = filter_selectivity(network, measures)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert filter_selectivity(network, measures) == one
    other = filter_selectivity(network, measures, seed=1)
    assert [layer.coherence for layer in other] == [layer.coherence for layer in one]
    assert [layer.chance for layer in other] != [layer.chance for layer in one]


def test_units_without_gradient_are_left_out_of_the_mean() -> None:
    conv = nn.Conv2d(1, 4, 3)
    network = nn.Sequential(conv)
    with torch.no_grad():
        conv.weight.copy_(torch.cat([gratings(2, 1, 3), torch.zeros(2, 1, 3, 3)]))
    measures = measure(network, (1, 8, 8))
    (layer,) = filter_selectivity(network, measures)
    assert layer.units == 2
    assert layer.coherence == pytest.approx(1, abs=1e-6)
    nn.init.zeros_(conv.weight)
    (layer,) = filter_selectivity(network, measures)
    assert layer.units == 0
    # A constant kernel has none either when rounding has had a part in it.
    conv = nn.Conv2d(20, 4, 3)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(4, 20, 1, 1).expand(4, 20, 3, 3))
    (layer,) = filter_selectivity(nn.Sequential(conv), measure(nn.Sequential(conv), (20, 8, 8)))
    assert layer.units == 0
    assert math.isnan(layer.chance)
    plain = json.loads(json.dumps(layer.as_dict(), allow_nan=False))
    assert (plain["coherence"], plain["adjusted"], plain["kernel_size"]) == (None, None, [3, 3])


def test_transposed_and_grouped_convolutions_have_a_kernel_per_output_channel() -> None:
    transposed = nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False).double()
    kernels = kernels_of(transposed)
    assert kernels.shape == (6, 2, 3, 3)
    for channel in range(4):
        impulse = F.one_hot(torch.tensor(channel), 4).double().view(1, 4, 1, 1)
        group = channel // 2
        answer = transposed(impulse)[0, 3 * group : 3 * group + 3]
        torch.testing.assert_close(kernels[3 * group : 3 * group + 3, channel % 2], answer)
    depthwise = nn.Conv2d(4, 4, 3, groups=4)
    assert kernels_of(depthwise).shape == (4, 1, 3, 3)


def test_a_single_gradient_has_a_direction_by_necessity() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 2))
    (layer,) = filter_selectivity(network, measure(network, (1, 8, 8)))
    assert [layer.coherence, layer.chance] == pytest.approx([1, 1])
    assert math.isnan(layer.adjusted)


def test_weights_without_numbers_are_refused() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(ValueError, match="meta device"):
        filter_selectivity(network, measure(network, (3, 8, 8)))


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def sheet(figure: Figure) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the picture that is shown, white as nan."""
    return np.ma.filled(np.ma.asarray(figure.axes[0].images[0].get_array()).astype(float), np.nan)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "shape", [(1, 1, 3, 3), (32, 1, 3, 3), (64, 3, 7, 7), (96, 3, 11, 11), (8, 16, 5, 5), (4, 3, 1, 9)]
)
def test_filters_of_every_shape_are_drawn(shape: tuple[int, int, int, int]) -> None:
    figure = draw_first_filters(np.random.default_rng(0).normal(size=shape), "coherence 0.5")
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    assert f"First layer: {shape[0]} filters of {shape[2]}x{shape[3]}, coherence 0.5" in words(figure)
    assert ("first principal component\nof 16 channels" in words(figure)) is (shape[1] == 16)


def test_filters_share_one_scale_on_which_grey_is_zero() -> None:
    weight = np.zeros((2, 3, 1, 1))
    weight[0, :, 0, 0], weight[1, :, 0, 0] = [4.0, 0.0, -4.0], [2.0, 2.0, 0.0]
    figure = draw_first_filters(weight)
    colours = sheet(figure)
    np.testing.assert_allclose(colours[0, 0], [1.0, 0.5, 0.0])
    np.testing.assert_allclose(colours[0, -1], [0.75, 0.75, 0.5])
    assert "±4" in words(figure)
    grey = draw_first_filters(weight[:, :1])
    low, high = grey.axes[0].images[0].get_clim()
    assert low == -high
    np.testing.assert_allclose([sheet(grey)[0, 0], sheet(grey)[0, -1]], [4.0, 2.0])


def test_filters_of_many_channels_are_drawn_as_the_pattern_that_they_share() -> None:
    pattern = np.array([[1.0, -1.0], [2.0, 0.0]])
    parts = np.array([0.1, -3.0, 0.2, 0.0, 1.0])
    figure = draw_first_filters((parts[:, None, None] * pattern)[None])
    size = len(sheet(figure)) // 2
    shown = sheet(figure)[::size, ::size][:2, :2]
    np.testing.assert_allclose(shown, -pattern * np.linalg.norm(parts), atol=1e-12)
    assert "100% of the energy" in words(figure)


@pytest.mark.filterwarnings("error")
def test_weights_that_are_no_numbers_are_white_and_zeros_grey() -> None:
    weight = np.zeros((2, 3, 2, 2))
    weight[1] = np.nan
    colours = sheet(draw_first_filters(weight))
    np.testing.assert_allclose(colours[0, 0], 0.5)
    np.testing.assert_allclose(colours[0, -1], 1.0)


@pytest.mark.parametrize("shape", [(3, 3), (0, 3, 3, 3)])
def test_what_are_no_filters_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(O, I, kH, kW\)"):
        draw_first_filters(np.zeros(shape))


def layer(index: int, coherence: float) -> LayerSelectivity:
    return LayerSelectivity(f"layer{index}", index + 1, (3, 3), 16, coherence, 0.2, 0.02)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 30, 31, 110])
def test_selectivity_is_drawn_beside_chance(count: int) -> None:
    figure = draw_selectivity([layer(index, 0.6) for index in range(count)])
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    upper, lower = figure.axes
    np.testing.assert_allclose(np.asarray(upper.lines[0].get_ydata()), 0.6)
    np.testing.assert_allclose(np.asarray(upper.lines[1].get_ydata()), 0.2)
    np.testing.assert_allclose(np.asarray(lower.lines[0].get_ydata()), 0.5)
    assert upper.lines[0].get_linestyle() != upper.lines[1].get_linestyle()
    assert ("layer0" in words(figure)) is (count <= 30)
    with pytest.raises(ValueError, match="no layer"):
        draw_selectivity([])
