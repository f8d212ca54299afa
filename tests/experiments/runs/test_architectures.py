"""Networks by name, without weights."""

import pytest
import torch
from torch import nn

from experiments.errors import UserError
from experiments.runs.architectures import ConfiguredArchitecture, architecture, named


def on_meta(network: nn.Module) -> bool:
    return all(parameter.device.type == "meta" for parameter in network.parameters())


def test_a_network_of_the_configuration() -> None:
    found = architecture(["model=plain56", "model.network.depth=20", "++model.network.shortcut=B", "seed=4"])
    assert found.name == "plain56"
    assert found.title == "plain56 with depth=20, shortcut=B"
    assert found.image_size == 32  # of the default data set
    network = found.build(7, 1)
    assert on_meta(network)
    assert network.get_parameter("fc.weight").shape == (7, 64)
    assert network.get_parameter("conv1.weight").shape == (16, 1, 3, 3)


def test_one_argument_changed() -> None:
    found = architecture(["model=plain56"])
    assert isinstance(found, ConfiguredArchitecture)
    wide = found.changed("width_multiplier", 2.0).changed("depth", 14)
    assert wide.title == "plain56 with width_multiplier=2.0, depth=14"
    assert wide.build(10, 3).get_parameter("fc.weight").shape == (10, 128)
    assert found.title == "plain56"
    assert found.build(10, 3).get_parameter("fc.weight").shape == (10, 64)
    with pytest.raises(UserError, match=r"^model.network.width_multiplier=-1: must be above 0 and finite$"):
        found.changed("width_multiplier", -1).build(10, 3)


def test_networks_of_torchvision() -> None:
    found = named("torchvision:resnet18", key="model")
    assert (found.name, found.title, found.image_size) == ("torchvision:resnet18", "torchvision:resnet18", 224)
    assert on_meta(found.build(5, 3))
    # Its constructor computes with numbers.
    regnet = architecture(["model=torchvision:regnet_y_400mf"]).build(5, 3)
    assert regnet.get_parameter("fc.weight").shape == (5, 440)
    segmentation = named("torchvision:fcn_resnet50", key="model").build(21, 3)
    assert on_meta(segmentation)


def test_building_draws_no_numbers() -> None:
    before = torch.random.get_rng_state()
    named("resnet20", key="model").build(10, 3)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnett20", r"^match.macs=resnett20: no such network; did you mean 'resnet20'\? .*, torchvision:NAME$"),
        ("torchvision:resnet21", r"^match.macs=torchvision:resnet21: no such network of images .* 'resnet"),
        ("../plain20", r"^match.macs=../plain20: no such network"),
        ("task/classification", r"^match.macs=task/classification: no such network"),
    ],
)
def test_an_unknown_name(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        named(name, key="match.macs")


def test_torchvisions_networks_take_no_other_setting() -> None:
    with pytest.raises(UserError, match=r"^model.network.depth=5: torchvision's networks take no such key$"):
        architecture(["model=torchvision:resnet18", "model.network.depth=5"])
