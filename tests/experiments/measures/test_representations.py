"""The map of a layer is what the next one reads, whatever stands between, and the network is left as it was."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.measures.network import measure
from experiments.measures.representations import PICTURE, pooled, representations


class Residual(nn.Module):
    """A block of functional calls: what its second convolution makes is added to the shortcut, then rectified."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 4, 3, padding=1)
        self.shortcut = nn.Conv2d(2, 4, 1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.second(self.dropout(F.relu(self.norm(self.first(images)), inplace=True)))
        maps = F.relu_(maps + self.shortcut(images))
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


def unpooled(maps: Tensor) -> Tensor:
    return maps.clone()


def test_each_layer_is_what_the_next_one_reads() -> None:
    torch.manual_seed(0)
    network = Residual()
    images = torch.randn(6, 2, 8, 8)
    found = representations(network, [images[:4], images[4:]], measure(network, (2, 8, 8)), unpooled)
    network.eval()
    with torch.no_grad():
        first = F.relu(network.norm(network.first(images)))
        joined = F.relu(network.second(first) + network.shortcut(images))
        expected = [images, first, joined.mean((2, 3)), network(images)]
    assert [(layer.layer, layer.depth) for layer in found] == [
        (PICTURE, 0.0),
        ("first", 1 / 3),
        ("second", 2 / 3),
        ("head", 1.0),
    ]
    for layer, maps in zip(found, expected, strict=True):
        torch.testing.assert_close(layer.values, maps)


def test_channels_are_second_also_where_a_layer_has_them_last() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(2), nn.Linear(36, 7), nn.ReLU(), nn.Linear(7, 2))
    found = representations(network, [torch.randn(5, 1, 8, 8)], measure(network, (1, 8, 8)), unpooled)
    assert [tuple(layer.values.shape) for layer in found] == [(5, 1, 8, 8), (5, 36, 3), (5, 7, 3), (5, 3, 2)]


def test_the_network_and_the_generator_are_left_as_they_were() -> None:
    torch.manual_seed(0)
    network = Residual()
    network.norm.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    images = torch.randn(3, 2, 8, 8, generator=torch.Generator())
    found = representations(network, [images], measure(network, (2, 8, 8)), pooled)
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in (network, network.norm, network.dropout)] == [True, False, True]
    assert not any(module._forward_pre_hooks for module in network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(not layer.values.requires_grad for layer in found)
    assert torch.is_grad_enabled()
