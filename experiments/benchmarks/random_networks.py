"""Random convolutional networks: the operators that move, widen and join receptive fields, in random order.

Every draw comes from one seed; the weights are never drawn, as no measure depends on them.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add, iadd, mul
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

T = TypeVar("T")
Pair = tuple[int, int]

CHANNELS = 2
# Images and output maps of the networks that are kept, in pixels a side.
SMALLEST_IMAGE, LARGEST_IMAGE = 28, 48
LARGEST_MAP = 160
ATTEMPTS = 100


class Apply(nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(x)


class Twice(nn.Module):
    """One module that is called twice."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        out: Tensor = self.module(self.module(x))
        return out


class Scaled(nn.Module):
    """A map times what a convolution makes of its mean, as in squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        out: Tensor = x * self.gate(x.mean((2, 3), keepdim=True))
        return out


class Branches(nn.Module):
    """Branches over the same input, cropped to the smallest and joined by `join`, which uses the first `used`."""

    def __init__(
        self, branches: Sequence[nn.Module], join: Callable[[list[Tensor]], Tensor], after: nn.Module, used: int
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join
        self.after = after
        self.used = used

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        outs = [branch(x) for branch in self.branches]
        height, width = min(out.shape[-2] for out in outs), min(out.shape[-1] for out in outs)
        out: Tensor = self.after(self.join([out[..., :height, :width] for out in outs]))
        return out


class Generator:
    """Draws networks `(N, 2, H, W) → (N, 2, H', W')`.

    With `wider`, also of operators whose windows depend on the input's size, or are all of it, and of those that move
    units to other places.
    """

    def __init__(self, seed: int, *, wider: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.wider = wider

    def network(self) -> nn.Module:
        """Draw a network of three to six layers, some of which have branches of their own."""
        makers = [self.conv, self.conv, self.pool, self.transposed, self.resample, self.shift, self.branches]
        if self.wider:
            makers += [self.adaptive, self.aligned, self.wrapped, self.scaled, self.rearranged]
        return nn.Sequential(*(self.one_of(makers)() for _ in range(int(self.rng.integers(3, 7)))))

    def one_of(self, choices: Sequence[T]) -> T:
        """Draw one of several."""
        return choices[int(self.rng.integers(len(choices)))]

    def pair(self, low: int, high: int) -> Pair:
        """Draw two whole numbers from low to high, for y and x."""
        return int(self.rng.integers(low, high + 1)), int(self.rng.integers(low, high + 1))

    def up_to(self, limits: Pair) -> Pair:
        """Draw two whole numbers from 0 to each of the limits."""
        return int(self.rng.integers(0, limits[0] + 1)), int(self.rng.integers(0, limits[1] + 1))

    def conv(self, stride: Pair | None = None) -> nn.Module:
        """Draw a convolution with batch normalisation and an activation function in place."""
        kernel = self.one_of([self.pair(1, 4), self.pair(1, 4), self.pair(1, 4), (1, 7), (7, 1)])
        dilation, stride = self.pair(1, 3), stride or self.pair(1, 2)
        padding = self.up_to(((kernel[0] - 1) * dilation[0], (kernel[1] - 1) * dilation[1]))
        groups = self.one_of([1, 1, CHANNELS])
        conv = nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding, dilation, groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True))

    def same(self) -> nn.Module:
        """Draw a convolution that keeps the size of its map, with borders of several kinds."""
        kernel = self.one_of([(3, 3), (5, 3), (1, 5), (3, 1)])
        padding = (kernel[0] // 2, kernel[1] // 2)
        modes: list[Literal["zeros", "reflect", "replicate"]] = ["zeros", "zeros", "reflect", "replicate"]
        return nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=padding, padding_mode=self.one_of(modes))

    def pool(self) -> nn.Module:
        """Draw a pooling layer."""
        kernel, stride = self.pair(2, 4), self.pair(1, 3)
        padding, ceil_mode = self.up_to((kernel[0] // 2, kernel[1] // 2)), bool(self.rng.integers(2))
        if self.rng.integers(2):
            return nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil_mode)
        return nn.MaxPool2d(kernel, stride, padding, self.pair(1, 2), ceil_mode=ceil_mode)

    def transposed(self) -> nn.Module:
        """Draw a transposed convolution; one in six may leave gaps between its strides."""
        kernel, stride, dilation = self.pair(2, 5), self.pair(1, 2), (1, 1)
        if self.rng.integers(6) == 0:
            kernel, stride, dilation = self.pair(1, 4), self.pair(2, 3), self.pair(1, 2)
        padding, extra = self.up_to((kernel[0] - 1, kernel[1] - 1)), self.up_to((stride[0] - 1, stride[1] - 1))
        return nn.ConvTranspose2d(CHANNELS, CHANNELS, kernel, stride, padding, extra, dilation=dilation, bias=False)

    def resample(self) -> nn.Module:
        """Draw an interpolation or a pixel shuffle."""
        widen = nn.Conv2d(CHANNELS, 4 * CHANNELS, 1, bias=False)
        narrow = nn.Conv2d(4 * CHANNELS, CHANNELS, 1, bias=False)
        even = Apply(lambda x: x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2])
        return self.one_of(
            [
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Upsample(scale_factor=2, mode="bilinear"),
                nn.Upsample(scale_factor=1.5, mode="bilinear"),
                nn.Upsample(scale_factor=0.5, mode="bilinear"),
                nn.Upsample(scale_factor=2, mode="bicubic"),
                nn.Sequential(widen, nn.PixelShuffle(2)),
                nn.Sequential(even, nn.PixelUnshuffle(2), narrow),
            ]
        )

    def shift(self) -> nn.Module:
        """Draw a padding, a crop or a module that is called twice."""
        start, step = int(self.rng.integers(0, 3)), int(self.rng.integers(1, 3))
        before = self.pair(-1, 2)
        return self.one_of(
            [
                nn.ZeroPad2d((before[0], 1, before[1], -1)),
                nn.ReflectionPad2d((1, 2, 0, 1)),
                nn.ReplicationPad2d((2, 0, 1, 1)),
                Apply(lambda x: x[:, :, start::step, start::step]),
                Twice(self.same()),
            ]
        )

    def adaptive(self) -> nn.Module:
        """Draw pooling to a fixed size."""
        bins = self.pair(3, 9)
        return self.one_of([nn.AdaptiveAvgPool2d(bins), nn.AdaptiveMaxPool2d(bins)])

    def aligned(self) -> nn.Module:
        """Draw an interpolation between corners."""
        mode = self.one_of(["bilinear", "bicubic"])
        if self.rng.integers(2):
            return nn.Upsample(scale_factor=2, mode=mode, align_corners=True)
        return nn.Upsample(size=self.pair(9, 20), mode=mode, align_corners=True)

    def wrapped(self) -> nn.Module:
        """Draw a convolution over a map whose borders meet."""
        return nn.Conv2d(CHANNELS, CHANNELS, 3, self.pair(1, 2), padding=1, padding_mode="circular")

    def rearranged(self) -> nn.Module:
        """Draw an operator after which units stand in other places, or channels see differently."""
        dim, by = self.one_of([2, 3]), int(self.rng.integers(1, 4))
        return self.one_of(
            [
                Apply(lambda x: x.flip(dim)),
                Apply(lambda x: x.roll((by, -1), (dim, 5 - dim))),
                Apply(lambda x: x.transpose(2, 3)),
                Apply(lambda x: x.repeat_interleave(by, dim)),
                Apply(lambda x: torch.cat([functional.avg_pool2d(x[:, :1], 3, 1, 1), x[:, 1:]], 1)),
                Apply(lambda x: torch.stack([x, 2 * x.flip(dim)], 2).sum(2)),
            ]
        )

    def scaled(self) -> nn.Module:
        """Draw a convolution of a map that is scaled by its mean."""
        return nn.Sequential(Scaled(), self.same())

    def branches(self, stride: Pair | None = None) -> nn.Module:
        """Draw branches of one stride, joined in one of several ways; within a branch there may be more of them."""
        inside, stride = stride is not None, stride or self.pair(1, 2)
        many: list[nn.Module] = [self.conv(stride) for _ in range(int(self.rng.integers(1, 3)))]
        nested = not inside and self.rng.integers(2)
        many.append(self.branches(stride) if nested else nn.Sequential(self.conv(stride), self.conv((1, 1))))
        if stride == (1, 1):
            many.append(nn.Identity())
        project = nn.Conv2d(len(many) * CHANNELS, CHANNELS, 1, bias=False)
        count, plain = len(many), nn.Identity()
        joins: list[tuple[Callable[[list[Tensor]], Tensor], nn.Module, int]] = [
            (lambda outs: reduce(add, outs), plain, count),
            (lambda outs: reduce(mul, outs), plain, count),
            (lambda outs: reduce(iadd, outs[1:], outs[0].clone()), plain, count),
            (lambda outs: torch.cat(outs, 1), project, count),
            # Some channels of one branch, some of the next.
            (lambda outs: torch.cat(outs, 1)[:, 1 : 1 + CHANNELS], plain, 2),
        ]
        return Branches(many, *self.one_of(joins))


def drawn(seed: int, *, wider: bool = False) -> tuple[nn.Module, tuple[int, int, int]]:
    """Return a random network without weights, and an image size `(C, H, W)` that it takes.

    Raises:
        ValueError: no such network was found in a hundred attempts.
    """
    for attempt in range(ATTEMPTS):
        generator = Generator(seed * ATTEMPTS + attempt, wider=wider)
        height, width = generator.pair(SMALLEST_IMAGE, LARGEST_IMAGE)
        with torch.device("meta"):
            network = generator.network().eval()
            try:
                out = network(torch.empty(1, CHANNELS, height, width))
            except RuntimeError:
                continue
        if min(out.shape[-2:]) > 1 and max(out.shape[-2:]) <= LARGEST_MAP:
            return network, (CHANNELS, height, width)
    raise ValueError(f"seed={seed}: no network takes its image")


def routes(network: nn.Module) -> list[nn.Module]:
    """Return the networks without branches that are in a random network, one for every way through it."""
    if isinstance(network, Branches):
        return [route for branch in network.branches[: network.used] for route in routes(branch)]
    if isinstance(network, nn.Sequential):
        ways: list[list[nn.Module]] = [[]]
        for module in network:
            ways = [[*way, route] for way in ways for route in routes(module)]
        return [nn.Sequential(*way) for way in ways]
    return [network]
