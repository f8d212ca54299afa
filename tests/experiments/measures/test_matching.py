"""The candidate of the nearest cost, against trying all of them."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.measures.matching import Match, solve


class Counted:
    """A cost that notes which candidates it was asked for."""

    def __init__(self, cost: Callable[[int], int]) -> None:
        self.cost = cost
        self.asked: list[int] = []

    def __call__(self, candidate: int) -> int:
        self.asked.append(candidate)
        return self.cost(candidate)


def nearest(costs: Sequence[int], target: int) -> int:
    return min(range(len(costs)), key=lambda place: (abs(costs[place] - target), place))


@given(
    steps=st.lists(st.integers(0, 50), min_size=1, max_size=60),
    target=st.integers(1, 1600),
    start=st.integers(-5, 70),
)
def test_of_costs_that_never_fall_the_nearest_is_found(steps: list[int], target: int, start: int) -> None:
    costs = [sum(steps[: place + 1]) for place in range(len(steps))]
    cost = Counted(costs.__getitem__)
    match = solve(cost, range(len(costs)), target, start=start)
    assert match.candidate == nearest(costs, target)
    assert match.cost == costs[match.candidate]
    assert match.evaluations == len(cost.asked) == len(set(cost.asked))


# A network's parameters by width, by depth, and what a head of fixed size adds.
@pytest.mark.parametrize(
    ("cost", "most"),
    [
        (lambda size: 9 * size**2 + 30 * size + 10, 14),
        (lambda size: 97_216 * size + 75_290, 14),
        (lambda size: 20_000_000 + size**2, 24),
        (lambda size: size**2 // 1000, 25),
    ],
    ids=["square", "line", "mostly constant", "plateaus"],
)
def test_few_costs_are_computed(cost: Callable[[int], int], most: int) -> None:
    candidates = range(1, 64 * 4096 + 1)
    used = 0
    for exponent in range(3, 41):
        target = int(1.9**exponent)
        match = solve(cost, candidates, target, start=4096)
        used = max(used, match.evaluations)
        around = range(max(match.candidate - 3, 1), min(match.candidate + 4, len(candidates) + 1))
        assert abs(match.residual) == min(abs(cost(size) - target) for size in around)
    assert used <= most


def test_residual_and_tolerance() -> None:
    match = solve(lambda size: 100 * size, range(1, 20), 720, tolerance=0.03)
    assert match == Match(7, 700, 720, 0.03, None, match.evaluations)
    assert match.residual == -20
    assert match.relative_residual == pytest.approx(-1 / 36)
    assert match.within
    assert not solve(lambda size: 100 * size, range(1, 20), 720, tolerance=0.0277).within
    assert solve(lambda size: 100 * size, range(1, 20), 700, tolerance=0).within


def test_of_two_equally_near_the_smaller() -> None:
    assert solve(lambda size: 100 * size, range(1, 20), 750).candidate == 7
    assert solve([5, 7, 7, 7, 7, 7, 7, 7, 20].__getitem__, range(9), 8, start=8).candidate == 1
    assert solve([5, 7, 12, 12, 12, 12, 12, 12, 20].__getitem__, range(9), 11, start=8).candidate == 2


def test_a_target_out_of_reach_has_the_nearest_and_says_so() -> None:
    below = solve(lambda size: 100 * size, range(1, 20), 50)
    assert (below.candidate, below.limit, below.within) == (1, "smallest", False)
    above = solve(lambda size: 100 * size, range(1, 20), 5000, start=4)
    assert (above.candidate, above.limit, above.within) == (19, "largest", False)
    assert solve(lambda size: 100 * size, range(1, 20), 100).limit is None
    assert solve(lambda size: 100 * size, range(1, 20), 1900).limit is None
    assert solve(lambda _: 7, [3], 7).candidate == 3


def test_costs_that_fall_near_the_answer_are_all_tried() -> None:
    # Plain ResNets of 18, 34, 50, 101 and 152 layers for ten classes: without projections 50 has fewer than 34.
    depths, costs = [18, 34, 50, 101, 152], [11_003_850, 21_106_122, 20_750_922, 39_742_000, 55_385_000]
    for target in (20_700_000, 20_750_922, 21_106_122):
        match = solve(dict(zip(depths, costs, strict=True)).__getitem__, depths, target, start=18)
        assert match.candidate == depths[nearest(costs, target)]
    # The fall from 60 to 55 is beside the answer; what is nearest lies three to six places further on.
    costs = [10, 20, 30, 40, 50, 60, 55, 70, 80, 90, 57, 110, 120, 130]
    for start in range(len(costs)):
        assert solve(costs.__getitem__, range(len(costs)), 57, start=start).candidate == 10


def test_candidates_need_not_be_neighbouring_numbers() -> None:
    assert solve(lambda depth: depth**2, [8, 14, 20, 26, 32], 700, start=20).candidate == 26
    assert solve(lambda depth: depth**2, [8, 14, 20, 26, 32], 700, start=21).candidate == 26


@pytest.mark.parametrize(
    ("candidates", "target", "tolerance", "message"),
    [
        ([], 5, 0.02, "candidates: there are none"),
        ([1], 0, 0.02, "target=0: must be at least 1"),
        ([1], 5, -0.1, "tolerance=-0.1: must be from 0 to below 1"),
        ([1], 5, 1.0, "tolerance=1.0: must be from 0 to below 1"),
        ([1], 5, float("nan"), "tolerance=nan: must be from 0 to below 1"),
    ],
)
def test_a_bad_argument_is_named(candidates: list[int], target: int, tolerance: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        solve(lambda size: size, candidates, target, tolerance=tolerance)
