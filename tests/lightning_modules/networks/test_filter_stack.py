"""The arms of the stacked-filters comparison differ in weights and in nothing they see."""

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.networks.filter_stack import FilterStack


def one_5x5() -> FilterStack:
    return FilterStack(num_classes=10, kernel_size=5, convs_per_stage=1)


def two_3x3() -> FilterStack:
    return FilterStack(num_classes=10, kernel_size=3, convs_per_stage=2)


def stage_weights(network: FilterStack) -> int:
    return sum(module.weight.numel() for module in network.stages.modules() if isinstance(module, nn.Conv2d))


def test_weights_per_pair_of_channels_are_25_against_18() -> None:
    pairs = 3 * 32 * 32
    assert stage_weights(one_5x5()) == 25 * pairs
    assert stage_weights(two_3x3()) == 18 * pairs
    assert not any(module.bias is not None for module in two_3x3().modules() if isinstance(module, nn.Conv2d))


def test_all_parameters() -> None:
    # stem 3·9·32 + 64, stages above, batch norm 64 per layer, linear 32·10 + 10
    assert sum(parameter.numel() for parameter in one_5x5().parameters()) == 928 + 76_800 + 3 * 64 + 330
    assert sum(parameter.numel() for parameter in two_3x3().parameters()) == 928 + 55_296 + 6 * 64 + 330


def test_parameters_at_another_width() -> None:
    network = FilterStack(num_classes=10, kernel_size=3, convs_per_stage=2, widths=(8, 12), width_multiplier=0.6)
    # 4.8 and 7.2 channels
    a, b = 5, 7
    convolutions = 9 * (3 * a + 2 * a * a + a * b + b * b)
    assert sum(parameter.numel() for parameter in network.parameters()) == (
        convolutions + 2 * (3 * a + 2 * b) + 10 * b + 10
    )


def receptive_field(network: FilterStack) -> int:
    """Extent in pixels of the gradient of one unit of the last stage, all weights positive and pools averaging."""
    network = network.double().eval()
    network.maxpool = nn.AvgPool2d(kernel_size=2, stride=2)  # type: ignore[assignment]
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    seen: list[Tensor] = []
    network.stages[-1].register_forward_hook(lambda _module, _maps, out: seen.append(out))
    images = torch.ones(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
    network(images)
    torch.autograd.backward(seen[0][0, 0, 12, 12])
    assert images.grad is not None
    columns = images.grad[0].abs().sum(dim=(0, 1)).nonzero()
    return int(columns.max() - columns.min()) + 1


def test_both_see_34_pixels() -> None:
    # 3 of the stem, then 4 pixels per stage at strides 1, 2 and 4, and a pool of 1 and of 2 pixels.
    assert receptive_field(one_5x5()) == receptive_field(two_3x3()) == 3 + 4 + 1 + 8 + 2 + 16


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_every_parameter_gets_a_gradient(channels: int, size: int) -> None:
    network = FilterStack(num_classes=10, in_channels=channels, widths=(4, 8, 16))
    logits = network(torch.randn(2, channels, size, size))
    assert logits.shape == (2, 10)
    logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("kernel_size", 4, r"kernel_size=4: must be odd and at least 1"),
        ("convs_per_stage", 0, r"convs_per_stage=0: must be at least 1"),
        ("widths", [], r"widths=\[\]: must name the width of at least one stage"),
        ("widths", [8, 0], r"widths\[1\]=0: must be at least 1"),
    ],
)
def test_a_bad_argument_is_named(argument: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FilterStack(**{"num_classes": 10, argument: value})  # type: ignore[arg-type]


def test_too_small_images_are_refused() -> None:
    assert two_3x3().eval()(torch.randn(1, 3, 4, 4)).shape == (1, 10)
    with pytest.raises(ValueError, match=r"image_size=4x3: this network needs at least 4x4 pixels"):
        two_3x3()(torch.randn(1, 3, 4, 3))
