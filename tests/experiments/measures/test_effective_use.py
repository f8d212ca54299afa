"""What the measure of the effective receptive field gives, what it leaves alone, and what it refuses."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from experiments.measures.effective import effective_field
from tests.experiments.measures.effective_networks import (
    Branches,
    Functional,
    Scaled,
    noise,
    random,
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


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
