"""Matching a budget: of candidates ordered by size, the one whose cost comes nearest to a target."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Limit = Literal["smallest", "largest"]
# Where costs turn out not to rise, so many candidates on either side of the answer are tried one by one.
SCANNED = 8


@dataclass(frozen=True)
class Match:
    """The candidate whose cost is nearest to the target, and what is left between the two.

    Attributes:
        candidate: its value: a width, a depth …
        cost: what it costs, in whatever is counted: parameters, multiply-accumulates …
        target: what it should cost.
        tolerance: the largest relative residual that counts as a match.
        limit: whether the target lies beyond the smallest or the largest candidate.
        evaluations: how many costs were computed.
    """

    candidate: int
    cost: int
    target: int
    tolerance: float
    limit: Limit | None
    evaluations: int

    @property
    def residual(self) -> int:
        """The cost less the target."""
        return self.cost - self.target

    @property
    def relative_residual(self) -> float:
        """The residual as a share of the target."""
        return self.residual / self.target

    @property
    def within(self) -> bool:
        """Whether the residual is within the tolerance."""
        return abs(self.relative_residual) <= self.tolerance


def solve(
    cost: Callable[[int], int],
    candidates: Sequence[int],
    target: int,
    *,
    tolerance: float = 0.02,
    start: int | None = None,
) -> Match:
    """Find the candidate with the smallest |cost - target|; of several, the smallest candidate.

    `cost` should not fall from one candidate to the next. Then the answer is the best there is, and the costs computed
    are about log2 of the distance from `start` to the answer, both ways: a dozen for a network's width. Where the
    costs around the answer do fall, all of the `SCANNED` candidates on either side are tried.

    Args:
        cost: of one candidate; asked once for each that is tried.
        candidates: in ascending order.
        target: the cost to come near to, at least 1.
        tolerance: the largest relative residual that counts as a match, from 0 to below 1.
        start: the candidate to begin with (the nearest that there is); the first by default.

    Raises:
        ValueError: no candidates, or a target or tolerance out of its range.
    """
    _check(candidates, target, tolerance)
    last = len(candidates) - 1
    costs: dict[int, int] = {}

    def at(place: int) -> int:
        if place not in costs:
            costs[place] = cost(candidates[place])
        return costs[place]

    def try_all(first: int, final: int) -> None:
        for place in range(max(first, 0), min(final, last) + 1):
            at(place)

    begin = 0 if start is None else min(bisect_left(candidates, start), last)
    above = _first_reaching(at, target, begin, last)
    below = max(above - 1, 0)
    try_all(below - 1, above + 1)
    if below > 0 and at(below - 1) == at(below):
        _first_reaching(at, at(below), below, below)
    if not _rises(costs):
        middle = _nearest(costs, target)
        try_all(middle - SCANNED, middle + SCANNED)
    best = _nearest(costs, target)
    limit: Limit | None = None
    if best == 0 and costs[best] > target:
        limit = "smallest"
    elif best == last and costs[best] < target:
        limit = "largest"
    return Match(candidates[best], costs[best], target, tolerance, limit, len(costs))


def _check(candidates: Sequence[int], target: int, tolerance: float) -> None:
    if not candidates:
        raise ValueError("candidates: there are none")
    if target < 1:
        raise ValueError(f"target={target}: must be at least 1")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance={tolerance}: must be from 0 to below 1")


def _first_reaching(at: Callable[[int], int], target: int, start: int, last: int) -> int:
    """Return the first place from 0 to `last` whose cost is at least `target`; `last + 1` if there is none.

    Bisection. The bracket is found by halving and doubling, as a network's cost is about a power of its size; for the
    same reason its next place is interpolated between the logarithms, unless the place before was a bad guess.
    """
    low, high = -1, last + 1  # what lies outside costs less and more than any target
    place, halved = start, True
    while True:
        before = high - low
        if at(place) < target:
            low = place
        else:
            high = place
        if high - low == 1:
            return high
        if low < 0:
            place = (high + 1) // 2 - 1
        elif high > last:
            place = min(2 * low + 1, last)
        else:
            place = _interpolated(at, target, low, high) if halved else (low + high) // 2
            halved = not halved or 2 * (high - low) <= before


def _interpolated(at: Callable[[int], int], target: int, low: int, high: int) -> int:
    """Return the place strictly between `low` and `high` where a power law through both would reach `target`."""
    if at(low) < 1:
        return (low + high) // 2
    begin, end = math.log(at(low)), math.log(at(high))
    share = (math.log(target) - begin) / (end - begin)
    size = (low + 1) * math.exp(share * math.log((high + 1) / (low + 1)))
    return min(max(round(size) - 1, low + 1), high - 1)


def _rises(costs: dict[int, int]) -> bool:
    ordered = [costs[place] for place in sorted(costs)]
    return ordered == sorted(ordered)


def _nearest(costs: dict[int, int], target: int) -> int:
    return min(costs, key=lambda place: (abs(costs[place] - target), place))
