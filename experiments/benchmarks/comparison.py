"""What the measures say of the units of a network against what the oracle finds, unit by unit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from experiments.benchmarks.borders import look_beyond, see_anything
from experiments.benchmarks.oracle import Extents, extents, positive_twin
from experiments.measures.layers import field_of
from experiments.measures.propagation import Known
from experiments.measures.reach import Reach, Status
from experiments.measures.sight import AXES, Sight, axes_of
from experiments.measures.trace import Trace

# Pixels of an image beyond the largest window, and strides more of them, so that there are units far from the ends of
# every map on the way; a map of a small stride, which is larger than its image, gets a smaller one.
MARGIN, MARGIN_STRIDES = 64, 16
# Of that image's sides, for networks that halve them several times and join what they double again.
DIVISOR = 32
# Of periods longer than this not all units are compared.
MOST_UNITS = 24
# Why nothing was compared.
UNSUPPORTED = "unsupported"
NO_WINDOW = "windows that depend on the size of the image"
ALL_NEAR_A_BORDER = "no unit far from every border"  # but for those that see nothing


@dataclass(frozen=True)
class Comparison:
    """How many units were compared, what differs, in words, and how many processor seconds the oracle took.

    `status` is the less certain of both axes'. Where it is a bound, a unit differs if it sees more than that. Of an
    unsupported output nothing is compared; where no units are, `why_none` says why in words. `numbers_along` counts the
    axes of which size, stride and padding were compared.
    """

    status: Status
    units: int
    mismatches: tuple[str, ...]
    oracle_seconds: float = 0.0
    why_none: str = ""
    numbers_along: int = 0


def compare_seen(network: nn.Module, shape: tuple[int, int, int], most_units: int = 1_000_000) -> Comparison:
    """Compare what units see of an image `(C, H, W)`, borders included: all of them, or `most_units` drawn of more."""
    known = output_of(network, shape)
    if known.sight is None:
        return Comparison(Status.UNSUPPORTED, 0, (), why_none=UNSUPPORTED)
    sight = known.sight.of_single_units()
    chosen = list(np.ndindex(*_map_of(sight)))
    if len(chosen) > most_units:
        drawn = np.random.default_rng(0).choice(len(chosen), most_units, replace=False)
        chosen = [chosen[0], *(chosen[index] for index in np.sort(drawn)[1:-1]), chosen[-1]]
    claimed = []
    for axis, reach in enumerate(sight.reaches):
        at = [unit[_place(sight, axis)] if reach.units is not None else 0 for unit in chosen]
        claimed.append(np.stack([reach.seen[0][at], reach.seen[1][at]], axis=1))
    began = time.process_time()
    found = extents(positive_twin(network), shape, chosen)
    seconds = time.process_time() - began
    bounds = [reach.status is Status.BOUND or not reach.seen_exactly for reach in sight.reaches]
    mismatches = _mismatches(chosen, np.stack(claimed, axis=1), found, bounds)
    return Comparison(field_of(known).status, len(chosen), tuple(mismatches), seconds)


def compare_windows(network: nn.Module, shape: tuple[int, int, int]) -> Comparison:
    """Compare the windows of units far from every border, and size, stride and padding, which follow from these.

    Which units these are, the network itself tells, and not the measures. It must take images `(C, H, W)` and larger
    ones.
    """
    known = output_of(network, shape)
    if (why_none := _why_no_window(known)) or known.sight is None:
        return Comparison(field_of(known).status, 0, (), why_none=why_none)
    widest = [reach.widest for reach in known.sight.reaches if reach.widest]
    stride = max(abs(window.shift) / len(window.first) for window in widest)
    side = MARGIN + int(MARGIN_STRIDES * stride) + max(int(window.sizes.max()) for window in widest)
    side += -side % DIVISOR
    known = output_of(network, (shape[0], side, side))
    if (why_none := _why_no_window(known)) or known.sight is None:
        return Comparison(field_of(known).status, 0, (), why_none=why_none)
    twin = positive_twin(network)
    near, seeing = (ask(twin, (shape[0], side, side)).numpy() for ask in (look_beyond, see_anything))
    units = far_from_borders(~near, seeing, known.sight)
    if not units:
        return Comparison(field_of(known).status, 0, (), why_none=ALL_NEAR_A_BORDER)
    began = time.process_time()
    found = extents(twin, (shape[0], side, side), units)
    seconds = time.process_time() - began
    bounds = [reach.status is Status.BOUND for reach in known.sight.reaches]
    positions = [np.array(units)[:, _place(known.sight, axis)] for axis in range(len(AXES))]
    claimed = [
        np.stack(reach.widest.at(at), axis=1)
        for reach, at in zip(known.sight.reaches, positions, strict=True)
        if reach.widest is not None
    ]
    mismatches = _mismatches(units, np.stack(claimed, axis=1), found, bounds)
    numbers = [
        _numbers_differ(known, axis, reach, positions[axis], found[:, axis])
        for axis, reach in enumerate(known.sight.reaches)
        if not bounds[axis]
    ]
    mismatches += filter(None, numbers)
    numbers_along = sum(text is not None for text in numbers)
    return Comparison(field_of(known).status, len(units), tuple(mismatches), seconds, numbers_along=numbers_along)


def output_of(network: nn.Module, shape: tuple[int, int, int]) -> Known:
    """Return what is known of the output for images `(C, H, W)`.

    Raises:
        ValueError: it does not depend on the image.
    """
    dtype = next((item.dtype for item in network.parameters()), torch.get_default_dtype())
    trace = Trace(network, torch.empty(1, *shape, device="meta", dtype=dtype))
    trace.run()
    if trace.output is None:
        raise ValueError("the output of the network does not depend on its input")
    sight = trace.output.sight
    return trace.output if sight is None else replace(trace.output, sight=sight.as_map())


def _map_of(sight: Sight) -> tuple[int, int]:
    """Return height and width of an output `(N, C, H, W)`; of any other, one unit."""
    return (sight.shape[2], sight.shape[3]) if len(sight.dims) == 4 else (1, 1)  # noqa: PLR2004 - (N, C, H, W)


def _place(sight: Sight, axis: int) -> int:
    """Return which of the last two dimensions runs along an axis of the image; the usual one if none does."""
    return next((place for place, dim in enumerate(sight.dims[-2:]) if axis in axes_of([dim])), axis)


def _why_no_window(known: Known) -> str:
    """Say why there are no windows that could be compared; the empty string where there are."""
    if known.sight is None:
        return UNSUPPORTED
    return NO_WINDOW if any(reach.widest is None or reach.units is None for reach in known.sight.reaches) else ""


def far_from_borders(far: npt.NDArray[np.bool_], seeing: npt.NDArray[np.bool_], sight: Sight) -> list[tuple[int, int]]:
    """Return units (row, column) of a map of which `far` `(H, W)` tells where they are far from every border.

    They are next to each other in its middle, one more than a period along each axis; along the axis of the shorter
    period they begin again. For those of them that are not `seeing` `(H, W)`, others of the same rows and columns that
    are come after them.
    """
    periods = [len(reach.widest.first) if reach.widest else 1 for reach in sight.reaches]
    by_place = dict(zip((_place(sight, axis) for axis in range(len(AXES))), periods, strict=True))
    # Units in a hole of a transposed convolution are far from borders wherever they are, so that rows differ in more
    # than one way; of those that are far in the same columns, or in more, the most units that see anything.
    rows, columns = max(
        ((_longest_run((far >= kind).all(axis=1)), _longest_run(kind)) for kind in np.unique(far, axis=0)),
        key=lambda block: (seeing[np.ix_(*block)].sum(), len(block[0]) * len(block[1])),
    )
    rows, columns = _middle(rows, by_place[0] + 1), _middle(columns, by_place[1] + 1)
    count = max(len(rows), len(columns)) if len(rows) and len(columns) else 0
    units = [(int(rows[index % len(rows)]), int(columns[index % len(columns)])) for index in range(count)]
    # Holes along both axes may be all that a diagonal meets.
    for row, column in [unit for unit in units if not seeing[unit]]:
        units += [(row, int(other)) for other in columns[seeing[row, columns]][:1]]
        units += [(int(other), column) for other in rows[seeing[rows, column]][:1]]
    # Of a map that sees nothing anywhere, that is what is compared.
    return list(dict.fromkeys(units)) if any(seeing[unit] for unit in units) or not seeing.any() else []


def _longest_run(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the positions of the longest run of those that are chosen."""
    positions = np.flatnonzero(chosen)
    return max(np.split(positions, np.flatnonzero(np.diff(positions) > 1) + 1), key=len)


