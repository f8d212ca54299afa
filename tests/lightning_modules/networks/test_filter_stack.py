"""The arms of a comparison differ in what they are compared by, and in nothing else."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.networks.filter_stack import FilterStack
from lightning_modules.networks.he import he_normal


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
    """Extent of the pixels that one unit of the last stage depends on."""
    columns = columns_seen(network)
    return int(columns.max() - columns.min()) + 1


def columns_seen(network: FilterStack) -> Tensor:
    """Columns of pixels with a gradient from one unit of the last stage, all weights positive and pools averaging."""
    network = network.double().eval()
    network.pool = nn.AvgPool2d(kernel_size=2, stride=2)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    seen: list[Tensor] = []
    network.stages[-1].register_forward_hook(lambda _module, _maps, out: seen.append(out))
    images = torch.ones(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
    network(images)
    torch.autograd.backward(seen[0][0, 0, 12, 12])
    assert images.grad is not None
    return images.grad[0].abs().sum(dim=(0, 1)).nonzero()


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
        ("activation", "elu", r"activation=elu: must be one of relu, tanh, gelu, none"),
        ("norm", "layer", r"norm=layer: must be one of batch, none"),
        ("dilation", 0, r"dilation=0: must be at least 1"),
        ("pool", "stride", r"pool=stride: must be one of max, average"),
        ("rounding", "up", r"rounding=up: must be one of stage, layer"),
    ],
)
def test_a_bad_argument_is_named(argument: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FilterStack(**{"num_classes": 10, argument: value})  # type: ignore[arg-type]


def test_too_small_images_are_refused() -> None:
    assert two_3x3().eval()(torch.randn(1, 3, 4, 4)).shape == (1, 10)
    with pytest.raises(ValueError, match=r"image_size=4x3: this network needs at least 4x4 pixels"):
        two_3x3()(torch.randn(1, 3, 4, 3))
    with pytest.raises(ValueError, match=r"image_size=4x4: this network needs at least 8x8 pixels"):
        FilterStack(num_classes=10, first_pool=True)(torch.randn(1, 3, 4, 4))


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolutions(network: FilterStack) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def test_the_stack_of_rectifiers_begins_with_the_weights_that_it_always_had() -> None:
    torch.manual_seed(0)
    network = FilterStack(num_classes=10, widths=(4, 8))
    assert list(network.state_dict())[:6] == [
        "stem.0.weight",
        *(f"stem.1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
    ]
    torch.manual_seed(1)
    network.apply(network.initialise)
    weights = [module.weight.clone() for module in convolutions(network)]
    torch.manual_seed(1)
    network.apply(he_normal)
    assert len(weights) == 5
    assert all(torch.equal(own, he.weight) for own, he in zip(weights, convolutions(network), strict=True))


def functions() -> dict[str, Callable[[Tensor], Tensor]]:
    return {"relu": torch.relu, "tanh": torch.tanh, "gelu": nn.functional.gelu, "none": lambda numbers: numbers}


@pytest.mark.parametrize("activation", functions())
def test_every_layer_hands_on_the_variance_that_the_first_one_makes(activation: str) -> None:
    """The law of `activations`, over layers so wide that one draw of the weights shows it, away from the borders."""
    torch.manual_seed(0)
    network = FilterStack(
        num_classes=2,
        in_channels=64,
        kernel_size=1,
        convs_per_stage=10,
        widths=(1000,),
        activation=activation,
        norm="none",
    )
    variances: list[float] = []
    for module in convolutions(network):
        module.register_forward_hook(
            lambda _module, _maps, out: variances.append(float(out[..., 1:-1, 1:-1].square().mean()))
        )
    with torch.no_grad():
        network(torch.randn(1, 64, 12, 12))
    first = 2.0 if activation == "relu" else 1.0
    assert variances == pytest.approx([first] * 11, rel=0.15)


@pytest.mark.parametrize(("activation", "function"), functions().items())
def test_the_activation_is_the_one_that_is_named(activation: str, function: Callable[[Tensor], Tensor]) -> None:
    network = FilterStack(num_classes=2, widths=(4,), convs_per_stage=1, activation=activation, norm="none").eval()
    images = torch.randn(2, 3, 8, 8)
    stem, layer = convolutions(network)
    maps = function(layer(function(stem(images))))
    torch.testing.assert_close(network(images), network.fc(maps.mean(dim=(2, 3))))


def test_without_norm_layers_have_biases() -> None:
    network = FilterStack(num_classes=10, widths=(4, 6), convs_per_stage=1, norm="none")
    # stem 27·4 + 4, 9·4·4 + 4, 9·4·6 + 6, linear 6·10 + 10
    assert parameters(network) == 112 + 148 + 222 + 70
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert all(module.bias is not None and not module.bias.any() for module in convolutions(network))
    names = {name for name in FilterStack(num_classes=10, widths=(4, 6)).state_dict() if name.endswith(".0.weight")}
    assert names == {
        name for name in FilterStack(num_classes=10, widths=(4, 6), norm="none").state_dict() if ".0.weight" in name
    }


@pytest.mark.parametrize("pool", ["max", "average"])
def test_only_average_pools_leave_a_stack_without_activation_affine(pool: str) -> None:
    torch.manual_seed(0)
    network = FilterStack(num_classes=3, widths=(4, 4), activation="none", pool=pool).double().eval()
    one, other = torch.randn(2, 1, 3, 8, 8, dtype=torch.float64)
    difference = network((one + other) / 2) - (network(one) + network(other)) / 2
    assert bool(difference.abs().max() < 1e-12) is (pool == "average")


def test_dilated_filters_see_further_with_the_same_weights() -> None:
    plain, dilated = two_3x3(), FilterStack(num_classes=10, dilation=2)
    assert {name: tensor.shape for name, tensor in plain.state_dict().items()} == {
        name: tensor.shape for name, tensor in dilated.state_dict().items()
    }
    images = torch.randn(1, 3, 16, 16)
    assert dilated.stages[0](dilated.stem(images)).shape == plain.stages[0](plain.stem(images)).shape
    assert receptive_field(plain) == 34
    # 3 of the stem, 2 · 4 pixels per stage at strides 1, 2 and 4, and a pool of 1 and of 2 pixels.
    assert receptive_field(dilated) == 3 + 8 + 1 + 16 + 2 + 32


@pytest.mark.parametrize(("dilation", "seen"), [(3, 3 + 2 * 2 * 3), (4, 3 * 5)])
def test_the_stem_sees_what_filters_of_a_dilation_up_to_3_leave_out(dilation: int, seen: int) -> None:
    network = FilterStack(num_classes=10, widths=(4,), dilation=dilation)
    assert len(columns_seen(network)) == seen
    assert receptive_field(network) == 3 + 2 * 2 * dilation


def test_a_first_pool_quarters_what_the_stages_compute() -> None:
    network = FilterStack(num_classes=10, widths=(4, 4), first_pool=True)
    sizes: list[torch.Size] = []
    for stage in network.stages:
        stage.register_forward_hook(lambda _module, _maps, out: sizes.append(out.shape[-2:]))
    network(torch.randn(2, 3, 16, 16))
    assert sizes == [(8, 8), (4, 4)]


@pytest.mark.parametrize("convs_per_stage", [1, 2, 9])
def test_depth_is_two_and_the_convolutions_of_the_stages(convs_per_stage: int) -> None:
    network = FilterStack(num_classes=2, widths=(2, 2), convs_per_stage=convs_per_stage)
    weighted = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 2 + 2 * convs_per_stage


def layer_widths(width_multiplier: float, rounding: str = "layer") -> list[int]:
    network = FilterStack(
        num_classes=2, widths=(8, 8), convs_per_stage=2, width_multiplier=width_multiplier, rounding=rounding
    )
    return [module.out_channels for module in convolutions(network)]


def test_layers_share_a_fraction_of_a_channel() -> None:
    assert layer_widths(1.0) == layer_widths(1.0, "stage") == [8] * 5
    # 8.4 channels are two of five layers, 8.6 three.
    assert layer_widths(8.4 / 8) == [8, 8, 8, 9, 9]
    assert layer_widths(8.6 / 8) == [8, 8, 9, 9, 9]
    assert layer_widths(8.4 / 8, "stage") == [8] * 5
    assert layer_widths(1e-9) == [1] * 5
    sums = [sum(layer_widths(step / 40)) for step in range(5, 120)]
    assert sums == list(range(5, 120))
