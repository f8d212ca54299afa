"""The smallest effect that seeds detect, against printed tables and against the noncentral t."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments.studies.intervals import tail_below
from experiments.studies.power import detectable, power_of


@pytest.mark.parametrize(
    ("n", "effect"),
    # G*Power 3.1, matched pairs, two-sided 5 %, power 0.80; Cohen (1988) prints the same to two digits.
    [(5, 1.682), (10, 0.996), (20, 0.660), (34, 0.495), (100, 0.283)],
)
def test_printed_tables(n: int, effect: float) -> None:
    assert detectable(n) == pytest.approx(effect, abs=6e-4)


@pytest.mark.parametrize("claims", [1, 4, 20])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 40, 1000])
def test_the_noncentral_t_agrees(n: int, claims: int) -> None:
    effect = detectable(n, claims=claims)
    assert effect is not None
    quantile = stats.t.ppf(1 - 0.025 / claims, n - 1)
    assert stats.nct.sf(quantile, n - 1, effect * math.sqrt(n)) == pytest.approx(0.8, abs=1e-4)
    assert power_of(effect, n, claims=claims) == pytest.approx(0.8, abs=1e-9)
    assert power_of(0, n, claims=claims) == pytest.approx(0.025 / claims, rel=1e-3)


def test_simulated() -> None:
    effect = detectable(5, 0.4, claims=3)
    assert effect is not None
    differences = np.random.default_rng(1).normal(-effect, 0.4, size=(20_000, 5))
    shown = int((tail_below(differences, 0) < 0.025 / 3).sum())
    assert stats.binomtest(shown, 20_000, 0.8).pvalue > 0.001


def test_it_scales_with_the_deviation_and_grows_with_claims_and_power() -> None:
    one = detectable(6)
    assert one is not None
    assert detectable(6, 2.5) == pytest.approx(2.5 * one)
    assert (detectable(6, claims=2) or 0) > one
    assert (detectable(6, power=0.9) or 0) > one
    assert detectable(6, 0) == 0


def test_one_seed_shows_nothing() -> None:
    assert detectable(1) is None
    assert detectable(0) is None
