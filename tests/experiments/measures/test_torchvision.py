"""Torchvision's networks against numeric ground truth and the numbers that torchvision publishes."""

import json
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.googlenet import Inception

from experiments.measures.forward import smallest_input
from experiments.measures.network import measure
from experiments.measures.reach import Status

TRUTH = json.loads(Path(__file__).with_name("torchvision.json").read_text(encoding="utf-8"))
# Layers on the longest chain, as the papers count them.
DEPTHS = {"vgg11": 11, "vgg16": 16, "vgg19": 19, "googlenet": 22, "resnet18": 18, "resnet34": 34, "resnet50": 50}
DEPTHS |= {"resnet101": 101, "resnet152": 152, "densenet121": 121, "alexnet": 8, "mobilenet_v2": 53}


def build(name: str) -> nn.Module:
    """Return a network without weights, in the form in which torchvision publishes its numbers."""
    arguments: dict[str, object] = {"weights": None}
    if name.startswith(("googlenet", "inception")):
        arguments |= {"init_weights": False, "aux_logits": name.startswith("inception")}
    if name.startswith(("fcn", "deeplab")):
        arguments |= {"weights_backbone": None, "aux_loss": True}
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        published = name.removesuffix("_5x5").removesuffix("_paper")
        network: nn.Module = torchvision.models.get_model(published, **arguments)
        if name in ("googlenet_5x5", "googlenet_paper"):
            for module in network.modules():
                if isinstance(module, Inception):
                    last: Any = module.branch3
                    narrow = last[1].conv
                    last[1].conv = nn.Conv2d(narrow.in_channels, narrow.out_channels, 5, padding=2, bias=False)
        if name == "googlenet_paper":
            network.maxpool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    return network


@pytest.mark.parametrize("name", TRUTH["receptive_fields"])
def test_receptive_fields_equal_the_numeric_ground_truth(name: str) -> None:
    end_points = TRUTH["receptive_fields"][name]
    # Not the size of the ground truth's images, but one at which most windows do not fit into the image.
    measures = measure(build(name), (3, 299, 203))
    found = {}
    for end_point in end_points:
        field = measures.at(end_point).field
        assert field.status is Status.EXACT
        numbers = [field.size, field.stride, field.padding, field.shortest_path]
        assert all(y == x for y, x in numbers)
        found[end_point] = [y for y, _ in numbers]
    assert found == end_points


def test_ground_truth_has_all_its_layers() -> None:
    assert sum(map(len, TRUTH["receptive_fields"].values())) == 376


@pytest.mark.parametrize("name", TRUTH["macs"])
def test_parameters_and_macs_are_those_that_torchvision_publishes(name: str) -> None:
    truth = TRUTH["macs"][name]
    network = build(name)
    measures = measure(network, (3, truth["input"], truth["input"]))
    assert measures.parameters == truth["parameters"]
    assert measures.macs == truth["macs"]
    assert sum(layer.macs for layer in measures.layers) == measures.macs
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.empty(1, 3, truth["input"], truth["input"], device="meta"))
    assert counter.get_total_flops() == 2 * measures.macs


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "vgg16_bn", "densenet121", "mobilenet_v2", "inception_v3"])
def test_every_parameter_belongs_to_a_layer(name: str) -> None:
    network = build(name)
    measures = measure(network, (3, 128, 128))
    unused = sum(item.numel() for key, item in network.named_parameters() if key.startswith("AuxLogits"))
    assert sum(layer.parameters for layer in measures.layers) == measures.parameters - unused


@pytest.mark.parametrize("name", DEPTHS)
def test_depth_is_the_one_that_names_the_network(name: str) -> None:
    assert measure(build(name), (3, 224, 224)).depth == DEPTHS[name]


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "googlenet", "resnet18", "inception_v3", "squeezenet1_0"])
def test_smallest_input_is_the_one_that_torchvision_publishes(name: str) -> None:
    side = smallest_input(build(name), 3)
    assert side == TRUTH["smallest_inputs"][name]
    if side > 1:
        with pytest.raises(ValueError, match=f"input {side - 1}x{side - 1} is too small .* {side}x{side}"):
            measure(build(name), (3, side - 1, side - 1))


# Radosavovic et al. 2020, Table 3, in millions.
@pytest.mark.parametrize(
    ("name", "millions"), [("resnet50", 11.1), ("resnet101", 16.2), ("resnet152", 22.6), ("resnext50_32x4d", 14.4)]
)
def test_activations_are_the_published_ones(name: str, millions: float) -> None:
    assert round(measure(build(name), (3, 224, 224)).activations / 1e6, 1) == millions


def test_segmentation_sees_further_after_bilinear_upsampling() -> None:
    measures = measure(build("fcn_resnet50"), (3, 224, 224))
    assert measures.at("classifier").receptive_field == (443, 443)
    assert measures.receptive_field == (451, 451)
    assert measures.stride == (Fraction(1), Fraction(1))
    assert measures.status is Status.EXACT


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf"])
def test_squeeze_and_excite_sees_the_whole_image(name: str) -> None:
    with torch.device("cpu"):
        network = torchvision.models.get_model(name, weights=None)
    measures = measure(network, (3, 224, 224))
    assert measures.status is Status.WHOLE_IMAGE
    assert "avgpool" in str(measures.reason)
    assert measures.receptive_field == (224, 224)
