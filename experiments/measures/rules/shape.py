"""Operators that arrange units anew without arithmetic: views, slices, concatenation, padding."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from experiments.measures.channels import UNKNOWN, Channels, side_by_side
from experiments.measures.reach import Status
from experiments.measures.regrouping import regroup
from experiments.measures.rules.call import Call, dims_of, rule
from experiments.measures.sampling import Extended, Resampled, Sampling, Strided
from experiments.measures.sight import (
    PLAIN,
    Dimension,
    LostError,
    Sight,
    axes_of,
    joined,
    plain,
    plain_sizes,
    size_of,
)


@rule("view", "_unsafe_view", "_reshape_alias", "squeeze")
def reshaped(call: Call) -> Sight:
    """(…) → any shape of as many units, in the same order."""
    return regroup(call.source, call.shape, call.title)


@rule("alias", "detach", "lift_fresh", "_to_copy")
def unchanged(call: Call) -> Sight:
    """(…) → (…)."""
    return call.source


@rule("as_strided")
def restrided(call: Call) -> Sight:
    """Another layout in memory: the same units where at most one dimension is larger than 1.

    Raises:
        LostError: units are picked from memory.
    """
    if call.shape != call.source.shape or sum(size > 1 for size in call.shape) > 1 or call.arg(3, "storage_offset"):
        raise LostError
    return call.source


@rule("permute", "transpose", "t")
def permuted(call: Call) -> Sight:
    """Dimensions in another order."""
    dims = call.source.dims
    if call.op == "permute":
        order = [call.dim(index) for index in call.arg(1, "dims")]
    elif call.op == "transpose":
        order = list(range(len(dims)))
        one, other = call.dim(call.arg(1, "dim0")), call.dim(call.arg(2, "dim1"))
        order[one], order[other] = order[other], order[one]
    else:
        order = list(range(len(dims)))[::-1]
    return call.source.permuted(order)


@rule("unsqueeze")
def unsqueezed(call: Call) -> Sight:
    """A new dimension of size 1."""
    dims = list(call.source.dims)
    dims.insert(call.arg(1, "dim") % (len(dims) + 1), ())
    return call.source.with_dims(dims)


@rule("expand", "repeat")
def expanded(call: Call) -> Sight:
    """Units repeated along dimensions of size 1 or plain dimensions."""
    sight = call.source
    missing = len(call.shape) - len(sight.dims)
    dims: list[Dimension] = [()] * missing + list(sight.dims)
    for index, (dimension, size) in enumerate(zip(dims, call.shape, strict=True)):
        if size == size_of(dimension):
            continue
        if axes := axes_of([dimension]):
            if size_of(dimension) != 1:
                raise LostError("of the image's own dimensions")
            sight = sight.along(axes, lambda reach: reach.at(0))
        dims[index] = plain(size)
    return sight.with_dims(dims)


@rule("select")
def selected(call: Call) -> Sight:
    """One position of a dimension, which disappears."""
    return _position(call, call.source, call.dim(call.arg(1, "dim")), call.arg(2, "index"))


@rule("unbind")
def unbound(call: Call) -> list[Sight]:
    """Every position of a dimension as a tensor of its own."""
    dim = call.dim(call.arg(1, "dim", 0))
    return [_position(call, call.source, dim, index) for index in range(size_of(call.source.dims[dim]))]


def _position(call: Call, sight: Sight, dim: int, index: int) -> Sight:
    dimension = sight.dims[dim]
    dims = [*sight.dims[:dim], *sight.dims[dim + 1 :]]
    if not axes_of([dimension]):
        return sight.taken(dim, [index], call.title).with_dims(dims)
    try:
        sight = sight.along_one_axis(dim, call.title)
    except LostError:
        reason = call.reason("takes some positions of a flattened map")
        return sight.collapsed(axes_of([dimension]), reason, Status.BOUND).with_dims(dims)
    return sight.along(axes_of(sight.dims[dim : dim + 1]), lambda reach: reach.at(index)).with_dims(dims)


@rule("slice")
def sliced(call: Call) -> Sight:
    """Positions start, start + step, … of a dimension."""
    dim = call.dim(call.arg(1, "dim", 0))
    length = size_of(call.source.dims[dim])
    start, _, step = slice(call.arg(2, "start"), call.arg(3, "end"), call.arg(4, "step", 1)).indices(length)
    return _piece(call, dim, start, step, call.shape[dim])


def _piece(call: Call, dim: int, start: int, step: int, size: int) -> Sight:
    sight = call.source
    dimension = sight.dims[dim]
    if size == size_of(dimension):
        return sight
    if not axes_of([dimension]):
        return sight.taken(dim, range(start, start + size * step, step), call.title)
    try:
        return sight.through(dim, Strided(start=start, stride=step), size, call.title)
    except LostError:
        reason = call.reason("takes some positions of a flattened map")
        collapsed = sight.collapsed(axes_of([dimension]), reason, Status.BOUND)
        return collapsed.with_dims([*sight.dims[:dim], plain(size), *sight.dims[dim + 1 :]])


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes")
def split(call: Call) -> list[Sight]:
    """Pieces of a dimension."""
    dim = call.dim(call.arg(2, "dim", 0))
    length = size_of(call.source.dims[dim])
    sizes = call.arg(1, "split_size")
    if isinstance(sizes, int):
        sizes = [min(sizes, length - start) for start in range(0, length, sizes)]
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [_piece(call, dim, start, 1, size) for start, size in zip(starts, sizes, strict=True)]


@rule("cat", "stack")
def concatenated(call: Call) -> Sight:
    """Tensors one after the other along a dimension; constants among them show nothing of the image."""
    tensors = [tensor for tensor in call.arg(0, "tensors") if tensor.numel()]
    sights = [sight for tensor in tensors if (sight := call.sight(tensor)) is not None]
    dim = call.arg(1, "dim", 0) % len(call.shape)
    if call.op == "stack":
        sights = [sight.with_dims([*sight.dims[:dim], (), *sight.dims[dim:]]) for sight in sights]
    sights = [_without_single_positions(sight.settled(), dim) for sight in sights]
    along = [sight.dims[dim] for sight in sights]
    if axes_of(along):
        reason = call.reason("lays maps end to end")
        axes = axes_of(along)
        sights = [sight.collapsed(axes, reason, Status.BOUND) for sight in sights]
    size = plain(call.shape[dim])
    level = [Sight((*sight.dims[:dim], size, *sight.dims[dim + 1 :]), sight.reaches) for sight in sights]
    together = joined(level, call.title)
    channels: Channels | None = UNKNOWN  # constants among them, or maps laid end to end
    if len(sights) == len(tensors) and not axes_of(along):
        own = [sight.channels or sight.reaches for sight in sights]
        channels = side_by_side(own, [plain_sizes(sight.dims) for sight in sights], dim)
        channels = channels if channels.differ() else None
    # Single positions of the image, side by side: each sees less than all of them.
    y, x = (
        reach.bounded(call.reason("lays positions side by side"))
        if reach.units is None and any(not sight.reaches[axis].sees_as(reach) for sight in level)
        else reach
        for axis, reach in enumerate(together.reaches)
    )
    return Sight(together.dims, (y, x), channels)


def _without_single_positions(sight: Sight, dim: int) -> Sight:
    """Return the sight with a dimension as plain positions, if it holds no more than one along any axis."""
    dimension = sight.dims[dim]
    if any(part.size > 1 and part.axis != PLAIN for part in dimension):
        return sight
    sight = sight.along(axes_of([dimension]), lambda reach: reach.at(0))
    return sight.with_dims([*sight.dims[:dim], plain(size_of(dimension)), *sight.dims[dim + 1 :]])


@rule("flip")
def flipped(call: Call) -> Sight:
    """Dimensions in reverse."""
    sight = call.source
    for dim in dims_of(call.arg(1, "dims"), len(sight.dims)):
        size = call.shape[dim]
        sight = sight.through(dim, Strided(start=size - 1, stride=-1), size, call.title)
    return sight


@rule("roll")
def rolled(call: Call) -> Sight:
    """Dimensions shifted, what leaves at one end coming in at the other."""
    sight = call.source
    shifts, dims = call.arg(1, "shifts"), call.arg(2, "dims", [])
    if not dims:
        raise LostError("of a flattened tensor")
    shifts = [shifts] if isinstance(shifts, int) else shifts
    for shift, dim in zip(shifts, dims_of(dims, len(sight.dims)), strict=True):
        sight = sight.through(dim, Extended(before=shift, mode="circular"), call.shape[dim], call.title)
    return sight


@rule("constant_pad_nd")
def zero_padded(call: Call) -> Sight:
    """Constants around the last dimensions, or a crop of them (negative widths)."""
    sight = call.source
    for dim, before in _befores(call.arg(1, "pad"), len(sight.dims)):
        if call.shape[dim] != size_of(sight.dims[dim]) or before:
            sight = sight.through(dim, Strided(start=-before), call.shape[dim], call.title)
    return sight


_BORDERS: dict[str, Literal["reflect", "replicate", "circular"]] = {
    "reflection": "reflect",
    "replication": "replicate",
    "circular": "circular",
}


@rule(*(f"{mode}_pad{rank}d" for mode in _BORDERS for rank in (1, 2, 3)))
def mirrored(call: Call) -> Sight:
    """Mirrored, repeated or wrapped positions around the last dimensions."""
    sight = call.source
    for dim, before in _befores(call.arg(1, "padding"), len(sight.dims)):
        sampling = Extended(before, _BORDERS[call.op.partition("_")[0]])
        sight = sight.through(dim, sampling, call.shape[dim], call.title)
    return sight


def _befores(widths: Sequence[int], rank: int) -> list[tuple[int, int]]:
    """Return (dimension, width before it) from widths given from the last dimension to the first."""
    return [(rank - 1 - index, widths[2 * index]) for index in range(len(widths) // 2)]


@rule("channel_shuffle", "native_channel_shuffle")
def channels_shuffled(call: Call) -> Sight:
    """(N, C, …) → (N, C, …), channels in another order."""
    if axes_of(call.source.dims[1:2]):
        raise LostError("of the image's own dimensions")
    channels, groups = call.shape[1], call.arg(1, "groups")
    order = [group * (channels // groups) + place for place in range(channels // groups) for group in range(groups)]
    return call.source.taken(1, order, call.title)


@rule("pixel_shuffle")
def pixels_shuffled(call: Call) -> Sight:
    """(N, C·r², H, W) → (N, C, H·r, W·r)."""
    factor = call.arg(1, "upscale_factor")
    return _shuffled(call, Resampled(Fraction(1, factor), "nearest", half_pixel=False))


@rule("pixel_unshuffle")
def pixels_unshuffled(call: Call) -> Sight:
    """(N, C, H·r, W·r) → (N, C·r², H, W); the channels of a unit together read an r × r square."""
    factor = call.arg(1, "downscale_factor")
    return _shuffled(call, Strided(stride=factor, taps=factor))


def _shuffled(call: Call, sampling: Sampling) -> Sight:
    sight = call.source.of_some_channels(call.title)
    rank = len(sight.dims)
    for dim in (rank - 2, rank - 1):
        sight = sight.through(dim, sampling, call.shape[dim], call.title)
    if axes_of(sight.dims[rank - 3 : rank - 2]):
        raise LostError("of the image's own dimensions")
    dims = (*sight.dims[: rank - 3], plain(call.shape[rank - 3]), *sight.dims[rank - 2 :])
    return Sight(dims, sight.reaches, UNKNOWN if call.op == "pixel_unshuffle" else sight.channels)
