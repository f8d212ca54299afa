"""What the units of a tensor see: which of its dimensions run along the image, and how far each unit reaches there."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import NamedTuple

import numpy as np

from experiments.measures.channels import UNKNOWN, Channels, Reaches, element_by_element
from experiments.measures.reach import Reach, Status, united
from experiments.measures.sampling import HOLE, Resampled, Sampling

# The image's axes as they are numbered here; a part of a dimension that runs along neither is plain.
AXES = ("y", "x")
PLAIN = -1
_MAP_RANK = 4  # (N, C, H, W)


class Part(NamedTuple):
    """A factor of a dimension: `size` positions along an axis of the image, or plain ones (channels)."""

    size: int
    axis: int = PLAIN


Dimension = tuple[Part, ...]


def plain(size: int) -> Dimension:
    """Return a dimension of `size` positions that does not run along the image."""
    return (Part(size),) if size != 1 else ()


def size_of(dimension: Dimension) -> int:
    """Return the number of positions of a dimension."""
    return prod(part.size for part in dimension)


def axes_of(dimensions: Sequence[Dimension]) -> set[int]:
    """Return the image axes that any of `dimensions` runs along."""
    return {part.axis for dimension in dimensions for part in dimension} - {PLAIN}


def plain_sizes(dimensions: Sequence[Dimension]) -> list[int]:
    """Return for every dimension the number of its positions that do not run along the image."""
    return [prod(part.size for part in dimension if part.axis == PLAIN) for dimension in dimensions]


class LostError(Exception):
    """An operator whose effect on the receptive field is not understood; the text, if any, goes on after its name."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What the units of one tensor see of the image.

    `dims` factors every dimension of the tensor, so that flattening and unflattening lose nothing; `reaches` are along
    y and x, of all channels together; `channels` says what single ones see, unless they all see the same.
    """

    dims: tuple[Dimension, ...]
    reaches: Reaches
    channels: Channels | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(size_of(dimension) for dimension in self.dims)

    def with_dims(self, dims: Sequence[Dimension]) -> "Sight":
        """Return the same units, in the same order, arranged differently."""
        channels = self.channels.arranged(plain_sizes(dims)) if self.channels else None
        return replace(self, dims=tuple(dims), channels=channels)

    def permuted(self, order: Sequence[int]) -> "Sight":
        """Return the same units with their dimensions in another order."""
        channels = self.channels.permuted(order) if self.channels else None
        return replace(self, dims=tuple(self.dims[index] for index in order), channels=channels)

    def taken(self, dim: int, index: Sequence[int], op: str) -> "Sight":
        """Return the units at some positions of a dimension that does not run along the image."""
        dims = (*self.dims[:dim], plain(len(index)), *self.dims[dim + 1 :])
        if self.channels is None:
            return replace(self, dims=dims)
        channels = self.channels.taken(dim, np.array(index))
        reaches = channels.together(lambda kinds: _join(kinds, self.dims, op))
        if reaches is None:
            return replace(self, dims=dims).of_some_channels(op)
        if not channels.differ():
            return Sight(dims, reaches)
        # Single positions side by side, of which each sees less than all: as they were, so are some of them.
        y, x = (
            reach.bounded(before.reason or op) if before.status is Status.BOUND else reach
            for before, reach in zip(self.reaches, reaches, strict=True)
        )
        return Sight(dims, (y, x), channels)

    def of_some_channels(self, op: str) -> "Sight":
        """Return what units see at most that hold less than all channels, if these differ in what they see."""
        if self.channels is None:
            return self
        if self.channels.joins is not None:
            return self.settled()
        reason = f"{op} takes some of the channels, which see differently"
        return self.each(lambda reaches: (reaches[0].bounded(reason), reaches[1].bounded(reason)), UNKNOWN)

    def merged(self, dims: Sequence[int]) -> "Sight":
        """Return the sight of units that have each met all channels along `dims`."""
        sizes = plain_sizes(self.dims)
        met = prod(sizes[dim] for dim in dims)
        if self.channels is None or met == 1:
            return self
        if met == prod(sizes) or self.channels.differ_only_along(dims):
            return replace(self, channels=None)
        return self.in_other_channels()

    def in_groups(self, dim: int, groups: int, outputs: int, op: str) -> "Sight":
        """Return the sight of units with `outputs` channels along `dim`, each of which has met those of its group."""
        channels = None
        if self.channels is not None and groups > 1:
            channels = self.channels.in_groups(dim, groups, outputs, lambda kinds: _join(kinds, self.dims, op))
        elif self.channels is not None:
            channels = self.merged([dim]).channels
        return Sight((*self.dims[:dim], plain(outputs), *self.dims[dim + 1 :]), self.reaches, channels)

    def in_other_channels(self) -> "Sight":
        """Return the sight of units whose channels, if they differ, have changed in ways that are not followed."""
        if self.channels is None:
            return self
        return replace(self.settled(), channels=UNKNOWN)

    def settled(self) -> "Sight":
        """Return the same sight, or what single values see at most where they stand for joined positions."""
        if self.channels is None or self.channels.joins is None:
            return self
        y, x = (
            reach if reach.status is Status.BOUND else replace(reach, status=Status.BOUND, reason=self.channels.joins)
            for reach in self.reaches
        )
        return replace(self, reaches=(y, x), channels=UNKNOWN)

    def of_single_units(self) -> "Sight":
        """Return the same sight as that of a map's units, or what these see at most.

        Rows or columns that run along no axis of the image, as after padding around a single column, are units too, and
        not channels of one: together they see what not every one of them does.
        """
        sight = self.as_map().settled()
        if sight.channels is None or len(sight.dims) != _MAP_RANK or axes_of(sight.dims[1:2]):
            return sight
        rows_and_columns = sight.dims[-2:]
        if any(len(axes_of([dimension])) > 1 for dimension in rows_and_columns):
            return sight  # a flattened map, beside which lie channels
        for place, dimension in enumerate(rows_and_columns):
            if axes_of([dimension]) or size_of(dimension) == 1 or not sight.channels.differ_along(place - 2):
                continue
            what = ("rows", "columns")[place]
            sight = sight.at_most(f"{what} that run along no axis of the image see differently")
        return sight

    def at_most(self, reason: str) -> "Sight":
        """Return the same sight as what units see at most; the `reason` is that of an axis which is bounded before."""
        reason = next((reach.reason for reach in self.reaches if reach.status is Status.BOUND), None) or reason
        y, x = (replace(reach.bounded(reason), seen_exactly=False) for reach in self.reaches)
        return replace(self, reaches=(y, x))

    def each(self, change: Callable[[Reaches], Reaches], channels: Channels | None = None) -> "Sight":
        """Return the sight after the same change along y and x to all channels; `channels` may be known better."""
        if self.channels is not None and channels is None:
            channels = self.channels.each(change)
        return replace(self, reaches=change(self.reaches), channels=channels)

    def along(self, axes: set[int], change: Callable[[Reach], Reach]) -> "Sight":
        """Return the sight after a change along some axes."""

        def along_axes(reaches: Reaches) -> Reaches:
            y, x = (change(reach) if axis in axes else reach for axis, reach in enumerate(reaches))
            return y, x

        return self.each(along_axes) if axes else self

    def through(self, dim: int, sampling: Sampling, units: int, op: str) -> "Sight":
        """Return the sight after an operator that reads dimension `dim` through `sampling`, with `units` outputs.

        Raises:
            LostError: the dimension holds more than positions along one axis of the image.
        """
        sight = self.along_one_axis(dim, op)
        axes = axes_of(sight.dims[dim : dim + 1])
        new = tuple(Part(units, axis) for axis in axes) or plain(units)
        if not axes:
            reads = sampling.reads_inside(np.arange(units), size_of(sight.dims[dim]))
            # Padding alone, or the holes of a transposed convolution: positions that see nothing, beside others.
            blind = (reads == HOLE).all(axis=1)
            sight = replace(sight.settled(), channels=UNKNOWN) if blind.any() else sight.in_other_channels()
            if blind.all():
                sight = sight.at_most(f"{op} reads nothing but padding")
        sight = sight.along(axes, lambda reach: reach.through(sampling, units, op))
        return replace(sight, dims=(*self.dims[:dim], new, *self.dims[dim + 1 :]))

    def along_one_axis(self, dim: int, op: str) -> "Sight":
        """Return the same sight with dimension `dim` as positions along one axis of the image, or plain ones.

        Raises:
            LostError: it holds more than that.
        """
        dimension = self.dims[dim]
        longer = tuple(part for part in dimension if part.size > 1) or dimension[:1]
        sight = self.along(axes_of([dimension]) - axes_of([longer]), lambda reach: reach.at(0))
        if axes_of([longer]) and len(longer) > 1:
            first, others = longer[0], longer[1:]
            if first.axis == PLAIN or axes_of([others]):
                raise LostError("along a flattened dimension")
            # Every position is there several times in a row: nearest-neighbour interpolation.
            size = size_of(dimension)
            repeated = Resampled(Fraction(first.size, size), "nearest", half_pixel=False)
            sight = sight.of_some_channels(op).along({first.axis}, lambda reach: reach.through(repeated, size, op))
            longer = (Part(size, first.axis),)
        return replace(sight, dims=(*self.dims[:dim], longer, *self.dims[dim + 1 :]))

    def as_map(self) -> "Sight":
        """Return the same sight with every dimension along one axis of the image, where it holds no more than that."""
        sight = self
        for dim, dimension in enumerate(self.dims):
            if len(dimension) > 1 and len(axes_of([dimension])) == 1:
                with suppress(LostError):
                    sight = sight.along_one_axis(dim, "view")
        return sight

    def collapsed(self, axes: set[int], reason: str, status: Status = Status.WHOLE_IMAGE) -> "Sight":
        """Return the sight of units that have each met all units along `axes`; `dims` no longer runs along these."""
        dims = tuple(
            tuple(Part(part.size) if part.axis in axes else part for part in dimension) for dimension in self.dims
        )
        if not axes:
            return self
        sight = self.along(axes, lambda reach: reach.collapsed(status, reason))
        channels = sight.channels.arranged(plain_sizes(dims)) if sight.channels else None
        return replace(sight, dims=dims, channels=channels)

    def noted(self, axes: set[int], reason: str) -> "Sight":
        """Return the same sight with a remark on what is known along `axes`."""
        return self.along(axes, lambda reach: replace(reach, reason=reach.reason or reason))

    def mixed(self, axes: set[int], reason: str, status: Status = Status.WHOLE_IMAGE) -> "Sight":
        """Return the sight of as many units, each of which has met all others along `axes`."""
        return self.along(axes, lambda reach: reach.mixed(status, reason))

    def shuffled(self, axes: set[int], reason: str) -> "Sight":
        """Return the sight of as many units, each of which may be any of those along `axes`."""
        return self.along(axes, lambda reach: reach.shuffled(Status.WHOLE_IMAGE, reason))


def joined(sights: Sequence[Sight], op: str) -> Sight:
    """Return the sight of an elementwise operator over tensors that are broadcast to a common shape."""
    if len(sights) == 1:
        return sights[0]
    rank = max(len(sight.dims) for sight in sights)
    padded = [sight.with_dims([()] * (rank - len(sight.dims)) + list(sight.dims)) for sight in sights]
    dims = [_common(column) for column in zip(*(sight.dims for sight in padded), strict=True)]
    kept = axes_of(dims)
    if len(kept) != len([part for dimension in dims for part in dimension if part.axis != PLAIN]):
        raise LostError("joins maps that lie in different dimensions")
    channels = None
    if any(sight.channels for sight in padded):
        own = [sight.channels or sight.reaches for sight in padded]
        channels = element_by_element(own, plain_sizes(dims), lambda operands: _join(operands, dims, op))
    return Sight(tuple(dims), _join([sight.reaches for sight in padded], dims, op), channels)


def _join(operands: Sequence[Reaches], dims: Sequence[Dimension], op: str) -> Reaches:
    """Return what units see through any of the operands of `op`, whose result has the dimensions `dims`."""
    # A map of one position that is spread over many: every unit sees what that one position sees.
    spread = [
        tuple(
            reach.at(0) if reach.units == 1 and not _same_units(reach, dims, axis) else reach
            for axis, reach in enumerate(reaches)
        )
        for reaches in operands
    ]
    y, x = (united([reaches[axis] for reaches in spread], op) for axis in range(len(AXES)))
    # Where one operand sees nothing along x, it adds nothing along y either: no longer one axis at a time.
    if any(reaches != (y, x) for reaches in spread):
        both = [reach for reaches in spread for reach in reaches]
        if any(reach.has_gaps for reach in both):
            y, x = (reach.bounded(f"{op}: joins maps in which some units see nothing") for reach in (y, x))
        if any(reach.has_gaps_inside for reach in both):
            y, x = (replace(reach, seen_exactly=False) for reach in (y, x))
    return y, x


def _same_units(reach: Reach, dims: Sequence[Dimension], axis: int) -> bool:
    return any(part == Part(reach.units or 0, axis) for dimension in dims for part in dimension)


def _common(column: Sequence[Dimension]) -> Dimension:
    """Return what one dimension of the result looks like, given that of every operand."""
    size = max(size_of(dimension) for dimension in column)
    full = [dimension for dimension in column if size_of(dimension) == size]
    running = [dimension for dimension in full if axes_of([dimension])]
    if not running:
        return full[0]
    if any(dimension != running[0] for dimension in running[1:]):
        raise LostError("joins maps that lie in different dimensions")
    return running[0]
