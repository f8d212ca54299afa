"""Operators after which units differ in more than their place: accumulated, grouped, laid side by side, repeated."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.benchmarks.comparison import compare_seen
from experiments.measures.network import measure
from experiments.measures.reach import Status

HEIGHT, WIDTH = 11, 14


class Mapping(nn.Module):
    """A network of one function from a map of two channels, with layers to use in it."""

    def __init__(self, function: Callable[[Tensor, "Mapping"], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.many = nn.Conv2d(2, 12, 3, padding=1)
        self.tall = nn.Conv2d(2, 2, (7, 1), padding=(3, 0))
        self.row = nn.Conv1d(2, 2, 3, padding=1)
        self.weight = nn.Parameter(torch.ones(HEIGHT, 1, 1, 3))
        self.lstm = nn.LSTM(2, 2, batch_first=True)
        self.prelu = nn.PReLU(2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2, H, W) → whatever the function makes of it."""
        return self.function(x, self)


def _recurrent_rows(x: Tensor, net: Mapping) -> Tensor:
    count, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(count * height, width, channels)
    out: Tensor = net.lstm(rows)[0]
    return out.reshape(count, height, width, 2).permute(0, 3, 1, 2)


def _shuffled_by_hand(x: Tensor, net: Mapping) -> Tensor:
    y: Tensor = net.many(x)
    y = y.view(1, 2, 2, 3, HEIGHT, WIDTH).permute(0, 1, 4, 2, 5, 3).reshape(1, 2, 2 * HEIGHT, 3 * WIDTH)
    out: Tensor = net.conv(y)
    return out


def _gated_rows(x: Tensor, net: Mapping) -> Tensor:
    wanted, gate = torch.stack([net.row(row) for row in x.unbind(2)], 2).chunk(2, 1)
    return wanted * gate.sigmoid()


def _scores(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2) @ x.flatten(2)


def _strip(x: Tensor, net: Mapping) -> Tensor:
    out: Tensor = net.row(F.max_pool2d(net.conv(x), (HEIGHT, 1)).squeeze(2))
    return out.unsqueeze(2)


EXACT: dict[str, Callable[[Tensor, Mapping], Tensor]] = {
    "PReLU": lambda x, net: net.prelu(net.conv(x)),
    "channel shuffle": lambda x, net: F.channel_shuffle(net.many(x), 4),
    "a map of one row as a sequence": _strip,
    "pixel shuffle by hand": _shuffled_by_hand,
    "rows repeated": lambda x, net: net.conv(net.conv(x).repeat_interleave(2, 2)),
    "pixels expanded": lambda x, net: net.conv(
        net.conv(x)[..., None, :, None].expand(-1, -1, -1, 3, -1, 2).reshape(1, 2, 3 * HEIGHT, 2 * WIDTH)
    ),
    "rows repeated, then some taken": lambda x, net: net.conv(x).repeat_interleave(3, 2)[:, :, 4::2],
    "a scale factor that changes nothing": lambda x, net: F.interpolate(net.conv(x), scale_factor=(1.04, 1.05)),
    "the same, bilinear": lambda x, net: F.interpolate(net.conv(x), scale_factor=(1.04, 1.05), mode="bilinear"),
    "a scale factor of almost two": lambda x, net: F.interpolate(net.conv(x), scale_factor=(2.08, 2.06)),
    "rounding between two pixels": lambda x, net: F.interpolate(net.conv(x[:, :, :2]), size=(82, WIDTH)),
    "the same, nearest-exact": lambda x, net: F.interpolate(
        net.conv(x[:, :, :2]), size=(41, WIDTH), mode="nearest-exact"
    ),
}


@pytest.mark.parametrize(
    ("arguments", "noted"),
    [
        ({"size": (2 * HEIGHT, 3 * WIDTH)}, False),
        ({"scale_factor": 1.5}, False),
        ({"size": (16, 20)}, True),
        ({"scale_factor": 2, "mode": "bilinear", "align_corners": True}, True),
    ],
)
def test_ratios_that_follow_from_the_input_size_are_noted(arguments: dict[str, object], noted: bool) -> None:
    measures = measure(Mapping(lambda x, _: F.interpolate(x, **arguments)), (2, HEIGHT, WIDTH))  # type: ignore[arg-type]
    assert measures.status is Status.EXACT
    assert (measures.reason is not None) == noted
    assert not noted or "to a fixed size: at this input size" in str(measures.reason)


@pytest.mark.parametrize("name", EXACT)
def test_exact(name: str) -> None:
    comparison = compare_seen(Mapping(EXACT[name]), (2, HEIGHT, WIDTH))
    assert comparison.mismatches == ()
    assert comparison.status is Status.EXACT
    assert comparison.units > 0


