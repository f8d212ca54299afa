"""How often intervals miss and verdicts are wrong, simulated: what the 95 % and 5 % that are printed stand on.

Each bound is asserted with what chance allows for the number of trials, at odds of a thousand to one; seeds are fixed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from experiments.studies.contrasts import parse_contrast
from experiments.studies.intervals import Floats, bounds, tail_below
from experiments.studies.named_claim import NamedClaim
from experiments.studies.verdict import Verdict, holm, judge

Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
PICTURES = 360  # of the digits that test; one is 0.28 points


def normal(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return random.normal(size=shape)


def error_differences(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """One arm at 2 % error, the other at 3 % in the mean and sometimes far worse: skewed, on the scale of pictures."""
    chance = 0.01 + random.gamma(2, 0.01, size=shape)
    worse = random.binomial(PICTURES, chance) - random.binomial(PICTURES, 0.02, size=shape)
    return np.asarray(100 / PICTURES * worse - 1.0)


def coarse(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Arms that differ by a picture or two, if at all."""
    one, other = (np.round(random.normal(5, 0.6, size=shape)) for _ in range(2))
    return np.asarray(100 / PICTURES * (one - other))


def misses(values: Floats) -> tuple[int, int]:
    """Return how many intervals of values `(trials, n)` lie below 0 and above it, in parts that need little memory."""
    parts = [bounds(part) for part in np.array_split(values, max(1, values.size // 1_000))]
    return sum(int((high < 0).sum()) for _, high in parts), sum(int((low > 0).sum()) for low, _ in parts)


def at_most(wrong: int, trials: int, rate: float) -> bool:
    """Whether so many wrong ones are what chance allows at `rate`."""
    return bool(stats.binomtest(wrong, trials, rate, alternative="greater").pvalue > 0.001)


@pytest.mark.parametrize("draw", [normal, error_differences])
@pytest.mark.parametrize(("n", "trials"), [(3, 40_000), (5, 40_000), (10, 2_500), (20, 2_500)])
def test_intervals_cover(draw: Draw, n: int, trials: int) -> None:
    values = draw(np.random.default_rng(n), (trials, n))
    values = values[np.ptp(values, axis=1) > 0]
    covered = len(values) - sum(misses(values))
    # Not only in the sample: at least 93 % at odds of a thousand to one.
    assert stats.binomtest(covered, len(values)).proportion_ci(0.998).low >= 0.93


def test_the_bootstrap_is_what_skewed_values_need() -> None:
    values = np.random.default_rng(2).chisquare(4, size=(2_500, 10)) - 4
    student = stats.ttest_1samp(values, 0, axis=1).pvalue < 0.05
    assert sum(misses(values)) < 0.07 * 2_500 < student.sum()


def verdicts(kinds: list[dict[str, Any]], draws: list[Floats]) -> list[tuple[Verdict, ...]]:
    """Return the verdicts on a family for each trial; `draws` are the contrasts `(trials, n)` of each of its claims."""
    contrast = parse_contrast("new - base", ["new", "base"])
    claims = [NamedClaim(str(place), contrast, **kind) for place, kind in enumerate(kinds)]
    base = dict.fromkeys(range(draws[0].shape[1]), 0.0)
    return [
        judge(
            claims,
            {
                str(place): {"new": dict(enumerate(draw[trial].tolist())), "base": base}
                for place, draw in enumerate(draws)
            },
        )
        for trial in range(len(draws[0]))
    ]


def decided(families: list[tuple[Verdict, ...]]) -> int:
    return sum(any(one.outcome != "undecided" for one in family) for family in families)


@pytest.mark.parametrize("draw", [normal, coarse])
@pytest.mark.parametrize("n", [3, 5])
def test_a_verdict_on_no_effect_is_rarely_wrong(draw: Draw, n: int) -> None:
    # The contrast is 0: neither lower nor higher, so that any verdict is wrong.
    wrong = decided(verdicts([{"kind": "lower"}], [draw(np.random.default_rng(n), (3_000, n))]))
    assert at_most(wrong, 3_000, 0.05)
    if draw is normal:
        assert wrong > 0.03 * 3_000


@pytest.mark.parametrize("draw", [normal, error_differences])
def test_a_verdict_on_no_effect_is_rarely_wrong_with_the_bootstrap(draw: Draw) -> None:
    below, above = misses(draw(np.random.default_rng(4), (2_500, 10)))
    assert at_most(below + above, 2_500, 0.05)


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_a_family_of_four_on_no_effect_is_rarely_wrong(shared: float) -> None:
    random = np.random.default_rng(6)
    common = random.standard_normal((1_500, 5))
    draws = [shared * common + (1 - shared**2) ** 0.5 * random.standard_normal((1_500, 5)) for _ in range(4)]
    kinds: list[dict[str, Any]] = [
        {"kind": "lower"},
        {"kind": "higher"},
        {"kind": "lower"},
        {"kind": "not_worse", "margin": 1.0},
    ]
    draws[3] = draws[3] + 1.0  # at its border, where either verdict is wrong
    families = verdicts(kinds, draws)
    assert at_most(decided(families), 1_500, 0.05)
    # Each claim by itself, uncorrected, would be wrong too often in the family.
    alone = sum(any(min(one.p_value or 1, 1 - (one.p_value or 0)) < 0.025 for one in family) for family in families)
    assert alone > 0.08 * 1_500


def test_a_family_of_four_with_the_bootstrap() -> None:
    wrong = 0
    for values in np.random.default_rng(7).standard_normal((400, 4, 10)):
        own, contrary = tail_below(values, 0), tail_below(-values, 0)
        wrong += min(*holm(list(own)), *holm(list(contrary))) < 0.025
    assert at_most(wrong, 400, 0.05)


def test_true_claims_in_the_family_do_not_make_the_others_wrong() -> None:
    # Holm's later steps: two claims are so clearly true that they leave the correction to the two without an effect.
    random = np.random.default_rng(8)
    draws = [random.standard_normal((1_500, 5)) + shift for shift in (-30, -30, 0, 0)]
    families = verdicts([{"kind": "lower"}] * 4, draws)
    assert all(family[0].outcome == family[1].outcome == "supported" for family in families)
    wrong = decided([family[2:] for family in families])
    assert at_most(wrong, 1_500, 0.05)
    assert wrong > 0.02 * 1_500


@pytest.mark.parametrize("side", [-1, 1])
def test_equivalence_at_its_border_is_rarely_supported(side: int) -> None:
    draws = normal(np.random.default_rng(9), (2_000, 5)) + 6.0 * side
    found = verdicts([{"kind": "equivalent", "margin": 6.0}], [draws])
    outcomes = [one.outcome for (one,) in found]
    assert at_most(outcomes.count("supported"), 2_000, 0.025)
    assert at_most(decided(found), 2_000, 0.05)


def test_equivalence_with_hardly_a_margin_is_rarely_refuted() -> None:
    draws = normal(np.random.default_rng(10), (2_000, 5))
    found = verdicts([{"kind": "equivalent", "margin": 1e-6}], [draws])
    assert {one.outcome for (one,) in found} == {"refuted", "undecided"}
    assert at_most(decided(found), 2_000, 0.05)


def test_a_mixed_family_at_its_borders_is_rarely_wrong() -> None:
    random = np.random.default_rng(12)
    kinds: list[dict[str, Any]] = [
        {"kind": "equivalent", "margin": 1e-6},
        {"kind": "equivalent", "margin": 6.0},
        {"kind": "lower"},
        {"kind": "not_worse", "margin": 2.0},
    ]
    draws = [normal(random, (1_500, 5)) + border for border in (0, 6.0, 0, 2.0)]
    assert at_most(decided(verdicts(kinds, draws)), 1_500, 0.05)
