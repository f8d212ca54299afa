"""Units that a gradient says nothing about, or that see nothing beside others that do."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.benchmarks.comparison import compare_seen, output_of
from experiments.benchmarks.oracle import extents, positive_twin
from experiments.benchmarks.random_networks import Apply
from experiments.measures.network import measure
from experiments.measures.reach import Status

SHAPE = (1, 7, 9)


def changed_by(
    network: nn.Module, shape: tuple[int, int, int], factors: Sequence[float] = (-1.7, 3.1)
) -> dict[tuple[int, int], set[tuple[int, int]]]:
    """Return for every unit the pixels that change its value when multiplied by a factor.

    A factor of NaN shows what it is computed from: no identity and no cancellation hides a path.
    """
    image = torch.empty(1, *shape, dtype=torch.float64).uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(0))
    before = network(image)
    pixels: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for pixel in np.ndindex(shape[1:]):
        for factor in factors:
            other = image.clone()
            other[..., pixel[0], pixel[1]] *= factor
            same = (network(other) - before).abs().sum((0, 1)) <= 1e-9
            for unit in same.logical_not().nonzero().tolist():
                pixels.setdefault((unit[0], unit[1]), set()).add((pixel[0], pixel[1]))
    return pixels


def _signs_of_neighbours(x: Tensor) -> Tensor:
    # The norm over a single channel is that channel's own size: what is left is its sign.
    both = torch.cat([F.normalize(x, dim=1), x], 1)
    return both * F.avg_pool2d(F.normalize(x, dim=1), 3, 1, 1)


def test_a_unit_sees_also_what_its_gradient_vanishes_for() -> None:
    network = Apply(_signs_of_neighbours)
    sight = output_of(network, SHAPE).sight
    assert sight is not None
    changed = changed_by(network, SHAPE)
    for unit in np.ndindex(SHAPE[1:]):
        for axis, reach in enumerate(sight.reaches):
            said = tuple(int(ends[unit[axis]]) for ends in reach.seen)
            seen = [pixel[axis] for pixel in changed[unit[0], unit[1]]]
            assert said == (min(seen), max(seen))
    assert measure(network, SHAPE).status is Status.EXACT
    # The gradient is that of rounding alone, where it is not nothing.
    image = torch.rand(1, *SHAPE, dtype=torch.float64).add(0.5).requires_grad_()
    (gradient,) = torch.autograd.grad(F.normalize(image, dim=1).sum(), image)
    assert gradient.abs().max() < 1e-12


def test_a_unit_at_a_repeated_border_may_be_the_only_one_that_sees_anything() -> None:
    # Of what the transposed convolution puts out, every other column is nothing; the convolution reads those, and to
    # the left of the first a copy of it.
    network = nn.Sequential(
        nn.ConvTranspose2d(1, 1, (1, 2), stride=(1, 2), dilation=(1, 2), bias=False),
        nn.Conv2d(1, 1, (3, 2), (1, 2), padding=(1, 1), dilation=(1, 2), padding_mode="replicate"),
    )
    assert compare_seen(network, SHAPE).mismatches == ()
    seen = extents(positive_twin(network), SHAPE)
    widths = seen[:, 1, 1] - seen[:, 1, 0] + 1
    assert sorted(set(widths[widths > 0].tolist())) == [1]
    assert (widths <= 0).any()
    field = measure(network, SHAPE).field
    assert (field.status, field.size, field.shortest_path) == (Status.EXACT, (3, 1), (3, None))
    assert (field.window[1], field.visible[1]) == (None, None)


def test_a_unit_sees_also_what_an_identity_takes_out_again() -> None:
    # The two channels of a pair that is centred are each other's negative: their sum is nothing, whatever the numbers.
    def function(x: Tensor) -> Tensor:
        pair = torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1).permute(0, 2, 3, 1)
        return F.layer_norm(pair, (2,)).sum(-1)[:, None]

    network = Apply(function)
    sight = output_of(network, SHAPE).sight
    assert sight is not None
    reached = changed_by(network, SHAPE, factors=(float("nan"),))
    for unit in np.ndindex(SHAPE[1:]):
        for axis, reach in enumerate(sight.reaches):
            said = tuple(int(ends[unit[axis]]) for ends in reach.seen)
            pixels = [pixel[axis] for pixel in reached[unit[0], unit[1]]]
            assert said == (min(pixels), max(pixels))
    assert measure(network, SHAPE).receptive_field == (3, 3)


def test_a_single_column_of_which_only_padding_is_read_is_bounded() -> None:
    # At columns -1 and 1 of one.
    network = Apply(lambda x: F.max_pool2d(x[..., 4].unsqueeze(-1), (1, 2), padding=(0, 1), dilation=(1, 2)))
    assert network(torch.zeros(1, *SHAPE)).isinf().all()
    field = measure(network, SHAPE).field
    assert (field.status, field.reason) == (Status.BOUND, "network: max_pool2d reads nothing but padding")
    assert field.visible == (None, None)


@pytest.mark.parametrize("order", [1, -1])
def test_columns_around_a_single_one_see_nothing_and_are_bounded(order: int) -> None:
    def function(x: Tensor) -> Tensor:
        x = x if order == 1 else x.transpose(2, 3)
        x = F.conv_transpose2d(
            x[..., 1].unsqueeze(-1), torch.ones(1, 1, 1, 2, dtype=x.dtype), stride=3, output_padding=2
        )
        return x if order == 1 else x.transpose(2, 3)

    network = Apply(function)
    comparison = compare_seen(network, SHAPE)
    assert (comparison.status, comparison.mismatches) == (Status.BOUND, ())
    field = measure(network, SHAPE).field
    assert "see differently" in str(field.reason)
    assert field.visible == (None, None)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.avg_pool2d(x[..., 1].unsqueeze(-1), 3, 1, 1),
        lambda x: F.interpolate(x[..., 1].unsqueeze(-1), size=(SHAPE[1], 4)),
        # Channels of nothing beside others are channels of the same units.
        lambda x: F.pad(x[..., 1].unsqueeze(-1), (0, 0, 0, 0, 1, 2)),
        lambda x: F.pad(F.avg_pool2d(x, 3, 2, 1), (0, 0, 0, 0, 1, 2)),
    ],
)
def test_columns_that_all_see_a_single_one_are_exact(function: Callable[[Tensor], Tensor]) -> None:
    comparison = compare_seen(Apply(function), SHAPE)
    assert (comparison.status, comparison.mismatches) == (Status.EXACT, ())


def test_channels_that_have_become_rows_are_units() -> None:
    def function(x: Tensor) -> Tensor:
        column = x[..., 4].unsqueeze(-1)
        return torch.cat([column, F.avg_pool2d(column, (3, 1), 1, (1, 0))], 1).squeeze(-1)[:, None]

    network = Apply(function)
    comparison = compare_seen(network, SHAPE)
    assert (comparison.status, comparison.mismatches) == (Status.BOUND, ())
    assert measure(network, SHAPE).reason == "rows that run along no axis of the image see differently"


def test_channels_behind_rows_and_columns_are_channels() -> None:
    network = Apply(lambda x: torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1).permute(0, 2, 3, 1))
    field = measure(network, SHAPE).field
    assert (field.status, field.size) == (Status.EXACT, (3, 3))