BOUNDED: dict[str, tuple[Callable[[Tensor, Mapping], Tensor], str]] = {
    "cumsum": (lambda x, net: net.conv(x).cumsum(2), "cumsum over all positions before"),
    "cummax": (lambda x, net: net.conv(x).cummax(3)[0], "cummax over all positions before"),
    "rows as groups of channels": (
        lambda x, net: F.conv2d(x.transpose(1, 2), net.weight, padding=(0, 1), groups=HEIGHT).transpose(1, 2),
        "conv over channels that hold the whole map",
    ),
    "stacked rows": (
        lambda x, net: torch.stack(list(net.conv(x).unbind(2)), 2),
        "stack lays positions side by side",
    ),
    "two pixels": (
        lambda x, net: torch.cat([net.conv(x)[:, :, 1, 2], x[:, :, 9, 8]], 1),
        "cat lays positions side by side",
    ),
    "a recurrent network along rows": (_recurrent_rows, "stack lays positions side by side"),
    "a part of the channels of two columns": (
        lambda x, _: torch.stack([x[..., 0], x[..., -1]], 2)[:, :1],
        "stack lays positions side by side",
    ),
    "gated halves of stacked rows": (_gated_rows, "stack lays positions side by side"),
    "products of rows": (lambda x, net: net.conv(x) @ x.transpose(2, 3), "matmul joins positions in pairs"),
    "scaled products of rows": (
        lambda x, _: F.relu(x @ x.transpose(2, 3) / 3 + x.mean((2, 3), keepdim=True)),
        "matmul joins positions in pairs",
    ),
    "some products of rows": (
        lambda x, _: (x @ x.transpose(2, 3))[..., :2].softmax(-1),
        "matmul joins positions in pairs",
    ),
    "scores of attention": (lambda x, _: _scores(x), "matmul joins positions in pairs"),
    "smoothed scores": (
        lambda x, _: F.avg_pool2d(_scores(x)[:, None], (1, 3), 1, (0, 1))[:, 0],
        "matmul joins positions in pairs",
    ),
}


def _attended(x: Tensor, weights: Tensor) -> Tensor:
    return (x.flatten(2) @ weights.transpose(1, 2)).view(x.shape)


def _normalised_by_hand(scores: Tensor) -> Tensor:
    raised = (scores - scores.amax(-1, keepdim=True)).exp()
    return raised / raised.sum(-1, keepdim=True)


def _of_heads(x: Tensor) -> Tensor:
    heads = x.flatten(2).unsqueeze(2)
    scores = heads.transpose(2, 3) @ heads
    return (scores.softmax(-1) @ heads.transpose(2, 3)).transpose(2, 3).reshape(x.shape)


WHOLE: dict[str, Callable[[Tensor, Mapping], Tensor]] = {
    "a row's products, mixed": lambda x, _: (x @ x.transpose(2, 3)).softmax(-1),
    "attention": lambda x, _: _attended(x, _scores(x).softmax(-1)),
    "attention by hand": lambda x, _: _attended(x, _normalised_by_hand(_scores(x))),
    "attention of two heads": lambda x, _: _of_heads(x),
    "between the holes of a transposed convolution": lambda x, _: F.conv_transpose2d(
        x * x.mean((2, 3), keepdim=True), torch.ones(2, 2, 1, 1, dtype=x.dtype), stride=2
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_whole_image_is_what_units_see_that_mix_all_positions(name: str) -> None:
    network = Mapping(WHOLE[name])
    comparison = compare_seen(network, (2, HEIGHT, WIDTH))
    assert comparison.mismatches == ()
    assert comparison.status is Status.WHOLE_IMAGE
    assert measure(network, (2, HEIGHT, WIDTH)).receptive_field == (HEIGHT, WIDTH)


def test_a_part_of_padded_channels_may_be_all_padding() -> None:
    def function(x: Tensor, _: Mapping) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 1, 1))[:, ::3]

    assert measure(Mapping(function), (2, HEIGHT, WIDTH)).status is Status.BOUND


def test_labels_of_channels_take_no_memory_along_the_sides_of_the_image() -> None:
    def function(x: Tensor, net: Mapping) -> Tensor:
        pooled = F.interpolate(F.adaptive_avg_pool2d(x, 1), size=x.shape[2:])
        both: Tensor = net.conv(torch.cat([torch.cat([x, pooled], 1)[:, :2], torch.cat([pooled, pooled], 1)], 1)[:, :2])
        return both

    # 2^40 of them, written out.
    measures = measure(Mapping(function), (2, 1 << 19, 1 << 19))
    assert (measures.receptive_field, measures.status) == ((3, 3), Status.EXACT)


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bound_that_holds(name: str) -> None:
    function, reason = BOUNDED[name]
    network = Mapping(function)
    comparison = compare_seen(network, (2, HEIGHT, WIDTH))
    assert comparison.mismatches == ()
    assert comparison.status is Status.BOUND
    assert reason in str(measure(network, (2, HEIGHT, WIDTH)).layers[-1].reason)


def _beside_padding(x: Tensor, net: Mapping) -> Tensor:
    # Of this map, columns hold nothing but padding, whose rows would reach further than those of x.
    shifted = F.pad(x, (WIDTH - 2, 2 - WIDTH))
    out: Tensor = x + net.tall(shifted)
    return out


def test_what_units_see_beside_padding_is_not_said_exactly() -> None:
    network = Mapping(_beside_padding)
    comparison = compare_seen(network, (2, HEIGHT, WIDTH))
    assert comparison.mismatches == ()
    field = measure(network, (2, HEIGHT, WIDTH)).field
    assert (field.status, field.size, field.visible) == (Status.EXACT, (7, WIDTH - 1), (None, None))


def test_the_mean_of_a_map_beside_padding_is_bounded() -> None:
    def function(x: Tensor, net: Mapping) -> Tensor:
        return x * _beside_padding(x, net).mean((2, 3), keepdim=True)

    comparison = compare_seen(Mapping(function), (2, HEIGHT, WIDTH))
    assert comparison.mismatches == ()
    assert comparison.status is Status.BOUND


def test_a_convolution_over_rows_as_channels_of_one_group_sees_all_rows() -> None:
    def function(x: Tensor, _: Mapping) -> Tensor:
        return F.conv2d(x.transpose(1, 2), torch.ones(3, HEIGHT, 1, 3, dtype=x.dtype), padding=(0, 1))

    comparison = compare_seen(Mapping(function), (2, HEIGHT, WIDTH))
    assert comparison.mismatches == ()
    assert comparison.status is Status.WHOLE_IMAGE
