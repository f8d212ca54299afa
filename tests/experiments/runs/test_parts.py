"""Parts of a network by a word."""

import pytest
import torch
from torch import nn

from experiments.errors import UserError
from experiments.measures.network import measure
from experiments.runs.parts import part_of
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.resnet import CifarResNet


def layers(network: nn.Module, word: str, size: int = 32) -> list[str]:
    """Return the modules of a part, by name."""
    names = part_of("model.freeze", word, network, measure(network, (3, size, size)))
    return list(dict.fromkeys(name.rpartition(".")[0] for name in network.state_dict() if name in names))


@pytest.fixture(scope="module")
def residual() -> nn.Module:
    return CifarResNet(depth=8, num_classes=4, shortcut="B")


def test_words(residual: nn.Module) -> None:
    every = list(dict.fromkeys(name.rpartition(".")[0] for name in residual.state_dict()))
    assert layers(residual, "none") == []
    assert layers(residual, "trunk") == every[:-1]
    assert every[-1:] == ["fc"]


def test_the_first_layers_are_counted_as_depth_is_and_have_their_batch_norm(residual: nn.Module) -> None:
    assert layers(residual, "first:1") == ["conv1", "bn1"]
    assert layers(residual, "first:2") == ["conv1", "bn1", "layer1.0.conv1", "layer1.0.bn1"]
    block = ["layer1.0.conv1", "layer1.0.bn1", "layer1.0.conv2", "layer1.0.bn2"]
    # A projection stands beside the two layers of its block, as deep as the first of them.
    projected = ["layer2.0.conv1", "layer2.0.bn1", "layer2.0.downsample.0", "layer2.0.downsample.1"]
    assert layers(residual, "first:4") == ["conv1", "bn1", *block, *projected]


def test_all_layers_but_the_last_are_the_trunk(residual: nn.Module) -> None:
    assert layers(residual, "first:7") == layers(residual, "trunk")


def test_branches_count_by_their_own_depth() -> None:
    network = GoogLeNet(num_classes=4, width_multiplier=0.125)
    first = layers(network, "first:4", 64)
    assert [name for name in first if name.startswith("inception3a")] != []
    deeper = set(layers(network, "first:5", 64)) - set(first)
    # The second layers of the first module's branches, and what stands first in the next one's branches.
    assert any(name.startswith("inception3a") for name in deeper)


def test_patterns_match_whole_names(residual: nn.Module) -> None:
    assert set(layers(residual, "layer[12].*")) == {
        name for name in layers(residual, "trunk") if name.startswith(("layer1", "layer2"))
    }
    assert layers(residual, "*.bn1.*") == ["layer1.0.bn1", "layer2.0.bn1", "layer3.0.bn1"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("first:8", r"model\.freeze=first:8: the network has 8 layers with weights.*must be first:1 to first:7"),
        (
            "layer9.*",
            r"model\.freeze=layer9\.\*: no tensor of the network has such a name .*; their names: conv1\.weight",
        ),
    ],
)
def test_a_part_that_is_not_there(residual: nn.Module, word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        layers(residual, word)


def test_what_is_never_called_is_no_first_layer() -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Conv2d(3, 3, 3)
            self.used = nn.Conv2d(3, 3, 3)
            self.fc = nn.Linear(3, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.fc(self.used(images).mean((2, 3)))
            return logits

    assert layers(Lazy(), "first:1") == ["used"]
