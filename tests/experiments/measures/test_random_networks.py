"""Receptive fields of random networks against what the gradient of one output unit touches.

The oracle runs the same layers with positive weights, sums for maxima and no activation functions in float64: no path
can cancel or hide another, so the gradient is non-zero exactly where a pixel can reach the unit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.measures.reach import Status
from experiments.measures.sight import Sight
from experiments.measures.trace import Trace

Pair = tuple[int, int]

NETWORKS = 50
UNITS_COMPARED = 6
MARGIN = 240  # pixels of an image beyond the largest window, so that no map on the way ends nearby


@dataclass(frozen=True)
class Shared:
    """What both builds of a network have in common."""

    seed: int
    channels: int
    oracle: bool


class SumPool(nn.Module):
    """Pooling whose gradient reaches every position of the window: what max pooling could read."""

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, *, ceil_mode: bool) -> None:
        super().__init__()
        self.like = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
        self.geometry = kernel, stride, padding, dilation

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        height, width = self.like(x.detach()).shape[-2:]
        (ky, kx), (sy, sx), (py, px), (dy, dx) = self.geometry
        x = F.pad(x, (px, ky * dy + kx * dx + sx, py, ky * dy + kx * dx + sy))
        total = torch.zeros(())
        for i in range(ky):
            for j in range(kx):
                rows = x[:, :, i * dy : i * dy + (height - 1) * sy + 1 : sy]
                total = total + rows[:, :, :, j * dx : j * dx + (width - 1) * sx + 1 : sx]
        return total


class Wrapped(nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(x)


class Branches(nn.Module):
    """Branches over the same input, joined by addition or concatenation, cropped to the smallest at the end."""

    def __init__(self, branches: list[nn.Module], *, cat: bool, project: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.cat = cat
        self.project = project

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H', W')."""
        outs = [branch(x) for branch in self.branches]
        height, width = min(out.shape[-2] for out in outs), min(out.shape[-1] for out in outs)
        outs = [out[..., :height, :width] for out in outs]
        if self.cat:
            joined: Tensor = self.project(torch.cat(outs, 1))
            return joined
        total: Tensor = reduce(add, outs)
        return total


