"""Which input positions one output position reads, along one axis, for every kind of spatial operator.

Positions are unit indices of a feature map that goes on without end in both directions: `reads` knows no borders, as
the theoretical receptive field does not. `reads_inside` is the same at the true size, where zero padding shows
nothing and mirrored or clamped borders show other positions.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

# Stands in an array of read positions for "reads nothing".
HOLE = int(np.iinfo(np.int64).min)


class Sampling(ABC):
    """A rule from output positions to the input positions that they read."""

    @property
    @abstractmethod
    def period(self) -> tuple[int, int]:
        """`(up, down)`: the output `up` positions further reads the same, `down` input positions further."""

    @abstractmethod
    def reads(self, units: IntArray) -> IntArray:
        """Return the input positions `(len(units), k)` that the output positions `units` read."""

    def reads_inside(self, units: IntArray, size: int) -> IntArray:
        """Return what `units` read of `size` input positions: zeros beyond the borders show nothing."""
        reads = self.reads(units)
        return np.where((reads >= 0) & (reads < size), reads, HOLE)


@dataclass(frozen=True)
class Strided(Sampling):
    """Output i reads `start + i * stride + t * step`, t < taps: convolution, pooling, slice, crop, flip."""

    start: int = 0
    stride: int = 1
    taps: int = 1
    step: int = 1

    @property
    def period(self) -> tuple[int, int]:
        """See `Sampling.period`."""
        return 1, self.stride

    def reads(self, units: IntArray) -> IntArray:
        """See `Sampling.reads`."""
        return self.start + units[:, None] * self.stride + np.arange(self.taps) * self.step


@dataclass(frozen=True)
class Extended(Sampling):
    """Output i reads `i - before`; beyond the border it shows mirrored, repeated or wrapped positions."""

    before: int
    mode: Literal["reflect", "replicate", "circular"]

    @property
    def period(self) -> tuple[int, int]:
        """See `Sampling.period`."""
        return 1, 1

    def reads(self, units: IntArray) -> IntArray:
        """See `Sampling.reads`."""
        return units[:, None] - self.before

    def reads_inside(self, units: IntArray, size: int) -> IntArray:
        """See `Sampling.reads_inside`."""
        reads = self.reads(units)
        if self.mode == "circular":
            return reads % size
        if self.mode == "reflect":
            reads = (size - 1) - np.abs((size - 1) - np.abs(reads))
        return np.clip(reads, 0, size - 1)


@dataclass(frozen=True)
class Transposed(Sampling):
    """Output i reads the inputs j with `j * stride - padding + t * dilation == i` for some t < kernel."""

    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def period(self) -> tuple[int, int]:
        """See `Sampling.period`."""
        return self.stride, 1

    def reads(self, units: IntArray) -> IntArray:
        """See `Sampling.reads`."""
        positions = units[:, None] + self.padding - np.arange(self.kernel) * self.dilation
        return np.where(positions % self.stride == 0, positions // self.stride, HOLE)


@dataclass(frozen=True)
class Adaptive(Sampling):
    """Adaptive pooling of `size` positions to `bins`: bin i reads from floor(i·size/bins) to ceil((i+1)·size/bins)."""

    size: int
    bins: int

    @property
    def period(self) -> tuple[int, int]:
        """See `Sampling.period`."""
        return self.bins, self.size

    def reads(self, units: IntArray) -> IntArray:
        """See `Sampling.reads`."""
        first = units * self.size // self.bins
        last = -(-(units + 1) * self.size // self.bins) - 1
        taps = -(-self.size // self.bins) + 1
        reads: IntArray = np.minimum(first[:, None] + np.arange(taps), last[:, None])
        return reads


@dataclass(frozen=True)
class Resampled(Sampling):
    """Interpolation: output i lies at input position `(i + centre) * step - centre`, centre 1/2 or (corners) 0.

    `nearest` takes the floor of it, without the last `- centre`; pixel shuffle is the nearest of step 1 / factor. A
    neighbour whose weight is zero, because the position falls on a unit exactly, is not read.

    `rounded`: the nearest position is found in single precision, as torch does: where it falls between two units,
    rounding decides.
    """

    step: Fraction
    mode: Literal["nearest", "linear", "cubic"]
    half_pixel: bool
    rounded: bool = False

    @property
    def period(self) -> tuple[int, int]:
        """See `Sampling.period`."""
        return self.step.denominator, self.step.numerator

    def reads(self, units: IntArray) -> IntArray:
        """See `Sampling.reads`."""
        numerator, denominator = self.step.numerator, self.step.denominator
        if not self.half_pixel:
            position = units * numerator
        elif self.mode == "nearest":
            position, denominator = (2 * units + 1) * numerator, 2 * denominator
        else:
            position, denominator = (2 * units + 1) * numerator - denominator, 2 * denominator
        whole, rest = np.divmod(position, denominator)
        if self.mode == "nearest":
            return whole[:, None]
        neighbours = np.array([0, 1]) if self.mode == "linear" else np.array([-1, 0, 1, 2])
        return np.where((rest > 0)[:, None], whole[:, None] + neighbours, whole[:, None])

    def reads_inside(self, units: IntArray, size: int) -> IntArray:
        """See `Sampling.reads_inside`."""
        if not self.rounded:
            return np.clip(self.reads(units), 0, size - 1)
        step = np.float32(float(self.step))
        positions = (units + 0.5) * np.float64(step) if self.half_pixel else units.astype(np.float32) * step
        return np.minimum(np.floor(positions.astype(np.float32)).astype(np.int64), size - 1)[:, None]
