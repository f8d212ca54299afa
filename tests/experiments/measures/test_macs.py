"""Multiply-accumulates alone: the same number as with all other measures."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from experiments.measures.macs import count_macs
from experiments.measures.network import measure
from experiments.runs.architectures import architecture

CLASSES = 10


@pytest.mark.parametrize("name", ["resnet20", "googlenet_small", "vgg11_small_bn", "conv5x5"])
def test_networks_of_ours(name: str) -> None:
    network = architecture([f"model={name}"]).build(CLASSES, 3)
    assert count_macs(network, (3, 32, 32)) == measure(network, (3, 32, 32)).macs > 0


@pytest.mark.parametrize("name", ["efficientnet_b0", "swin_v2_t", "fcn_resnet50"])
def test_networks_of_torchvision(name: str) -> None:
    network = models.get_model(name, weights=None, **({"weights_backbone": None} if "fcn" in name else {}))
    network.train()
    assert count_macs(network, (3, 64, 64)) == measure(network, (3, 64, 64)).macs > 0
    assert all(module.training for module in network.modules())


def test_constants_that_hold_numbers() -> None:
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.constant = torch.ones(8, 2)
            self.drop = nn.Dropout()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.drop(x) @ self.constant
            return out

    network = Weighted()
    before = copy.deepcopy(torch.get_rng_state())
    assert count_macs(network, (1, 8, 8)) == 8 * 8 * 2
    assert torch.equal(before, torch.get_rng_state())
    assert measure(network, (1, 8, 8)).saved_elements is not None


def test_what_a_network_cannot_take_is_said_as_by_measure() -> None:
    with pytest.raises(ValueError, match=r"does not take images of 2 channels \(0 takes 3 channels, not 2\)"):
        count_macs(nn.Sequential(nn.Conv2d(3, 4, 3)), (2, 8, 8))
