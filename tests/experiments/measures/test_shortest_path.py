"""The path that widens the receptive field least, beside paths through operators that join all positions."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from experiments.measures.centre import centre_unit
from experiments.measures.layers import Field
from experiments.measures.network import NetworkMeasures, measure, trace_of
from experiments.measures.reach import Reach, Status, Window
from experiments.measures.sampling import Resampled
from lightning_modules.networks.resnet import CifarResNet

SIDE = 32


class Of(nn.Module):
    """A function of what a convolution of 3x3 and stride 2 puts out."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → whatever the function makes of it."""
        return self.function(self.conv(x))


def field_of(network: nn.Module) -> Field:
    return measure(network, (1, SIDE, SIDE)).field


def normalised(*norms: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *norms, nn.Conv2d(4, 4, 3, padding=1))


@pytest.mark.parametrize(
    ("network", "status", "shortest"),
    [
        # The scale of squeeze and excitation comes from everywhere, what it scales does not.
        (Of(lambda x: x * x.mean((2, 3), keepdim=True)), Status.WHOLE_IMAGE, 3),
        (Of(lambda x: x + x.sort(-1).values.sort(-2).values), Status.WHOLE_IMAGE, 3),
        # A unit is a part of the mean that it is normalised by, and itself besides.
        (normalised(nn.GroupNorm(2, 4)), Status.WHOLE_IMAGE, 5),
        (normalised(nn.InstanceNorm2d(4)), Status.WHOLE_IMAGE, 5),
        (Of(lambda x: x.softmax(-1).softmax(-2)), Status.WHOLE_IMAGE, 3),
        (Of(lambda x: x.cumsum(-1).cumsum(-2)), Status.BOUND, 3),
        # No unit keeps its place.
        (Of(lambda x: torch.zeros_like(x) + x.mean((2, 3), keepdim=True)), Status.WHOLE_IMAGE, None),
        (Of(lambda x: x.sort(-1).values.sort(-2).values), Status.WHOLE_IMAGE, None),
        (Of(lambda x: x.flatten(2).softmax(-1) @ x.flatten(2).transpose(1, 2)), Status.WHOLE_IMAGE, None),
    ],
)
def test_a_path_through_an_operator_that_joins_all_positions_is_no_shortest_path(
    network: nn.Module, status: Status, shortest: int | None
) -> None:
    last = measure(network, (1, SIDE, SIDE)).layers[-1].field
    assert last.status is status
    assert last.shortest_path == (shortest, shortest)
    assert last.size in ((SIDE, SIDE), (SIDE - 1, SIDE - 1))


def test_in_training_mode_batch_norm_leaves_the_shortest_path_as_in_evaluation() -> None:
    network = CifarResNet(depth=20, num_classes=10)
    evaluation, training = (measure(network, (3, SIDE, SIDE), training=mode) for mode in (False, True))
    assert training.status is Status.WHOLE_IMAGE
    assert evaluation.field.shortest_path == training.field.shortest_path == (3, 3)


NETWORKS = {
    "efficientnet_b0": 224,
    "mobilenet_v3_small": 224,
    "shufflenet_v2_x0_5": 224,
    "densenet121": 64,
    "swin_t": 64,
    "convnext_tiny": 64,
    "maxvit_t": 224,
}


@pytest.fixture(scope="module", params=NETWORKS)
def measured(request: pytest.FixtureRequest) -> tuple[int, NetworkMeasures]:
    side = NETWORKS[request.param]
    with torch.device("meta"):
        network = models.get_model(request.param, weights=None)
    return side, measure(network, (3, side, side))


def test_what_the_shortest_path_has_inside_the_image_is_part_of_the_receptive_field(
    measured: tuple[int, NetworkMeasures],
) -> None:
    side, measures = measured
    shown = [layer.field for layer in (*measures.layers, *measures.blocks)] + [measures.field]
    for field in shown:
        for size, shortest in zip(field.size, field.shortest_path, strict=True):
            if shortest is None:
                assert field.status in (Status.WHOLE_IMAGE, Status.BOUND)
                continue
            assert size is not None
            assert (shortest if field.status is Status.EXACT else min(shortest, side)) <= size


