"""The same units as a tensor of another shape: what its dimensions run along then."""

from collections.abc import Sequence

from experiments.measures.reach import Status
from experiments.measures.sight import PLAIN, Dimension, LostError, Part, Sight, axes_of, plain


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
