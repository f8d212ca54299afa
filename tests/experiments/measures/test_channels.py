"""Channels that see differently, after concatenation: what a part of them sees is not what all of them do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, cat, nn
from torch.nn import functional as F
from torchvision.models import shufflenet_v2_x0_5

from experiments.benchmarks.comparison import compare_seen
from experiments.measures.layers import field_of
from experiments.measures.network import measure
from experiments.measures.reach import Status
from experiments.measures.trace import Trace


class Concatenating(nn.Module):
    """A network of one function of two channels, with layers for two and four of them."""

    def __init__(self, function: Callable[[Tensor, "Concatenating"], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.small = nn.Conv2d(2, 2, 3, padding=1)
        self.large = nn.Conv2d(2, 2, 5, padding=2)
        self.mixing = nn.Conv2d(4, 4, 3, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.grouped = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.excite = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2, H, W) → (N, C, H', W')."""
        return self.function(x, self)

    def both(self, x: Tensor) -> Tensor:
        """(N, 2, H, W) → (N, 4, H, W): two channels that see themselves, two that see 5 × 5."""
        return cat([x, self.large(x)], 1)


def _reversible(x: Tensor, net: Concatenating) -> Tensor:
    left, right = x, x
    for _ in range(3):
        left = left + net.small(right)
        right = right + net.large(left)
        left, right = cat([left, right], 1).chunk(2, 1)
    return left


def _shuffled(x: Tensor, net: Concatenating) -> Tensor:
    y = net.both(x)
    for _ in range(3):
        kept, changed = y.chunk(2, 1)
        y = cat([kept, net.small(changed)], 1)
        y = y.view(1, 2, 2, *y.shape[2:]).transpose(1, 2).reshape(1, 4, *y.shape[2:])
    return y.chunk(2, 1)[0]


def _excited(x: Tensor, net: Concatenating) -> Tensor:
    y = net.both(x)
    return (y * torch.sigmoid(net.excite(y.mean((2, 3))))[:, :, None, None])[:, :1]


EXACT: dict[str, Callable[[Tensor, Concatenating], Tensor]] = {
    "first half": lambda x, net: net.both(x).chunk(2, 1)[0],
    "second half": lambda x, net: net.both(x).chunk(2, 1)[1],
    "across the seam": lambda x, net: cat([x, net.small(x), net.large(x)], 1)[:, 1:3],
    "every fourth": lambda x, net: cat([x, net.small(x), net.large(x)], 1)[:, 1::4],
    "one, by its index": lambda x, net: torch.stack([x, net.small(x), net.large(x)], 2)[:, :, 1],
    "after normalisation and pooling": lambda x, net: F.max_pool2d(F.relu(net.norm(net.both(x))), 3, 2, 1)[:, :2],
    "after a convolution that mixes all": lambda x, net: net.mixing(net.both(x))[:, :1],
    "after a depthwise convolution": lambda x, net: net.depthwise(net.both(x))[:, :1],
    "after a convolution of two groups": lambda x, net: net.grouped(net.both(x))[:, :4],
    "a channel shuffle": lambda x, net: F.channel_shuffle(net.both(x), 2)[:, 1:2],
    "channels last": lambda x, net: net.both(x).permute(0, 2, 3, 1)[..., :2].permute(0, 3, 1, 2),
    "linear over channels": lambda x, net: net.excite(net.both(x).movedim(1, -1))[..., :1].movedim(-1, 1),
    "sums of pairs": lambda x, net: net.both(x).view(1, 2, 2, *x.shape[2:]).sum(2),
    "a map of one channel added": lambda x, net: (net.both(x) + net.small(x)[:, :1])[:, :1],
    "products": lambda x, net: (net.both(x) * cat([net.small(x), x], 1))[:, :1],
    "gated halves": lambda x, net: net.both(x)[:, :2] * torch.sigmoid(net.both(x)[:, 2:]),
    "concatenated again": lambda x, net: cat([net.both(x)[:, 1:3], net.small(x)], 1)[:, :1],
    "reversible blocks": _reversible,
    "shuffled blocks": _shuffled,
}


@pytest.mark.parametrize("name", EXACT)
def test_a_part_of_the_channels_sees_what_its_gradient_touches(name: str) -> None:
    comparison = compare_seen(Concatenating(EXACT[name]), (2, 12, 10))
    assert comparison.mismatches == ()
    assert comparison.status is Status.EXACT


LESS_CERTAIN: dict[str, tuple[Callable[[Tensor, Concatenating], Tensor], Status]] = {
    "pixel shuffle": (lambda x, net: F.pixel_shuffle(net.both(x), 2), Status.BOUND),
    "pixel unshuffle, then a part": (lambda x, net: F.pixel_unshuffle(net.small(x), 2)[:, :2], Status.BOUND),
    "beside a constant": (lambda x, net: cat([net.large(x), torch.zeros_like(x)], 1)[:, :2], Status.BOUND),
    "gated by halves": (lambda x, net: F.glu(cat([net.both(x), net.both(x)], 1), 1)[:, :1], Status.BOUND),
    "summed up along channels": (lambda x, net: net.both(x).cumsum(1)[:, :1], Status.BOUND),
    "in reverse": (lambda x, net: net.both(x).flip(1)[:, :2], Status.BOUND),
    "normalised by groups": (lambda x, net: F.group_norm(net.both(x), 2)[:, :1], Status.WHOLE_IMAGE),
    "squeezed and excited": (_excited, Status.WHOLE_IMAGE),
}


@pytest.mark.parametrize("name", LESS_CERTAIN)
def test_where_channels_are_not_followed_a_part_is_bounded(name: str) -> None:
    function, status = LESS_CERTAIN[name]
    comparison = compare_seen(Concatenating(function), (2, 12, 10))
    assert comparison.mismatches == ()
    assert comparison.status is status


def test_channels_shuffled_into_pixels_by_hand_change_the_stride() -> None:
    def function(x: Tensor, _: Concatenating) -> Tensor:
        y = cat([x, x], 1).view(1, 1, 2, 2, *x.shape[2:]).permute(0, 1, 4, 2, 5, 3)
        return y.reshape(1, 1, 2 * x.shape[2], 2 * x.shape[3])

    trace = Trace(Concatenating(function), torch.empty(1, 2, 12, 10, device="meta"))
    trace.run()
    assert trace.output is not None
    assert [str(stride) for stride in field_of(trace.output).stride] == ["1/2", "1/2"]


def test_half_of_shufflenets_channels_pass_every_block_and_all_of_it_is_exact() -> None:
    with torch.device("meta"):
        network = shufflenet_v2_x0_5(weights=None)
    measures = measure(network, (3, 224, 224))
    # Found by the gradient of a 927-pixel image, stage by stage.
    sizes = [measures.at(f"stage{number}").receptive_field for number in (2, 3, 4)]
    assert sizes == [(63, 63), (303, 303), (527, 527)]
    assert measures.status is Status.EXACT
