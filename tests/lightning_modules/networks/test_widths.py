"""The width multiplier: whole channels, and the same networks as before at 1, half of everything at one half."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from lightning_modules.networks.filter_stack import FilterStack
from lightning_modules.networks.googlenet import GoogLeNet, GoogLeNetLogits
from lightning_modules.networks.inception_stack import InceptionStack
from lightning_modules.networks.resnet import CifarResNet, ResNet
from lightning_modules.networks.vgg import VGG
from lightning_modules.networks.widths import scaled, spread

CLASSES = 10
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "resnet20": partial(CifarResNet, depth=20),
    "resnet20 with projections": partial(CifarResNet, depth=20, shortcut="C"),
    "resnet18": partial(ResNet, depth=18, shortcut="A"),
    "resnet50": partial(ResNet, depth=50),
    "vgg11": partial(VGG, depth=11, head_widths=(512, 512)),
    "vgg11, batch norm": partial(VGG, depth=11, batch_norm=True, pooled_size=1, head_widths=()),
    "googlenet": partial(GoogLeNet, aux_heads=True),
    "googlenet for 32 pixels": partial(GoogLeNet, small_images=True, last_pool_kernel_size=3, batch_norm=False),
    "filter stack": partial(FilterStack, widths=(8, 16, 32)),
    "filter stack by layers": partial(FilterStack, widths=(8, 16, 32), rounding="layer"),
    "inception stack": partial(InceptionStack, widths=(32, 64)),
    "inception stack by layers": partial(InceptionStack, widths=(32, 64), rounding="layer"),
}


def build(name: str, **arguments: float) -> nn.Module:
    with torch.device("meta"):
        return NETWORKS[name](num_classes=CLASSES, **arguments)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    ("width", "multiplier", "channels"),
    [(64, 1, 64), (64, 0.5625, 36), (16, 0.03125, 1), (16, 0.09375, 2), (16, 0.09, 1), (16, 1e-9, 1), (3, 2.5, 8)],
)
def test_channels_are_rounded_half_up_and_never_none(width: int, multiplier: float, channels: int) -> None:
    assert scaled(width, multiplier) == channels


@pytest.mark.parametrize(
    ("width", "sum_of_three"), [(5, 15), (5.1, 15), (5.2, 16), (5.5, 17), (5.7, 17), (5.9, 18), (0.1, 3)]
)
def test_layers_that_share_a_fraction_have_its_mean(width: float, sum_of_three: int) -> None:
    layers = [spread(width, place, 3) for place in range(3)]
    assert layers == sorted(layers)
    assert sum(layers) == sum_of_three
    assert spread(width, 0, 1) == scaled(1, width)


@pytest.mark.parametrize("base", [48, 64, 384, 1024])
def test_the_widest_layer_gets_every_whole_width_and_no_layer_narrows(base: int) -> None:
    assert [scaled(base, channels / base) for channels in range(1, 2 * base)] == list(range(1, 2 * base))
    narrower = [scaled(base // 3, channels / base) for channels in range(1, 2 * base)]
    assert narrower == sorted(narrower)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("multiplier", [0.5, 2.0])
def test_every_layer_scales_alike_but_image_and_classes(name: str, multiplier: float) -> None:
    base, scaled_shapes = shapes(build(name)), shapes(build(name, width_multiplier=multiplier))
    image = next(iter(base))
    for key, shape in base.items():
        kept = {0: CLASSES, 1: -1} if shape[:1] == (CLASSES,) else {1: 3} if key == image else {}
        expected = tuple(
            side if axis > 1 or kept.get(axis) == side else round(side * multiplier) for axis, side in enumerate(shape)
        )
        assert scaled_shapes[key] == expected, key


@pytest.mark.parametrize("name", NETWORKS)
def test_a_multiplier_of_1_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](num_classes=CLASSES)
    torch.manual_seed(0)
    same = NETWORKS[name](num_classes=CLASSES, width_multiplier=1.0)
    assert str(network) == str(same)
    other = same.state_dict()
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, other[key]), key


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("multiplier", [0.3, 0.0001, 1.3])
def test_any_multiplier_makes_a_network_that_runs(name: str, multiplier: float) -> None:
    network = build(name, width_multiplier=multiplier).train()
    answers = network(torch.empty(2, 3, 64, 64, device="meta"))
    for logits in answers if isinstance(answers, GoogLeNetLogits) else (answers,):
        assert logits.shape == (2, CLASSES)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("resnet20", 64),
        ("resnet50", 512),  # of the 3x3 convolutions; the bottlenecks' last follow at four times that
        ("vgg11", 512),
        ("vgg11, batch norm", 512),
        ("googlenet", 1024),  # of the auxiliary heads
        ("googlenet for 32 pixels", 384),
        ("filter stack", 32),
        ("inception stack", 64),
    ],
)
def test_the_width_of_the_widest_layer_is_that_at_1(name: str, width: int) -> None:
    assert build(name).base_width == width
    assert build(name, width_multiplier=0.3).base_width == width
    assert VGG(num_classes=2, head_widths=(600,), width_multiplier=0.01).base_width == 600


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("multiplier", [0, -0.5, float("inf"), float("nan")])
def test_a_bad_multiplier_is_named(name: str, multiplier: float) -> None:
    with pytest.raises(ValueError, match=rf"^width_multiplier={multiplier}: must be above 0 and finite$"):
        build(name, width_multiplier=multiplier)


def test_depths() -> None:
    assert CifarResNet.DEPTHS[0] == 8
    assert {20, 32, 44, 56, 110, 1202} <= set(CifarResNet.DEPTHS)
    assert list(ResNet.DEPTHS) == [18, 34, 50, 101, 152]
    assert list(VGG.DEPTHS) == [11, 13, 16, 19]
    with torch.device("meta"):
        for cls in (ResNet, VGG):
            for depth in cls.DEPTHS:
                cls(num_classes=2, depth=depth)
        for stack in (FilterStack, InceptionStack):
            stack(num_classes=2, widths=(1,), **{stack.DEPTH_ARGUMENT: stack.DEPTHS[-1]})  # type: ignore[arg-type]
        deepest = CifarResNet(num_classes=10, depth=CifarResNet.DEPTHS[-1])
    # He et al. 2016, Table 6: 19.4 M
    assert sum(parameter.numel() for parameter in deepest.parameters()) == pytest.approx(19.4e6, rel=0.002)