def _middle(run: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
    """Return the middle positions of a run: `count` of them, but not more than are compared of long periods."""
    count = min(count, MOST_UNITS, len(run))
    return run[(len(run) - count) // 2 :][:count]


def _mismatches(
    units: Sequence[tuple[int, ...]], claimed: Extents, found: Extents, bounds: Sequence[bool]
) -> list[str]:
    """Compare first and last pixels `(U, 2, 2)` by unit and axis (y, x)."""
    mismatches = []
    for unit, said, true in zip(units, claimed, found, strict=True):
        # What sees nothing along one axis sees nothing at all.
        nothing, nothing_said = (bool((extent[:, 0] > extent[:, 1]).any()) for extent in (true, said))
        for axis in range(len(AXES)):
            within = said[axis, 0] <= true[axis, 0] and said[axis, 1] >= true[axis, 1]
            fine = within if bounds[axis] else (said[axis] == true[axis]).all()
            if not (fine if not nothing else nothing_said or any(bounds)):
                mismatches.append(f"unit {unit}, {AXES[axis]}: said {said[axis].tolist()}, found {true[axis].tolist()}")
            elif not nothing and nothing_said and not any(bounds):
                mismatches.append(f"unit {unit}: said to see nothing, found {true.tolist()}")
    return mismatches


def _numbers_differ(known: Known, axis: int, reach: Reach, units: Extents, found: Extents) -> str | None:
    """Say how size, stride and padding differ from those of windows `(U, 2)` that were found at units side by side.

    None where they do not follow from these: they are fewer than a period, or there are holes between them.
    """
    assert reach.widest is not None  # noqa: S101 - the caller has looked
    period = len(reach.widest.first)
    units, found = units[: period + 1], found[: period + 1]
    if len(units) <= period or (np.diff(units) != 1).any() or (found[:, 0] > found[:, 1]).any():
        return None
    field = field_of(known)
    shift = int(found[period, 0] - found[0, 0])
    first_of_turn = int(-units[0] % period)
    turns = int(units[first_of_turn]) // period
    numbers = (
        int((found[:period, 1] - found[:period, 0]).max()) + 1,
        Fraction(shift, period),
        turns * shift - int(found[first_of_turn, 0]),
    )
    said = field.size[axis], field.stride[axis], field.padding[axis]
    return "" if numbers == said else f"{AXES[axis]}: size, stride, padding said {said}, found {numbers}"
