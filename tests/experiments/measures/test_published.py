"""Measures against the numbers that papers, Distill and torchvision print."""

import warnings
from fractions import Fraction

import pytest
import torch
import torchvision
from torch import Tensor, nn

from experiments.measures.network import measure
from experiments.measures.parameters import count_parameters
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.resnet import ResNet
from lightning_modules.networks.vgg import VGG

STRIDE = (Fraction(32), Fraction(32))  # of all networks for photographs here

# torchvision 0.29.2, weights.meta["num_params"], of published detectors: their batch norm is frozen, its scales and
# shifts are no parameters. Built without weights it is trainable, which adds twice its channels.
RESNET50_NORM, MOBILENET_NORM = 53_120, 24_400
DETECTORS = {
    "fasterrcnn_resnet50_fpn": (41_755_286, RESNET50_NORM),
    "fasterrcnn_resnet50_fpn_v2": (43_712_278, 0),
    "fasterrcnn_mobilenet_v3_large_fpn": (19_386_354, MOBILENET_NORM),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (19_386_354, MOBILENET_NORM),
    "maskrcnn_resnet50_fpn": (44_401_393, RESNET50_NORM),
    "retinanet_resnet50_fpn": (34_014_999, RESNET50_NORM),
}


@pytest.mark.parametrize("name", DETECTORS)
def test_parameters_of_detectors_are_those_that_torchvision_publishes(name: str) -> None:
    published, norm = DETECTORS[name]
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    assert count_parameters(network).total == published + norm
    if norm:
        scales = [
            module.weight.numel() + module.bias.numel()
            for module in network.backbone.modules()
            if isinstance(module, nn.BatchNorm2d)
        ]
        assert sum(scales) == norm


def test_what_needs_numbers_still_has_its_parameters_counted() -> None:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torchvision.models.get_model("retinanet_resnet50_fpn", weights=None, weights_backbone=None)
    with pytest.raises(ValueError, match=r"of its 34,068,119 parameters nothing more can be known without numbers"):
        measure(network, (3, 224, 224))


# Simonyan & Zisserman 2015, Table 2, in millions.
@pytest.mark.parametrize(("depth", "millions"), [(11, 133), (13, 133), (16, 138), (19, 144)])
def test_parameters_of_vgg_are_the_papers(depth: int, millions: int) -> None:
    with torch.device("meta"):
        network = VGG(depth=depth, num_classes=1000)
    assert round(count_parameters(network).total / 1e6) == millions


# He et al. 2016, Table 1, in 10⁹ multiply-adds, of networks with their stride in the first 1x1 convolution.
@pytest.mark.parametrize(("depth", "billions"), [(50, 3.8), (101, 7.6), (152, 11.3)])
def test_macs_of_resnets_are_the_papers(depth: int, billions: float) -> None:
    with torch.device("meta"):
        network = ResNet(depth=depth, num_classes=1000, stride_in="1x1")
    # The paper prints 3.86 as 3.8, the others rounded.
    assert measure(network, (3, 224, 224)).macs / 1e9 == pytest.approx(billions, abs=0.06)


# Araujo, Norris & Sim, Distill 2019, and the table of its code: receptive field after each stage. Its ResNets have
# their stride in the last unit of each stage, which makes the same windows as the paper's place, in the first 1x1
# convolution.
@pytest.mark.parametrize(
    ("depth", "fields"), [(50, [35, 99, 291, 483]), (101, [35, 99, 835, 1027]), (152, [35, 163, 1315, 1507])]
)
def test_receptive_fields_of_resnets_are_distills(depth: int, fields: list[int]) -> None:
    with torch.device("meta"):
        network = ResNet(depth=depth, num_classes=1000, stride_in="1x1")
    measures = measure(network, (3, 224, 224))
    for stage, field in enumerate(fields):
        found = measures.at(f"layer{stage + 1}")
        assert found.receptive_field == (field, field)
        # Not Distill's, whose pooling pads one side alone: numeric ground truth.
        assert found.stride == (Fraction(4 * 2**stage),) * 2
        assert found.padding == (field // 2,) * 2
        assert found.field.shortest_path == (11, 11)
    assert (measures.receptive_field, measures.stride) == ((fields[-1], fields[-1]), STRIDE)


@pytest.mark.parametrize(
    ("name", "end", "field", "padding"),
    [
        ("vgg16", "features.30", 212, 90),  # vgg_16
        ("inception_v3", "Mixed_7c", 1311, 618),
        ("alexnet", "features.12", 195, None),  # alexnet_v2 pads its first layer otherwise; R-CNN, section 3.1
    ],
)
def test_receptive_fields_of_torchvision_are_distills(name: str, end: str, field: int, padding: int | None) -> None:
    arguments = {"init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torchvision.models.get_model(name, weights=None, **arguments)
    found = measure(network, (3, 299, 299)).at(end)
    assert (found.receptive_field, found.stride) == ((field, field), STRIDE)
    if padding is not None:
        assert found.padding == (padding, padding)


class Convolutional(nn.Module):
    """A classifier's features under its first fully connected layer as a convolution (Long et al. 2015, Table 1)."""

    def __init__(self, features: nn.Module, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Conv2d(channels, 4096, kernel_size)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4096, h, w)."""
        maps: Tensor = self.head(self.features(images))
        return maps


# Long, Shelhamer & Darrell 2015, Table 1: receptive field and stride of FCN-AlexNet, FCN-VGG16, FCN-GoogLeNet.
@pytest.mark.parametrize(
    ("name", "channels", "kernel_size", "field"), [("alexnet", 256, 6, 355), ("vgg16", 512, 7, 404)]
)
def test_receptive_fields_of_fully_convolutional_networks_are_the_papers(
    name: str, channels: int, kernel_size: int, field: int
) -> None:
    with torch.device("meta"):
        features = torchvision.models.get_model(name, weights=None).features
        network = Convolutional(features, channels, kernel_size)
    measures = measure(network, (3, 500, 500))
    assert (measures.receptive_field, measures.stride) == ((field, field), STRIDE)


def test_receptive_field_of_the_papers_googlenet() -> None:
    with torch.device("meta"):
        network = GoogLeNet(num_classes=1000, kernel_size_5x5=5, last_pool_kernel_size=3, batch_norm=False)
        network.add_module("avgpool", nn.AvgPool2d(7, stride=1))
    measures = measure(network, (3, 224, 224))
    assert measures.at("inception5b").receptive_field == (715, 715)
    assert measures.at("avgpool").receptive_field == (907, 907)
    assert measures.at("avgpool").stride == STRIDE