def test_the_direct_path_of_efficientnet_leaves_its_squeeze_and_excitation_out() -> None:
    class Unity(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.ones_like(x[:, :, :1, :1])

    with torch.device("meta"):
        network = models.efficientnet_b0(weights=None)
    scaled = measure(network, (3, 224, 224))
    for module in network.modules():
        if hasattr(module, "scale_activation"):
            module.avgpool = Unity()
    direct = measure(network, (3, 224, 224))
    assert direct.status is Status.EXACT
    assert scaled.status is Status.WHOLE_IMAGE
    assert scaled.receptive_field == (224, 224)
    assert scaled.field.shortest_path == direct.field.shortest_path == (235, 235)


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_small"])
def test_the_centre_of_a_unit_that_sees_the_whole_image_moves_with_it(name: str) -> None:
    with torch.device("meta"):
        network = models.get_model(name, weights=None)
    source = trace_of(network, (3, 224, 224)).last_source
    assert source is not None
    # Every layer of stride 2 has a padding that centres unit 0 on pixel 0: unit 3 of stride 32 is centred on pixel 96.
    unit = centre_unit(source[0], source[0].shape, (224, 224))
    assert (unit.index, unit.centre, unit.window) == ((3, 3), (96.0, 96.0), None)


@pytest.mark.parametrize(
    ("function", "centre"),
    [
        (lambda x: x * x.mean((2, 3), keepdim=True), 16.0),
        # A path of one position, spread over all, is a short one too; it does not move with the unit.
        (lambda x: x[:, :, :1, :1] + x * x.mean((2, 3), keepdim=True), 16.0),
        # Nothing moves: unit 8 of 16 lies in the map as this point in the image.
        (lambda x: x.sort(-1).values.sort(-2).values, 16.5),
    ],
)
def test_the_centre_is_that_of_a_path_that_moves_with_the_unit(
    function: Callable[[Tensor], Tensor], centre: float
) -> None:
    trace = trace_of(Of(function), (1, SIDE, SIDE))
    known = trace.steps[-1].known
    unit = centre_unit(known.sight, trace.steps[-1].shape, (SIDE, SIDE))
    assert (unit.index, unit.centre) == ((8, 8), (centre, centre))


def test_the_size_of_a_whole_image_is_that_of_the_centre_unit() -> None:
    # All units see the eight pixels at the corner; those in the middle what lies between them and these besides.
    class Corner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + x[:, :, :8, :8].mean((2, 3), keepdim=True)

    field = field_of(Corner())
    assert field.status is Status.WHOLE_IMAGE
    assert field.size == (SIDE // 2 + 1, SIDE // 2 + 1)
    assert field.visible == ((0, SIDE // 2), (0, SIDE // 2))


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_only_bounded_stays_so_beside_the_whole_image(order: int) -> None:
    def join(x: Tensor) -> Tensor:
        one, other = [x.cumsum(-1).cumsum(-2), x * x.mean((2, 3), keepdim=True)][::order]
        return one + other

    field = field_of(Of(join))
    assert (field.status, field.reason) == (Status.BOUND, "network: cumsum over all positions before")


def window(sizes: list[int]) -> Window:
    first = np.arange(len(sizes))
    return Window(first, first + np.array(sizes) - 1, len(sizes))


def reach(path: Window) -> Reach:
    return Reach(32, path, (path,), (np.zeros(32, np.int64), np.full(32, 31)))


def test_all_paths_are_kept_that_may_turn_out_to_be_the_shortest() -> None:
    # Each is the shortest of one unit in eight; which of them matters shows when a stride picks that one.
    paths = [window([1 if phase == own else 20 for phase in range(8)]) for own in range(8)]
    together = reach(paths[0])
    for path in paths[1:]:
        together = together.united(reach(path), "add")
    assert len(together.shortest) == len(paths)
    for phase in range(8):
        assert min(int(path.sizes[phase]) for path in together.shortest) == 1


def test_windows_are_followed_through_periods_up_to_a_length() -> None:
    pixel = Window(np.zeros(1, np.int64), np.zeros(1, np.int64), 1)
    held = pixel.through(Resampled(Fraction(3, 1 << 14), "nearest", half_pixel=False))
    assert held is not None
    assert len(held.first) == 1 << 14
    assert pixel.through(Resampled(Fraction(3, (1 << 14) + 1), "nearest", half_pixel=False)) is None


@pytest.mark.parametrize(("scale", "stride"), [(1 / 3, Fraction(3)), (0.17, Fraction(100, 17))])
def test_a_scale_factor_that_no_float_holds_is_taken_for_the_fraction_that_it_means(
    scale: float, stride: Fraction
) -> None:
    field = field_of(nn.Upsample(scale_factor=scale, mode="bilinear"))
    assert (field.status, field.stride) == (Status.EXACT, (stride, stride))
