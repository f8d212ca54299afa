"""What the units of a tensor see: which of its dimensions run along the image, and how far each unit reaches there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import NamedTuple

from experiments.measures.reach import Reach, Status, united
from experiments.measures.sampling import Resampled, Sampling

# The image's axes as they are numbered here; a part of a dimension that runs along neither is plain.
AXES = ("y", "x")
PLAIN = -1


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


class LostError(Exception):
    """An operator whose effect on the receptive field is not understood; the text, if any, goes on after its name."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What the units of one tensor see of the image.

    `dims` factors every dimension of the tensor, so that flattening and unflattening lose nothing; `reaches` are along
    y and x.
    """

    dims: tuple[Dimension, ...]
    reaches: tuple[Reach, Reach]

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(size_of(dimension) for dimension in self.dims)

    def with_dims(self, dims: Sequence[Dimension]) -> "Sight":
        """Return the same units arranged differently."""
        return replace(self, dims=tuple(dims))

    def through(self, dim: int, sampling: Sampling, units: int, op: str) -> "Sight":
        """Return the sight after an operator that reads dimension `dim` through `sampling`, with `units` outputs.

        Raises:
            LostError: the dimension holds more than positions along one axis of the image.
        """
        sight = self.along_one_axis(dim, op)
        reaches = list(sight.reaches)
        new = plain(units)
        for axis in axes_of(sight.dims[dim : dim + 1]):
            reaches[axis] = reaches[axis].through(sampling, units, op)
            new = (Part(units, axis),)
        return Sight((*self.dims[:dim], new, *self.dims[dim + 1 :]), (reaches[0], reaches[1]))

    def along_one_axis(self, dim: int, op: str) -> "Sight":
        """Return the same sight with dimension `dim` as positions along one axis of the image, or plain ones.

        Raises:
            LostError: it holds more than that.
        """
        dimension = self.dims[dim]
        longer = [part for part in dimension if part.size > 1] or list(dimension[:1])
        reaches = list(self.reaches)
        for axis in axes_of([dimension]) - axes_of([tuple(longer)]):
            reaches[axis] = reaches[axis].at(0)
        if axes_of([tuple(longer)]) and len(longer) > 1:
            first, *others = longer
            if first.axis == PLAIN or axes_of([tuple(others)]):
                raise LostError("along a flattened dimension")
            # Every position is there several times in a row: nearest-neighbour interpolation.
            size = size_of(dimension)
            repeated = Resampled(Fraction(first.size, size), "nearest", half_pixel=False)
            reaches[first.axis] = reaches[first.axis].through(repeated, size, op)
            longer = [Part(size, first.axis)]
        return Sight((*self.dims[:dim], tuple(longer), *self.dims[dim + 1 :]), (reaches[0], reaches[1]))

    def collapsed(self, axes: set[int], reason: str, status: Status = Status.WHOLE_IMAGE) -> "Sight":
        """Return the sight of units that have each met all units along `axes`; `dims` no longer runs along these."""
        dims = tuple(
            tuple(Part(part.size) if part.axis in axes else part for part in dimension) for dimension in self.dims
        )
        y, x = (reach.collapsed(status, reason) if axis in axes else reach for axis, reach in enumerate(self.reaches))
        return replace(self, dims=dims, reaches=(y, x))

    def noted(self, axes: set[int], reason: str) -> "Sight":
        """Return the same sight with a remark on what is known along `axes`."""
        y, x = (
            replace(reach, reason=reach.reason or reason) if axis in axes else reach
            for axis, reach in enumerate(self.reaches)
        )
        return replace(self, reaches=(y, x))

    def mixed(self, axes: set[int], reason: str, status: Status = Status.WHOLE_IMAGE) -> "Sight":
        """Return the sight of as many units, each of which has met all others along `axes`."""
        y, x = (reach.mixed(status, reason) if axis in axes else reach for axis, reach in enumerate(self.reaches))
        return replace(self, reaches=(y, x))


def regroup(sight: Sight, shape: Sequence[int], op: str) -> Sight:
    """Return the sight of the same units, in the same order, as a tensor of another shape (reshape, flatten).

    Where the new shape cuts an axis of the image into pieces, that axis is only bounded from there on.

    Raises:
        LostError: the tensor has no units.
    """
    if 0 in shape:
        raise LostError("of an empty tensor")
    parts = _merged([part for dimension in sight.dims for part in dimension])
    dims: list[Dimension] = []
    for position, size in enumerate(shape):
        taken: list[Part] = []
        need = size
        while need > 1 and parts:
            part = parts.pop(0)
            if need % part.size == 0:
                taken.append(part)
                need //= part.size
            elif part.axis == PLAIN and part.size % need == 0:
                taken.append(Part(need))
                parts.insert(0, Part(part.size // need))
                need = 1
            else:
                reason = f"{op}: cuts the image into pieces"
                flat = sight.collapsed(axes_of(sight.dims), reason, Status.BOUND)
                return flat.with_dims([plain(length) for length in shape])
        if size == 1:
            spare = _ones(parts) - sum(length == 1 for length in _leading_ones(shape[position + 1 :]))
            while spare > 0 and parts:
                taken.append(parts.pop(0))
                spare -= 1
        dims.append(tuple(taken))
    if parts and dims:  # axes of a single unit, flattened away with their neighbour
        dims[-1] = (*dims[-1], *parts)
    return sight.with_dims(dims)


def _merged(parts: list[Part]) -> list[Part]:
    """Join neighbouring plain parts, which a reshape may cut anywhere."""
    merged: list[Part] = []
    for part in parts:
        if merged and part.axis == PLAIN == merged[-1].axis:
            merged[-1] = Part(merged[-1].size * part.size)
        else:
            merged.append(part)
    return merged


def _ones(parts: Sequence[Part]) -> int:
    return len(list(_leading_ones([part.size for part in parts])))


def _leading_ones(sizes: Sequence[int]) -> list[int]:
    count = next((index for index, size in enumerate(sizes) if size != 1), len(sizes))
    return list(sizes[:count])


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
    # A map of one position that is spread over many: every unit sees what that one position sees.
    spread = [
        tuple(
            reach.at(0) if reach.units == 1 and not _same_units(reach, dims, axis) else reach
            for axis, reach in enumerate(sight.reaches)
        )
        for sight in padded
    ]
    y, x = (united([reaches[axis] for reaches in spread], op) for axis in range(len(AXES)))
    if any(reach.has_gaps for reaches in spread for reach in reaches) and any(reaches != (y, x) for reaches in spread):
        # Where one operand sees nothing along x, it adds nothing along y either: no longer one axis at a time.
        y, x = (reach.bounded(f"{op}: joins maps in which some units see nothing") for reach in (y, x))
    return Sight(tuple(dims), (y, x))


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
