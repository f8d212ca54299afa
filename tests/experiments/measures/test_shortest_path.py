"""The path that widens the receptive field least, beside paths through operators that join all positions."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from experiments.benchmarks.random_networks import Apply
from experiments.measures.centre import centre_unit
from experiments.measures.forward import trace_of
from experiments.measures.layers import Field
from experiments.measures.network import NetworkMeasures, measure
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


class Summed(nn.Module):
    """The sum of what several branches make of the same image."""

    def __init__(self, *branches: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.branches = branches

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        return torch.stack([branch(x) for branch in self.branches]).sum(0)


def upsampled_from(start: int, factor: int, mode: str = "nearest") -> Callable[[Tensor], Tensor]:
    """Return a branch of which each unit of phase `start` is the first to see the next pixel."""

    def branch(x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=factor, mode=mode)
        return x[..., start:, start:][..., : 2 * factor, : 2 * factor]

    return branch


def test_no_path_is_cut_however_many_others_are_as_short() -> None:
    # One in three units of the bilinear branch sees a single pixel of every eight, the others two; those of the other
    # branches five pixels each, at other places in each. Less in the mean is more at the unit that the slice picks.
    def narrow_at_times(x: Tensor) -> Tensor:
        return F.interpolate(x[..., ::8, ::8], scale_factor=3, mode="bilinear")[..., :9, :9]

    def five_from(start: int) -> Callable[[Tensor], Tensor]:
        def branch(x: Tensor) -> Tensor:
            return F.interpolate(F.avg_pool2d(x[..., start:, start:], 5, 8), scale_factor=3)[..., :9, :9]

        return branch

    others = [five_from(start) for start in range(24)]
    network = nn.Sequential(Summed(*others, narrow_at_times), Every(3))
    field = measure(network, (1, 64, 64)).field
    ways = [measure(nn.Sequential(Summed(way), Every(3)), (1, 64, 64)).field for way in (*others, narrow_at_times)]
    assert {way.shortest_path for way in ways} == {(5, 5), (1, 1)}
    assert (field.status, field.shortest_path, field.reason) == (Status.EXACT, (1, 1), None)


class Every(nn.Module):
    """Every so many-th unit, from the second on."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        return x[..., 1 :: self.step, 1 :: self.step]


@pytest.mark.parametrize("count", [64, 65])
def test_where_too_many_paths_compete_the_shortest_is_not_told(count: int) -> None:
    branches = [upsampled_from(start, 80) for start in range(count)]
    field = measure(Summed(*branches), (1, 4, 4)).field
    assert field.status is Status.EXACT
    told = (field.shortest_path, field.reason)
    said = "network: stack: more than 64 paths, of which each may be the shortest"
    assert told == (((1, 1), None) if count == 64 else ((None, None), said))


def test_what_is_not_told_stays_so_unless_all_positions_meet() -> None:
    branches = Summed(*(upsampled_from(start, 80) for start in range(65)))

    def measured(function: Callable[[Tensor], Tensor]) -> Field:
        return measure(nn.Sequential(branches, Apply(function)), (1, 4, 4)).layers[-1].field

    also_shorter = measured(lambda x: x + F.avg_pool2d(x, 3, 1, 1))
    assert (also_shorter.shortest_path, also_shorter.status) == ((None, None), Status.EXACT)
    assert "more than 64 paths" in str(also_shorter.reason)
    scaled = measured(lambda x: x * x.mean((2, 3), keepdim=True))
    assert (scaled.shortest_path, scaled.status) == ((None, None), Status.WHOLE_IMAGE)
    assert str(scaled.reason).startswith("1: mean over the whole map; ")
    assert "more than 64 paths" in str(scaled.reason)
    # No path is left that has a length.
    assert measured(lambda x: x.mean((2, 3), keepdim=True)).reason == "1: mean over the whole map"


def test_a_path_that_sees_nothing_at_times_hides_none_that_sees_more_and_is_hidden_by_none() -> None:
    full, holes = window([1, 1]), Window(np.array([0, 5]), np.array([0, 4]), 2)
    assert not full.never_wider_than(holes)
    assert not holes.never_wider_than(full)
    assert len(reach(full).united(reach(holes), "add").shortest) == 2
