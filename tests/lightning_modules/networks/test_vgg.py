"""VGG against torchvision and the usual CIFAR form."""

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_modules.networks.vgg import VGG


def small(depth: int = 11, *, batch_norm: bool = False) -> VGG:
    return VGG(num_classes=10, depth=depth, batch_norm=batch_norm, pooled_size=1, head_widths=(512, 512))


# torchvision's VGG*_Weights.IMAGENET1K_V1.meta["num_params"]; without batch norm also Table 2 of the paper, rounded.
@pytest.mark.parametrize(
    ("depth", "batch_norm", "parameters"),
    [
        (11, False, 132_863_336),
        (11, True, 132_868_840),
        (13, False, 133_047_848),
        (13, True, 133_053_736),
        (16, False, 138_357_544),
        (16, True, 138_365_992),
        (19, False, 143_667_240),
        (19, True, 143_678_248),
    ],
)
def test_parameters_and_names_are_torchvisions(depth: int, *, batch_norm: bool, parameters: int) -> None:
    theirs = getattr(torchvision.models, f"vgg{depth}{'_bn' if batch_norm else ''}")
    with torch.device("meta"):
        network = VGG(num_classes=1000, depth=depth, batch_norm=batch_norm)
        expected = {name: tensor.shape for name, tensor in theirs(weights=None).state_dict().items()}
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == expected


def test_macs_at_224_pixels_are_torchvisions() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        VGG(num_classes=1000, depth=16).eval()(torch.empty(1, 3, 224, 224))
    assert counter.get_total_flops() == 2 * 15_470_264_320


@pytest.mark.parametrize("size", [32, 80])
def test_torchvisions_weights_give_torchvisions_outputs(size: int) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.vgg11_bn(weights=None, init_weights=False).eval()
    with torch.device("meta"):
        network = VGG(num_classes=1000, depth=11, batch_norm=True).eval()
    network.load_state_dict(theirs.state_dict(), assign=True)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        expected = theirs(images)
        assert expected.std() > 1e-3
        torch.testing.assert_close(network(images), expected)


def test_the_small_form_takes_weights_of_the_usual_cifar_networks() -> None:
    # Features, then 512-512-10 with dropout, no pooling: 32 pixels arrive as one.
    theirs = torchvision.models.vgg.VGG(
        torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["A"], batch_norm=True), init_weights=False
    )
    theirs.classifier = nn.Sequential(
        nn.Linear(512, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, 10)
    )
    theirs.avgpool = nn.Identity()
    network = small(batch_norm=True)
    network.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network.eval()(images), theirs.eval()(images))


def test_no_hidden_width_makes_a_single_linear_head() -> None:
    network = VGG(num_classes=10, depth=11, pooled_size=1, head_widths=())
    assert [name for name, _ in network.classifier.named_parameters()] == ["0.weight", "0.bias"]
    assert network(torch.randn(1, 3, 32, 32)).shape == (1, 10)


def test_a_quarter_of_the_width_is_torchvisions_network_of_such_layers() -> None:
    layers = torchvision.models.vgg.make_layers([16, "M", 32, "M", 64, 64, "M", 128, 128, "M", 128, 128, "M"])
    with torch.device("meta"):
        network = VGG(num_classes=10, depth=11, pooled_size=7, head_widths=(128, 64), width_multiplier=0.25)
    assert [tensor.shape for tensor in network.features.state_dict().values()] == [
        tensor.shape for tensor in layers.state_dict().values()
    ]
    # The head is thinned as well: it has most of the parameters.
    assert [layer.weight.shape for layer in network.classifier if isinstance(layer, nn.Linear)] == [
        (32, 128 * 7 * 7),
        (16, 32),
        (10, 16),
    ]


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = small()
    logits: Tensor = network(torch.randn(2, 3, 32, 32))
    torch.autograd.backward(logits.square().sum())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("depth", 12, r"depth=12: must be one of 11, 13, 16, 19"),
        ("pooled_size", 0, r"pooled_size=0: must be at least 1"),
        ("head_widths", [512, -1], r"head_widths\[1\]=-1: must be at least 1"),
        ("num_classes", 0, r"num_classes=0: must be at least 1"),
        ("dropout", 1.5, r"dropout=1.5: must be from 0 to 1"),
    ],
)
def test_a_bad_argument_is_named(argument: str, value: object, message: str) -> None:
    arguments = {"num_classes": 10, "depth": 11, argument: value}
    with pytest.raises(ValueError, match=message):
        VGG(**arguments)  # type: ignore[arg-type]


def test_too_small_images_are_refused() -> None:
    with torch.device("meta"):
        network = small()
        assert network(torch.empty(1, 3, 32, 33)).shape == (1, 10)
        with pytest.raises(ValueError, match=r"image_size=32x31: this network needs at least 32x32 pixels"):
            network(torch.empty(1, 3, 32, 31))
