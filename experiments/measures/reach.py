"""How far the units of a feature map see along one axis of the input: windows of input pixels, exact for every unit.

A window is not a triple of size, stride and padding: it holds the first and the last input pixel of every unit of one
period, which stays exact where those differ from unit to unit (transposed convolution, interpolation, adaptive
pooling) or are even unevenly spaced. Padding pixels count, as in Araujo, Norris & Sim, "Computing Receptive Fields of
Convolutional Neural Networks", Distill 2019: the window of a unit far from every border.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce
from math import gcd, lcm

import numpy as np

from experiments.measures.sampling import HOLE, IntArray, Sampling

_EMPTY_FIRST = 1 << 60
_EMPTY_LAST = -(1 << 60)
# A period this long comes from interpolating several times between sizes without common factors.
_LONGEST_PERIOD = 1 << 14
# So many paths of which each may turn out to be the shortest come from interpolating by as large a factor in all of as
# many branches, each of which begins at another unit.
_MOST_PATHS = 64


class Status(StrEnum):
    """How a receptive field is known."""

    EXACT = "exact"
    WHOLE_IMAGE = "whole image"
    BOUND = "bound"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, eq=False)
class Window:
    """The first and last input pixel of the units 0 … q - 1; q units further, both lie `shift` pixels further.

    A unit that reads nothing has its first after its last pixel.
    """

    first: IntArray
    last: IntArray
    shift: int

    @property
    def sizes(self) -> IntArray:
        """Pixels from the first to the last, both included, of every unit of a period."""
        sizes: IntArray = np.maximum(self.last - self.first + 1, 0)
        return sizes

    def at(self, units: IntArray) -> tuple[IntArray, IntArray]:
        """Return the first and the last pixel of any `units`."""
        turns, phases = np.divmod(units, len(self.first))
        return self.first[phases] + turns * self.shift, self.last[phases] + turns * self.shift

    def constant(self, units: IntArray) -> "Window":
        """Return the one window that covers those of `units`."""
        first, last = self.at(units)
        return Window(first.min(keepdims=True), last.max(keepdims=True), 0)

    def through(self, sampling: Sampling) -> "Window | None":
        """Return the windows of an operator's outputs; None where their period is too long to hold."""
        if self.shift == 0 and len(self.first) == 1:
            return self
        up, down = sampling.period
        period = up * (len(self.first) // gcd(len(self.first), down))
        if period > _LONGEST_PERIOD:
            return None
        reads = sampling.reads(np.arange(period))
        first, last = _cover(*self.at(np.where(reads == HOLE, 0, reads)), reads)
        return Window(first, last, period // up * down // len(self.first) * self.shift)

    def keeps_pace_with(self, other: "Window") -> bool:
        """Tell whether both move equally fast over the input."""
        return self.shift * len(other.first) == other.shift * len(self.first)

    def centred_on(self, other: "Window") -> bool:
        """Tell whether the windows of every unit have the same centre in both; one that reads nothing has none."""
        period = lcm(len(self.first), len(other.first))
        if not self.keeps_pace_with(other) or period > _LONGEST_PERIOD:
            return False
        (first, last), (other_first, other_last) = self.over(period), other.over(period)
        read = (last >= first) & (other_last >= other_first)
        return bool((first + last == other_first + other_last)[read].all())

    def united(self, other: "Window") -> "Window | None":
        """Return windows that cover both; None where the two drift apart or their period is too long to hold."""
        period = lcm(len(self.first), len(other.first))
        if not self.keeps_pace_with(other) or period > _LONGEST_PERIOD:
            return None
        (first, last), (other_first, other_last) = self.over(period), other.over(period)
        return Window(np.minimum(first, other_first), np.maximum(last, other_last), self._shift_over(period))

    def never_wider_than(self, other: "Window") -> bool:
        """Tell whether whatever reads units of this sees no more pixels than if it read the same ones of the other.

        It does where this, moved as a whole, lies inside the other, and sees nothing exactly where the other does.
        """
        period = lcm(len(self.first), len(other.first))
        if not self.keeps_pace_with(other) or period > _LONGEST_PERIOD:
            return False
        (first, last), (other_first, other_last) = self.over(period), other.over(period)
        seeing = first <= last
        if not np.array_equal(seeing, other_first <= other_last):
            return False
        if not seeing.any():
            return True
        return bool((other_first - first)[seeing].max() <= (other_last - last)[seeing].min())

    def same(self, other: "Window") -> bool:
        """Tell whether both are the same windows."""
        return self is other or (
            self.shift == other.shift
            and np.array_equal(self.first, other.first)
            and np.array_equal(self.last, other.last)
        )

    def over(self, period: int) -> tuple[IntArray, IntArray]:
        """Return the first and the last pixel of the units 0 … period - 1."""
        return (self.first, self.last) if len(self.first) == period else self.at(np.arange(period))

    def _shift_over(self, period: int) -> int:
        return self.shift * (period // len(self.first))


@dataclass(frozen=True, eq=False)
class Reach:
    """What the units of one tensor see along one axis of the input.

    `units` is their number along that axis, or None where no dimension of the tensor runs along it, so that all of
    them see the same. `widest` are the windows over all paths through the network, without borders; None where they
    depend on the size of the input (`status` says why). `shortest` are those of the path that widens them least, or of
    several where it depends on the unit and on what follows which that is; paths through an operator that puts the
    units of an axis together have no window of their own and are left out, so that there may be none; nor are there
    any where `untold` says in words why it is no longer told which may be the shortest. `seen` are the true first and
    last pixel at this input size, inside the image; without `seen_exactly`, units may see less than that. `aligned`
    tells whether the windows of all paths have the same centres (Araujo et al. 2019, "Alignment issues").
    """

    units: int | None
    widest: Window | None
    shortest: tuple[Window, ...]
    seen: tuple[IntArray, IntArray]
    status: Status = Status.EXACT
    reason: str | None = None
    aligned: bool = True
    seen_exactly: bool = True
    untold: str | None = None

    @classmethod
    def of_input(cls, size: int) -> "Reach":
        """Return what the pixels of an axis of `size` pixels see: each itself."""
        pixels = np.arange(size)
        window = Window(np.zeros(1, np.int64), np.zeros(1, np.int64), 1)
        return cls(size, window, (window,), (pixels, pixels))

    def through(self, sampling: Sampling, units: int, op: str) -> "Reach":
        """Return what the `units` outputs of a spatial operator called `op` see."""
        if self.units is None:
            return self
        reads = sampling.reads_inside(np.arange(units), self.units)
        inside = np.where(reads == HOLE, 0, reads)
        seen = _cover(self.seen[0][inside], self.seen[1][inside], reads)
        widest = self.widest.through(sampling) if self.widest else None
        shortest = tuple(further for path in self.shortest if (further := path.through(sampling)))
        untold = self.untold
        if len(shortest) < len(self.shortest):
            shortest, untold = (), f"{op}: a path resampled by a ratio too uneven to follow"
        status, reason = self.status, self.reason
        if self.widest is not None and widest is None:
            status, reason = Status.BOUND, f"{op}: resampled by a ratio too uneven to follow"
        return Reach(units, widest, shortest, seen, status, reason, self.aligned, self.seen_exactly, untold)

    def at(self, unit: int) -> "Reach":
        """Return what the one unit at that index sees."""
        if self.units is None:
            return self
        index = np.array([unit % self.units])
        widest = self.widest.constant(index) if self.widest else None
        seen = (self.seen[0][index], self.seen[1][index])
        shortest = tuple(path.constant(index) for path in self.shortest)
        return replace(self, units=None, widest=widest, shortest=shortest, seen=seen)

    def mixed(self, status: Status, reason: str) -> "Reach":
        """Return what every unit sees once it has met all others along the axis; their number stays.

        The path on which each meets itself, as in a normalisation, widens it no further.
        """
        if self.units is None:
            return self
        first, last = (self.seen[0].min(), self.seen[1].max())
        seen = (np.full(self.units, first), np.full(self.units, last))
        if self.status is not Status.EXACT:
            status, reason = self.status, self.reason or reason
        elif not self.seen_exactly:
            status = Status.BOUND
        return replace(self, widest=None, seen=seen, status=status, reason=reason)

    def collapsed(self, status: Status, reason: str) -> "Reach":
        """Return what something sees that has met all units along the axis, and runs along it no more."""
        return self if self.units is None else replace(self.mixed(status, reason).at(0), shortest=(), untold=None)

    def shuffled(self, status: Status, reason: str) -> "Reach":
        """Return what every unit sees that may be any of those along the axis; their number stays."""
        return self if self.units is None else replace(self.mixed(status, reason), shortest=(), untold=None)

    def united(self, other: "Reach", op: str) -> "Reach":
        """Return what the units of `op` see that read one unit of this and one of the other tensor."""
        if self is other:
            return self
        units = self.units if self.units is not None else other.units
        seen = (np.minimum(self.seen[0], other.seen[0]), np.maximum(self.seen[1], other.seen[1]))
        untold = self.untold or other.untold
        shortest = () if untold else _shortest_of(self.shortest, other.shortest)
        if len(shortest) > _MOST_PATHS:
            shortest, untold = (), f"{op}: more than {_MOST_PATHS} paths, of which each may be the shortest"
        widest = self.widest.united(other.widest) if self.widest and other.widest else None
        status, reason = _worse(self, other)
        if widest is None and status is Status.EXACT:
            one_to_all = (self.units is None) != (other.units is None)
            what = "joins one position with all" if one_to_all else "joins maps of different strides"
            status, reason = Status.BOUND, f"{op}: {what}"
        aligned = self.aligned and other.aligned
        if self.widest and other.widest:
            aligned = aligned and self.widest.centred_on(other.widest)
        exactly = self.seen_exactly and other.seen_exactly
        return Reach(units, widest, shortest, seen, status, reason, aligned, exactly, untold)

    def bounded(self, reason: str) -> "Reach":
        """Return the same windows as what units see at most."""
        return replace(self, status=Status.BOUND, reason=reason) if self.status is Status.EXACT else self

    def same(self, other: "Reach") -> bool:
        """Tell whether the same is known of the units of both."""
        return self is other or (
            (self.status, self.units, self.seen_exactly, self.untold)
            == (other.status, other.units, other.seen_exactly, other.untold)
            and self.sees_as(other)
            and len(self.shortest) == len(other.shortest)
            and all(map(Window.same, self.shortest, other.shortest))
            and (self.widest is other.widest or bool(self.widest and other.widest and self.widest.same(other.widest)))
        )

    def sees_as(self, other: "Reach") -> bool:
        """Tell whether the units of both see the same at this input size."""
        return self is other or all(map(np.array_equal, self.seen, other.seen))

    @property
    def has_gaps_inside(self) -> bool:
        """Whether some of the units see nothing at this input size."""
        return bool((self.seen[0] > self.seen[1]).any())

    @property
    def has_gaps(self) -> bool:
        """Whether some of the units, far from every border, see nothing."""
        return self.widest is not None and not self.widest.sizes.all()


def _worse(one: Reach, other: Reach) -> tuple[Status, str | None]:
    """Return the status, with its reason, of what is seen through either."""
    for status in (Status.BOUND, Status.WHOLE_IMAGE):
        for reach in (one, other):
            if reach.status is status:
                return status, reach.reason
    return Status.EXACT, one.reason or other.reason


def united(reaches: list[Reach], op: str) -> Reach:
    """Return what the units of `op` see that read one unit of each of the tensors."""
    return reduce(lambda one, other: one.united(other, op), reaches)


def _cover(first: IntArray, last: IntArray, reads: IntArray) -> tuple[IntArray, IntArray]:
    """Return the extent of the windows that each output reads: arrays `(outputs, k)` to arrays `(outputs,)`."""
    hole = reads == HOLE
    return np.where(hole, _EMPTY_FIRST, first).min(axis=1), np.where(hole, _EMPTY_LAST, last).max(axis=1)


def _shortest_of(some: Sequence[Window], more: Sequence[Window]) -> tuple[Window, ...]:
    """Return the paths of either that may turn out to be the shortest, the narrowest first.

    These are none that is never narrower than another. The paths of one tensor are compared with each other only where
    there are many: a few too many cost less than that.
    """
    more = [path for path in more if not any(other.never_wider_than(path) for other in some)]
    some = [path for path in some if not any(other.never_wider_than(path) for other in more)]
    ordered = sorted((*some, *more), key=_typical_size) if len(some) + len(more) > 1 else [*some, *more]
    if len(ordered) <= _MOST_PATHS:
        return tuple(ordered)
    kept: list[Window] = []
    for path in ordered:
        if not any(other.never_wider_than(path) for other in kept):
            kept.append(path)
    return tuple(kept)


def _typical_size(window: Window) -> float:
    sizes = window.sizes
    return float(sizes[sizes > 0].mean()) if (sizes > 0).any() else float("inf")
