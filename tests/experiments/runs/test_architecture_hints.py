"""What the shapes of a checkpoint tell of the network that it was trained with."""

import pytest
import torch
from torch import nn

from experiments.errors import UserError
from experiments.runs.architecture_hints import hint
from experiments.runs.tensor_names import paired
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.resnet import CifarResNet, ResNet
from lightning_modules.networks.vgg import VGG


def refusal(theirs: nn.Module, ours: nn.Module) -> str:
    with pytest.raises(UserError) as refused:
        paired({f"their.{name}": tensor for name, tensor in theirs.state_dict().items()}, ours, "w")
    return str(refused.value).rpartition("; ")[2]


SMALL_STEM = {"stem_kernel_size": 3, "stem_stride": 1}
SMALL_HEAD = {"pooled_size": 1, "head_widths": [512, 512]}


@pytest.mark.parametrize(
    ("network", "theirs", "ours", "said"),
    [
        (CifarResNet, {"shortcut": "B"}, {}, "its shortcuts have weights: model.network.shortcut=B"),
        (CifarResNet, {}, {"shortcut": "B"}, "its shortcuts have no weights: model.network.shortcut=A or A-behind"),
        (
            CifarResNet,
            {"depth": 32},
            {},
            "31 convolutions besides those of shortcuts, the network 19: see model",
        ),
        (CifarResNet, {"bottleneck": True, "shortcut": "B"}, {"shortcut": "B"}, "1x1: model.network.bottleneck=true"),
        (CifarResNet, {"num_classes": 100}, {}, "it was trained for 100 classes, this data set has 10"),
        (ResNet, {"depth": 18, **SMALL_STEM}, {"depth": 18}, "it begins with 3x3: model.network.stem_kernel_size=3"),
        (ResNet, {"depth": 34}, {"depth": 18}, "33 convolutions besides those of shortcuts, the network 17"),
        (VGG, {"batch_norm": True}, {}, "it has batch norm: model.network.batch_norm=true"),
        (VGG, {}, {"batch_norm": True}, "it has no batch norm: model.network.batch_norm=false"),
        (VGG, {**SMALL_HEAD, "head_widths": []}, SMALL_HEAD, "other widths: 'model.network.head_widths=[]'"),
        (VGG, {}, SMALL_HEAD, "other widths: 'model.network.head_widths=[4096,4096]' and pooled_size=7"),
        (VGG, {"depth": 13}, {}, "it has 10 convolutions besides those of shortcuts, the network 13"),
        (GoogLeNet, {"small_images": True}, {}, "it begins with 3x3: model.network.small_images=true"),
    ],
)
def test_the_argument_that_differs_is_named(
    network: type[CifarResNet | ResNet | VGG | GoogLeNet],
    theirs: dict[str, object],
    ours: dict[str, object],
    said: str,
) -> None:
    with torch.device("meta"):
        other, own = (network(**{"num_classes": 10, **arguments}) for arguments in (theirs, ours))  # type: ignore[arg-type]
    assert said in refusal(other, own)


def test_nothing_is_said_of_what_the_network_does_not_take() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    assert hint(network, {"conv.weight": (4, 3, 7, 7)}, "conv.weight", "0.weight") == ""


def test_shortcuts_that_are_registered_first_are_no_other_architecture() -> None:
    with torch.device("meta"):
        network = CifarResNet(num_classes=10, depth=8, shortcut="B")
    state = network.state_dict()
    first = sorted(state, key=lambda name: "downsample" not in name)
    shapes = {name: tuple(state[name].shape) for name in first}
    assert hint(network, shapes, first[0], "conv1.weight") == ""
