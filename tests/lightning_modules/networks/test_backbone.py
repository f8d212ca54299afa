"""The parts of a classification network make up the network again, whatever its family."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn

from lightning_modules.networks.backbone import check_head, keep_stages, map_shape, parts_of, probe, stages_of
from lightning_modules.networks.filter_stack import FilterStack
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.inception_stack import InceptionStack
from lightning_modules.networks.resnet import CifarResNet, ResNet
from lightning_modules.networks.vgg import VGG

# With the stride of their maps and their channels.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "vgg": (lambda: VGG(num_classes=5, depth=11, pooled_size=2, head_widths=(24, 16), width_multiplier=1 / 16), 32, 32),
    "resnet": (lambda: ResNet(num_classes=5, depth=18, width_multiplier=1 / 16), 32, 32),
    "cifar_resnet": (lambda: CifarResNet(num_classes=5, depth=8), 4, 64),
    "googlenet": (lambda: GoogLeNet(num_classes=5, aux_heads=True, width_multiplier=1 / 16), 32, 64),
    "filter_stack": (lambda: FilterStack(num_classes=5, widths=(4, 6, 8), first_pool=True), 8, 8),
    "inception_stack": (lambda: InceptionStack(num_classes=5, widths=(8, 16)), 2, 16),
    "torchvision": (lambda: torchvision.models.mnasnet0_5(num_classes=5), 0, 0),
}
OURS = [name for name in NETWORKS if name != "torchvision"]


@pytest.mark.parametrize("name", OURS)
def test_head_of_neck_of_stages_is_the_network(name: str) -> None:
    made, stride, channels = NETWORKS[name]
    torch.manual_seed(0)
    network = made().eval()
    parts = parts_of(network)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = parts.stages(images)
        logits = parts.head(parts.neck(maps))
        expected = network(images)
    assert expected.std() > 0
    torch.testing.assert_close(logits, expected)
    shape = map_shape(parts.stages)
    assert (shape.in_channels, shape.channels, shape.stride) == (3, channels, stride)
    assert maps.shape == (2, channels, 64 // stride, 96 // stride)


def test_the_papers_network_is_taken_apart_too() -> None:
    with torch.device("meta"):
        parts = parts_of(torchvision.models.alexnet())
    # Of 227 pixels 6 by 6 places, the paper's pool5, and the 4096 of fc7.
    assert map_shape(parts.stages) == (3, 256, 32)
    assert probe(parts.stages, 3, 227).shape[1:] == (256, 6, 6)
    assert parts.head.in_features == 4096


@pytest.mark.parametrize("training", [True, False])
def test_asking_for_the_shape_changes_nothing(training: bool) -> None:
    network = CifarResNet(num_classes=5, depth=8).train(training)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    map_shape(stages_of(network))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", OURS)
def test_stages_alone_are_what_is_left_of_a_network(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name][0]().eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = stages_of(network)(images)
        keep_stages(network)
        assert torch.equal(stages_of(network)(images), before)
    of_stages = {id(parameter) for parameter in stages_of(network).parameters()}
    assert {id(parameter) for parameter in network.parameters()} == of_stages


def test_what_is_made_in_another_way_is_refused() -> None:
    with pytest.raises(ValueError, match=r"backbone=MNASNet: has no 'avgpool', behind which"):
        parts_of(NETWORKS["torchvision"][0]())
    network = CifarResNet(num_classes=5, depth=8)
    network.fc = nn.Identity()  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"backbone=CifarResNet: ends in Identity, must end in Linear"):
        parts_of(network)


def test_a_head_without_the_background_is_refused() -> None:
    with pytest.raises(ValueError, match=r"backbone: num_classes=5: must be 6, of 5 classes and, last, the background"):
        check_head(parts_of(CifarResNet(num_classes=5, depth=8)), 5)