class Generator:
    """Draws the layers of one network; two generators of one seed draw the same."""

    def __init__(self, shared: Shared) -> None:
        self.rng = np.random.default_rng(shared.seed)
        self.oracle = shared.oracle
        self.channels = shared.channels

    def pair(self, low: int, high: int) -> Pair:
        """Draw two whole numbers from low to high, for y and x."""
        return int(self.rng.integers(low, high + 1)), int(self.rng.integers(low, high + 1))

    def positive(self, layer: nn.Module) -> nn.Module:
        """Make the weights of an oracle's layer positive."""
        for parameter in layer.parameters() if self.oracle else ():
            nn.init.constant_(parameter, 1.0)
        return layer

    def conv(self, stride: Pair | None = None, inputs: int = 1) -> nn.Module:
        """Draw a convolution."""
        kernel, dilation = self.pair(1, 4), self.pair(1, 3)
        stride = stride or self.pair(1, 2)
        reach = [(taps - 1) * step for taps, step in zip(kernel, dilation, strict=True)]
        padding = (int(self.rng.integers(0, reach[0] + 1)), int(self.rng.integers(0, reach[1] + 1)))
        layer = nn.Conv2d(
            inputs * self.channels, self.channels, kernel, stride=stride, padding=padding, dilation=dilation, bias=False
        )
        if self.oracle:
            return self.positive(layer)
        return nn.Sequential(layer, nn.BatchNorm2d(self.channels), nn.ReLU(inplace=True))

    def pool(self) -> nn.Module:
        """Draw a pooling layer."""
        kernel = self.pair(2, 4)
        stride, ceil = self.pair(1, 3), bool(self.rng.integers(2))
        padding = (int(self.rng.integers(0, kernel[0] // 2 + 1)), int(self.rng.integers(0, kernel[1] // 2 + 1)))
        if self.rng.integers(2):
            return nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil)
        make = SumPool if self.oracle else nn.MaxPool2d
        return make(kernel, stride, padding, self.pair(1, 2), ceil_mode=ceil)

    def transposed(self) -> nn.Module:
        """Draw a transposed convolution; one in six may leave gaps between its strides."""
        kernel, stride, dilation = self.pair(2, 5), self.pair(1, 2), (1, 1)
        if self.rng.integers(6) == 0:
            kernel, stride, dilation = self.pair(1, 4), self.pair(2, 3), self.pair(1, 2)
        padding = (int(self.rng.integers(0, kernel[0])), int(self.rng.integers(0, kernel[1])))
        extra = (int(self.rng.integers(0, stride[0])), int(self.rng.integers(0, stride[1])))
        layer = nn.ConvTranspose2d(
            self.channels, self.channels, kernel, stride, padding, extra, bias=False, dilation=dilation
        )
        return self.positive(layer)

    def resample(self) -> nn.Module:
        """Draw an interpolation, a pixel shuffle, a padding or a crop."""
        widen = self.positive(nn.Conv2d(self.channels, 4 * self.channels, 1, bias=False))
        start, step = int(self.rng.integers(0, 3)), int(self.rng.integers(1, 3))
        before = int(self.rng.integers(-1, 3)), int(self.rng.integers(-1, 3))
        choices: list[nn.Module] = [
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Upsample(scale_factor=1.5, mode="bilinear"),
            nn.Sequential(widen, nn.PixelShuffle(2)),
            nn.ZeroPad2d((before[0], 1, before[1], -1)),
            nn.ReflectionPad2d((1, 2, 0, 1)),
            nn.ReplicationPad2d((2, 0, 1, 1)),
            Wrapped(lambda x: x[:, :, start::step, start::step]),
        ]
        return choices[int(self.rng.integers(len(choices)))]

    def branches(self) -> nn.Module:
        """Draw branches of one stride."""
        stride = self.pair(1, 2)
        many = [self.conv(stride) for _ in range(int(self.rng.integers(1, 3)))]
        many.append(nn.Sequential(self.conv(stride), self.conv((1, 1))))
        if stride == (1, 1):
            many.append(nn.Identity())
        cat = bool(self.rng.integers(2))
        project = self.positive(nn.Conv2d(len(many) * self.channels, self.channels, 1, bias=False))
        return Branches(many, cat=cat, project=project)

    def network(self) -> nn.Module:
        """Draw a network of three to six such layers."""
        makers = [self.conv, self.conv, self.pool, self.transposed, self.resample, self.branches]
        return nn.Sequential(*(makers[int(self.rng.integers(len(makers)))]() for _ in range(self.rng.integers(3, 7))))


def touched(network: nn.Module, image: Tensor, unit: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns `(…,)` of an image that reach one unit of the output."""
    image = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(image)[0, :, unit[0], unit[1]].sum(), image)
    rows, columns = gradient[0, 0].nonzero(as_tuple=True)
    return rows.numpy(), columns.numpy()


@dataclass(frozen=True)
class Analysis:
    """What the output's units see; `gaps` and `gaps_inside`: whether some units before a join see nothing.

    A unit that sees nothing along one axis (between the strides of a transposed convolution, or in zero padding) adds
    nothing along the other; after a join, the windows, which are kept one axis at a time, are then only bounds.
    """

    sight: Sight
    gaps: bool
    gaps_inside: bool


def analysed(network: nn.Module, size: Pair) -> Analysis:
    """Analyse a network for images of that many pixels."""
    trace = Trace(network, torch.empty(1, 2, *size, device="meta"))
    trace.run()
    assert trace.output is not None
    assert trace.output.sight is not None, trace.output.lost
    reaches = [reach for step in trace.steps if step.known.sight for reach in step.known.sight.reaches]
    joins = any(isinstance(module, Branches) for module in network.modules())
    gaps = joins and any(reach.has_gaps for reach in reaches)
    return Analysis(trace.output.sight, gaps, gaps or (joins and any((r.seen[0] > r.seen[1]).any() for r in reaches)))


def drawn(seed: int) -> tuple[nn.Module, nn.Module, tuple[int, int]]:
    """Return a random network, its oracle and an image size that both take."""
    for attempt in range(100):
        key = seed * 100 + attempt
        with torch.device("meta"):
            network = Generator(Shared(key, 2, oracle=False)).network()
        oracle = Generator(Shared(key, 1, oracle=True)).network().double()
        height, width = (int(size) for size in np.random.default_rng(key).integers(28, 48, 2))
        try:
            out = oracle(torch.zeros(1, 1, height, width, dtype=torch.float64))
        except RuntimeError:
            continue
        if min(out.shape[-2:]) > 1 and max(out.shape[-2:]) <= 160:
            return network, oracle, (height, width)
    raise AssertionError("no network could be drawn")


def compare(windows: list[tuple[int, int]], pixels: tuple[np.ndarray, np.ndarray], *, bound: bool) -> None:
    """Check the first and last rows and columns of a unit's window against those that its gradient touches."""
    empty = any(first > last for first, last in windows)
    if not bound:
        assert empty == (len(pixels[0]) == 0)
    for (first, last), touched_pixels in zip(windows, pixels, strict=True):
        if len(touched_pixels) and bound:
            assert first <= touched_pixels.min()
            assert last >= touched_pixels.max()
        elif len(touched_pixels):
            assert (first, last) == (touched_pixels.min(), touched_pixels.max())


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_every_unit_sees_what_its_gradient_touches(seed: int) -> None:
    network, oracle, size = drawn(seed)
    analysis = analysed(network, size)
    image = torch.ones(1, 1, *size, dtype=torch.float64)
    height, width = oracle(image).shape[-2:]
    chosen = np.random.default_rng(seed).integers(0, [height, width], (UNITS_COMPARED, 2)).tolist()
    for unit in [(0, 0), (height - 1, width - 1), *map(tuple, chosen)]:
        seen = [reach.seen for reach in analysis.sight.reaches]
        windows = [(int(first[index]), int(last[index])) for (first, last), index in zip(seen, unit, strict=True)]
        compare(windows, touched(oracle, image, unit), bound=analysis.gaps_inside)


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_theoretical_windows_are_those_of_units_far_from_every_border(seed: int) -> None:
    network, oracle, size = drawn(seed)
    analysis = analysed(network, size)
    windows = [reach.widest for reach in analysis.sight.reaches if reach.widest]
    large = MARGIN + max(int(window.sizes.max()) for window in windows)
    image = torch.ones(1, 1, large, large, dtype=torch.float64)
    columns = []
    for reach, units in zip(analysis.sight.reaches, oracle(image).shape[-2:], strict=True):
        assert reach.widest is not None
        assert reach.status is Status.EXACT or (analysis.gaps and reach.status is Status.BOUND)
        firsts, lasts = reach.widest.at(np.arange(units))
        inside = np.flatnonzero((firsts >= 0) & (lasts < large) | (firsts > lasts))
        central = int(np.abs(firsts + lasts - large)[inside].argmin())
        columns.append(
            [
                (unit, (int(firsts[unit]), int(lasts[unit])))
                for unit in inside[max(central - UNITS_COMPARED // 2, 0) :][:UNITS_COMPARED]
            ]
        )
    for (row, rows), (column, cols) in zip(*columns, strict=False):
        compare([rows, cols], touched(oracle, image, (int(row), int(column))), bound=analysis.gaps)
