"""Selective filters have a high index, blobs none; a derivative's is the one that the formula gives."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from experiments.measures.network import measure
from experiments.measures.orientation import (
    ORIENTATIONS,
    SELECTIVE,
    OrientationSelectivity,
    gratings,
    orientation_selectivity,
    selectivity_index,
)

ANGLES = [step * math.pi / 7 for step in range(7)]


def grid(size: int) -> tuple[Tensor, Tensor]:
    places = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(places, places, indexing="ij")
    return y, x


def blob(size: int, width: float) -> Tensor:
    y, x = grid(size)
    return torch.exp(-(x**2 + y**2) / (2 * width**2))


def gabor(angle: float, width: float = 2.5) -> Tensor:
    y, x = grid(11)
    return blob(11, width) * torch.cos(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / 6)


def bank(kernels: list[Tensor], *after: nn.Module) -> nn.Sequential:
    weights = torch.stack(kernels)[:, None]
    convolution = nn.Conv2d(1, len(weights), weights.shape[-1], padding=weights.shape[-1] // 2)
    with torch.no_grad():
        convolution.weight.copy_(weights)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return nn.Sequential(convolution, *after)


def selectivity(network: nn.Module, black: float = -1.3, white: float = 2.0) -> OrientationSelectivity:
    (found,) = orientation_selectivity(network, measure(network, (1, 32, 32)), black=[black], white=[white])
    return found


def test_the_index_is_one_minus_the_circular_variance() -> None:
    angle = np.arange(180) * np.pi / 180
    one, other = np.zeros(180), np.zeros(180)
    one[17] = other[[17, 107]] = 3.0
    rows = np.stack([np.ones(180), one, other, np.abs(np.cos(angle)), np.cos(angle) ** 2])
    np.testing.assert_allclose(selectivity_index(rows), [0, 1, 0, 1 / 3, 1 / 2], atol=1e-4)


def test_gratings_have_the_length_and_the_direction_that_they_say() -> None:
    waves = gratings(24, 32)
    assert waves.shape == (4, ORIENTATIONS, 4, 24, 32)
    along_x, along_y = waves[1, 0, 0], waves[1, ORIENTATIONS // 2, 0]
    torch.testing.assert_close(along_x[:, 6:], along_x[:, :-6])
    torch.testing.assert_close(along_x[1:], along_x[:-1])
    torch.testing.assert_close(along_y[6:], along_y[:-6])
    torch.testing.assert_close(waves[:, :, 2], -waves[:, :, 0])


@pytest.mark.parametrize("after", [(), (nn.ReLU(),), (nn.ReLU(), nn.MaxPool2d(2))])
def test_gabor_filters_are_selective_and_blobs_are_not(after: tuple[nn.Module, ...]) -> None:
    found = selectivity(
        bank([*map(gabor, ANGLES), blob(11, 1.0), blob(11, 2.0), blob(11, 1.0) - blob(11, 2.0) / 4], *after)
    )
    assert found.index[:7].min() > 0.6
    assert found.index[7:].max() < 0.05
    assert found.selective == 0.7
    assert found.median > 0.6


def test_narrow_tuning_has_a_higher_index() -> None:
    narrow, wide = selectivity(bank([gabor(0.4, 3.0), gabor(0.4, 1.5)])).index
    assert narrow > wide + 0.1


def test_a_small_derivative_of_long_waves_has_a_third() -> None:
    # A mean over 8 x 8 pixels before it takes away all but the longest waves, for which two pixels are next to nothing.
    derivative = bank([torch.tensor([[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]])])
    network = nn.Sequential(nn.AvgPool2d(9, stride=1, padding=4), *derivative)
    (index,) = selectivity(network).index
    assert index == pytest.approx(SELECTIVE, abs=0.02)


def test_random_kernels_are_rarely_selective() -> None:
    generator = torch.Generator().manual_seed(0)
    found = selectivity(bank(list(torch.randn(60, 5, 5, generator=generator)), nn.ReLU()))
    assert 0.1 < found.median < 0.3
    assert found.selective < 0.35


def test_neither_contrast_nor_brightness_nor_sign_changes_the_index() -> None:
    network = bank([gabor(0.3), -2 * gabor(0.3), blob(11, 2.0)])
    usual, dark = selectivity(network), selectivity(network, black=0.0, white=0.2)
    np.testing.assert_allclose(usual.index, dark.index, atol=1e-3)
    assert usual.index[0] == pytest.approx(usual.index[1], abs=1e-4)


def test_a_channel_that_answers_nothing_is_silent() -> None:
    network = bank([gabor(0.0), torch.zeros(11, 11), gabor(1.0)], nn.ReLU())
    network.get_parameter("0.bias").data = torch.tensor([0.0, 1.0, -1000.0])
    found = selectivity(network)
    assert np.isnan(found.index).tolist() == [False, True, True]
    assert found.silent == found.selective * 2 == pytest.approx(2 / 3)
    assert found.median == found.index[0]


def test_all_layers_of_a_network_in_their_order() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 2),
    )
    found = orientation_selectivity(network, measure(network, (3, 8, 8)), black=[-1] * 3, white=[1] * 3)
    assert [(layer.layer, len(layer.index)) for layer in found] == [("0", 4), ("3", 5), ("6", 2)]
    assert [layer.depth for layer in found] == pytest.approx([1 / 3, 2 / 3, 1])
    with pytest.raises(ValueError, match="1 and 3 values for 3 channels"):
        orientation_selectivity(network, measure(network, (3, 8, 8)), black=[0], white=[1] * 3)
