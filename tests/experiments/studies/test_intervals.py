"""Intervals against numbers worked out by hand and against SciPy's bootstrap; their tests say the same as they do."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.studies import intervals
from experiments.studies.intervals import ALPHA, Estimate, bounds, estimate, p_above, p_below, tail_below

SKEWED = [0.1, 0.2, 0.2, 0.4, 0.5, 0.7, 0.9, 1.3, 2.1, 5.0]


def of(values: Sequence[float]) -> Estimate:
    found = estimate(values)
    assert found is not None
    return found


def test_below_ten_values_it_is_students() -> None:
    values = SKEWED[1:]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = of(values)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert (found.method, found.n) == ("t", 9)
    assert found.half_width == pytest.approx(high - found.mean, rel=1e-12)


@pytest.mark.parametrize("n", [10, 11, 25])
def test_from_ten_on_each_end_is_the_wider_of_students_and_scipys_bca(n: int) -> None:
    values = np.random.default_rng(n).exponential(size=n)
    quantile = stats.t.ppf(0.975, n - 1)
    widened = 1 - 2 * stats.norm.sf(math.sqrt(n / (n - 1)) * quantile)
    bca = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=intervals.RESAMPLES,
        confidence_level=widened,
        method="BCa",
        random_state=np.random.default_rng(intervals.SEED),
    ).confidence_interval
    student = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = of(list(values))
    # Skewed to the right: the bootstrap reaches further up, Student's t further down. Resamples that are equal but for
    # rounding move SciPy's bias a little.
    assert bca.high > student.high
    assert student.low < bca.low
    assert (found.low, found.high) == pytest.approx((student.low, bca.high), rel=1e-3)
    assert found.method == "t and BCa bootstrap"
    assert found.half_width is None
    assert found.errors == pytest.approx((found.mean - student.low, bca.high - found.mean), rel=1e-3)


def test_the_same_values_have_the_same_interval_and_mirrored_ones_a_mirrored_one() -> None:
    found, mirrored = of(SKEWED), of([-value for value in SKEWED])
    assert found == of(SKEWED)
    assert mirrored.low == pytest.approx(-(found.high or 0), rel=1e-12)
    assert mirrored.high == pytest.approx(-(found.low or 0), rel=1e-12)


def test_scale_and_origin_do_not_matter() -> None:
    found, moved = of(SKEWED), of([1e6 * value + 3e6 for value in SKEWED])
    assert found.low is not None
    assert found.high is not None
    assert (moved.low, moved.high) == pytest.approx((1e6 * found.low + 3e6, 1e6 * found.high + 3e6), rel=1e-9)


def test_thousands_of_values_need_no_bootstrap() -> None:
    values = list(np.random.default_rng(0).normal(size=intervals.MOST + 1))
    assert of(values).method == "t"


def test_where_there_is_no_spread_there_is_no_interval() -> None:
    third = 100 / 359
    for values in ([4.0], [2.0] * 3, [0.0] * 12, [third, 4 * third - 3 * third], [1e6, 1e6 + 1e-5]):
        found = of(values)
        assert (found.low, found.high, found.half_width, found.errors) == (None, None, None, None)
        assert found.mean == pytest.approx(values[0])
        assert found.method == "none"
        assert (p_below(values, 1e9), p_above(values, -1e9)) == (1, 1)
    assert estimate([]) is None
    assert p_below([], 0) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    for call in (lambda: estimate([1.0, value]), lambda: p_below([1.0, value], 0), lambda: p_above([1.0, value], 0)):
        with pytest.raises(ValueError, match="has no place in a mean"):
            call()


@pytest.mark.parametrize("border", [-1.0, 0.0, 1.2, 4.0])
def test_below_ten_values_p_is_that_of_students_test(border: float) -> None:
    values = SKEWED[1:]
    assert p_below(values, border) == pytest.approx(stats.ttest_1samp(values, border, alternative="less").pvalue)
    assert p_above(values, border) == pytest.approx(stats.ttest_1samp(values, border, alternative="greater").pvalue)


finite = st.floats(-50, 50).map(lambda value: round(value, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=2, max_size=14), st.floats(1e-6, 3.0))
def test_a_test_shows_exactly_what_the_interval_leaves_out(values: list[float], aside: float) -> None:
    found = of(values)
    if found.low is None or found.high is None:
        return
    step = aside * (found.high - found.low)
    assert p_below(values, found.high + step) < ALPHA < p_below(values, found.high - step)
    assert p_above(values, found.low - step) < ALPHA < p_above(values, found.low + step)


def test_p_falls_as_the_border_goes_away() -> None:
    for values in (SKEWED, [-value for value in SKEWED]):
        found = [p_below(values, border) for border in np.linspace(-6, 12, 200)]
        assert found == sorted(found, reverse=True)
        assert found[0] > 0.99
        assert found[-1] < 1e-4


def test_beyond_all_resamples_students_test_speaks_alone() -> None:
    assert p_below(SKEWED, 5.5) == pytest.approx(stats.ttest_1samp(SKEWED, 5.5, alternative="less").pvalue)
    assert p_below(SKEWED, 2.0) > 1.5 * stats.ttest_1samp(SKEWED, 2.0, alternative="less").pvalue


def test_many_at_once_are_what_each_is_by_itself() -> None:
    values = np.random.default_rng(3).exponential(size=(4, 12))
    low, high = bounds(values)
    tails = tail_below(values, 1.5)
    for place, row in enumerate(values):
        one = of(list(row))
        assert (low[place], high[place]) == pytest.approx((one.low, one.high))
        assert tails[place] == pytest.approx(p_below(list(row), 1.5))
