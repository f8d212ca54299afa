"""Verdicts on single claims and on families: worked out by hand, kind by kind."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest
from scipy import stats

from experiments.studies.contrasts import Number, parse_contrast
from experiments.studies.intervals import ALPHA, estimate
from experiments.studies.named_claim import NamedClaim
from experiments.studies.verdict import Verdict, holm, judge

ARMS = ["new", "base", "other"]
# Mean 0, standard error 0.303: the interval is ± 0.842.
NOISE = [-0.8, -0.6, 0.2, 0.4, 0.8]


def claim(kind: str, contrast: str = "new - base", name: str = "claim", **keys: object) -> NamedClaim:
    stated: dict[str, Any] = {"kind": kind, **keys}
    return NamedClaim(name, parse_contrast(contrast, ARMS), **stated)


def of(stated: NamedClaim, new: Sequence[Number], base: Sequence[Number] | None = None) -> Verdict:
    arms = {"new": dict(enumerate(new)), "base": dict(enumerate(base or [0] * len(new)))}
    (verdict,) = judge([stated], {stated.name: arms})
    return verdict


def around(mean: float) -> list[float]:
    return [mean + one for one in NOISE]


@pytest.mark.parametrize(
    ("kind", "keys", "outcomes"),
    # Of contrasts around -5, -2, -0.5, 0, 0.5, 2 and 5; the interval reaches 0.842 to each side.
    [
        ("lower", {}, "s s u u u r r"),
        ("lower", {"margin": 2.0}, "s u r r r r r"),
        ("higher", {}, "r r u u u s s"),
        ("higher", {"margin": 2.0}, "r r r r r u s"),
        ("not_worse", {"margin": 2.0}, "s s s s s u r"),
        ("not_worse", {"margin": 2.0, "better": "higher"}, "r u s s s s s"),
        ("equivalent", {"margin": 2.0}, "r u s s s u r"),
        ("equivalent", {"margin": 0.5}, "r r u u u r r"),
        ("lower", {"target": 5}, "s s s s s s u"),
        ("equivalent", {"margin": 2.0, "target": 2}, "r r u u u s r"),
    ],
)
def test_what_each_kind_says_of_contrasts(kind: str, keys: dict[str, Any], outcomes: str) -> None:
    found = [of(claim(kind, **keys), around(mean)) for mean in (-5, -2, -0.5, 0, 0.5, 2, 5)]
    assert " ".join(verdict.outcome[0] for verdict in found) == outcomes
    for verdict in found:
        effect = verdict.effect
        assert effect is not None
        assert effect.low is not None
        assert verdict.adjusted == verdict.p_value
        assert (verdict.outcome == "supported") == ((verdict.adjusted or 0) < ALPHA)
        assert (verdict.outcome == "refuted") == ((verdict.contrary or 0) < ALPHA)


def test_the_p_is_that_of_the_textbook_and_the_effect_is_paired() -> None:
    new, base = [1.2, 5.1, 9.4], [1.0, 5.2, 9.0]
    verdict = of(claim("not_worse", margin=1.0), new, base)
    assert verdict.p_value == pytest.approx(
        stats.ttest_rel(new, [one + 1 for one in base], alternative="less").pvalue, rel=1e-9
    )
    assert verdict.contrary == pytest.approx(1 - (verdict.p_value or 0))
    assert verdict.effect == estimate([a - b for a, b in zip(new, base, strict=True)])
    both = of(claim("equivalent", margin=1.0), new, base)
    low = stats.ttest_rel(new, [one - 1 for one in base], alternative="greater").pvalue
    assert both.p_value == pytest.approx(max(low, verdict.p_value or 0))


def test_reasons_say_what_is_shown_and_how_surely() -> None:
    supported, refuted, undecided = (of(claim("lower", margin=2.0), around(mean)) for mean in (-5, 5, -2.5))
    p = stats.ttest_1samp(around(-5), -2, alternative="less").pvalue
    assert supported.reason == f"the contrast is shown to be below -2 (one-sided p = {p:.2g}, below 0.025)"
    assert refuted.reason == "the contrast is shown to be above -2 (one-sided p = less than 0.0001, below 0.025)"
    assert undecided.reason == (
        "5 seeds show the contrast neither below -2 (one-sided p = 0.087) nor above -2 (p = 0.91)"
    )
    both = of(claim("equivalent", margin=2.0), around(5))
    assert "shown to be outside -2 to 2" in both.reason
    assert "neither between -2 and 2" in of(claim("equivalent", margin=2.0), around(2)).reason


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02, 0.02]) == [0.04, 0.04]
    assert holm([]) == []


def family(means: Mapping[str, float], *, exact: int = 0) -> tuple[Verdict, ...]:
    claims = [claim("lower", name=name) for name in means]
    claims += [claim("equal", name=f"exact{number}") for number in range(exact)]
    values: dict[str, Any] = {
        name: {"new": dict(enumerate(around(mean))), "base": dict.fromkeys(range(5), 0.0)}
        for name, mean in means.items()
    }
    values |= {f"exact{number}": {"new": {0: 3}, "base": {0: 3}} for number in range(exact)}
    return judge(claims, values)


def test_several_claims_are_corrected_on_both_sides() -> None:
    alone = family({"a": -1.0})
    assert alone[0].outcome == "supported"
    together = family({"a": -1.0, "b": 0.1, "c": 0.0})
    assert [one.outcome for one in together] == ["undecided"] * 3
    assert together[0].p_value == alone[0].p_value
    assert together[0].adjusted == pytest.approx(3 * (alone[0].p_value or 0))
    assert together[0].effect == alone[0].effect
    assert together[0].reason == (
        "the interval by itself lies below 0, but that is not shown after Holm's correction for 3 claims: "
        "one-sided p = 0.015 becomes 0.045, not below 0.025"
    )
    # Where the others are shown, the last needs no correction.
    assert [one.outcome for one in family({"a": -1.0, "b": -9.0, "c": -9.0})] == ["supported"] * 3
    refuted = family({"a": 1.0, "b": 0.0})
    assert [one.outcome for one in refuted] == ["undecided", "undecided"]
    assert "the interval by itself lies above 0" in refuted[0].reason
    assert [one.outcome for one in family({"a": 1.0, "b": 9.0})] == ["refuted", "refuted"]
    assert [one.outcome for one in family({"a": -1.0, "b": 9.0, "c": 9.0})] == ["undecided", "refuted", "refuted"]


def test_exact_claims_do_not_count_and_claims_without_runs_do() -> None:
    assert family({"a": -1.0}, exact=3)[0].outcome == "supported"
    claims = [claim("lower", name="a"), claim("lower", name="missing")]
    arms = {"new": dict(enumerate(around(-1))), "base": dict.fromkeys(range(5), 0.0)}
    first, second = judge(claims, {"a": arms})
    assert first.outcome == "undecided"
    assert first.adjusted == pytest.approx(2 * (first.p_value or 0))
    assert (second.outcome, second.effect, second.p_value) == ("undecided", None, None)
    assert second.reason == "no seed has finished and recorded it in all its arms"


@pytest.mark.parametrize("kind", ["lower", "higher", "not_worse", "equivalent"])
def test_without_spread_nothing_is_shown(kind: str) -> None:
    margin = {"not_worse": 1.0, "equivalent": 1.0}.get(kind, 0)
    unit = 100 / 359
    same = of(claim(kind, margin=margin), [4 * unit, 8 * unit, 9 * unit], [3 * unit, 7 * unit, 8 * unit])
    assert same.outcome == "undecided"
    assert same.reason == "all 3 seeds give the same number to rounding, from which no spread can be estimated"
    assert same.effect is not None
    assert same.effect.low is None
    zeros = of(claim(kind, margin=margin), [5.0] * 12, [5.0] * 12)
    assert (zeros.outcome, zeros.p_value) == ("undecided", None)
    single = of(claim(kind, margin=margin), [-9.0])
    assert single.outcome == "undecided"
    assert single.reason == "a single seed says nothing of how much seeds differ"


def test_equal_is_exact() -> None:
    weights = claim("equal", "new / base", target=Fraction(18, 25))
    verdict = of(weights, [18 * 4096.0] * 3, [25 * 4096.0] * 3)
    assert (verdict.outcome, verdict.p_value, verdict.adjusted, verdict.contrary) == ("supported", None, None, None)
    assert verdict.reason == "exactly 18/25, as claimed"
    assert verdict.effect is not None
    assert (verdict.effect.mean, verdict.effect.low, verdict.effect.method) == (0.72, None, "exact")
    off = of(weights, [18 * 4096 + 1] * 3, [25 * 4096] * 3)
    assert off.outcome == "refuted"
    assert off.reason == f"exactly {Fraction(18 * 4096 + 1, 25 * 4096)}, not 18/25"
    # As large as no binary number holds, and as decimals are written, not as they are stored.
    assert of(claim("equal", target=1), [2**60 + 1], [2**60]).outcome == "supported"
    assert of(claim("equal", target=0.3), [0.4], [0.1]).outcome == "supported"
    assert of(claim("equal"), [7, 7, 7], [7, 7, 7]).reason == "exactly 0, as claimed"
    # What is said is what was claimed: of a measure that is lower, not that it is this number.
    lower = claim("lower", "new / base", exact=True)
    assert of(lower, [18 * 4096.0] * 3, [25 * 4096.0] * 3).reason == "exactly 18/25, below 1"


def test_one_value_that_is_not_so_refutes_an_exact_claim() -> None:
    verdict = of(claim("equal"), [7, 8, 7, 9], [7, 7, 7, 7])
    assert (verdict.outcome, verdict.reason) == ("refuted", "exactly 1, 2 at seeds 1, 3, not 0")


@pytest.mark.parametrize(
    ("kind", "margin", "value", "outcome"),
    [
        ("lower", 0, -1, "supported"),
        ("lower", 0, 0, "refuted"),
        ("lower", 100, -100, "refuted"),
        ("higher", 0, 1, "supported"),
        ("not_worse", 10, 9, "supported"),
        ("not_worse", 10, 10, "refuted"),
        ("equivalent", 10, -10, "supported"),
        ("equivalent", 10, 11, "refuted"),
    ],
)
def test_measures_are_judged_as_they_are(kind: str, margin: int, value: int, outcome: str) -> None:
    verdict = of(claim(kind, margin=margin, exact=True), [value] * 3)
    assert (verdict.outcome, verdict.adjusted) == (outcome, None)


def test_a_share_is_exact_at_its_border() -> None:
    stated = claim("equivalent", "new / base", margin=0.02, exact=True)
    assert of(stated, [102], [100]).outcome == "supported"
    assert of(stated, [98], [100]).outcome == "supported"
    assert of(stated, [10201], [10000]).outcome == "refuted"


def test_ratios_are_tested_on_the_log_scale() -> None:
    new, base = [50.0, 60.0, 110.0], [100.0, 110.0, 230.0]
    verdict = of(claim("lower", "new / base"), new, base)
    logs = [math.log(a / b) for a, b in zip(new, base, strict=True)]
    assert verdict.p_value == pytest.approx(stats.ttest_1samp(logs, 0, alternative="less").pvalue)
    assert verdict.outcome == "supported"
    low, high = stats.ttest_1samp(logs, 0).confidence_interval()
    effect = verdict.effect
    assert effect is not None
    assert effect.values == tuple(a / b for a, b in zip(new, base, strict=True))
    assert (effect.mean, effect.low, effect.high) == pytest.approx(
        (math.exp(sum(logs) / 3), math.exp(low), math.exp(high))
    )
    # Turned over, the claim is turned over.
    upside_down = of(claim("higher", "base / new"), new, base)
    assert upside_down.p_value == pytest.approx(verdict.p_value)
    tenth = of(claim("lower", "new / base", margin=0.4), new, base)
    assert tenth.p_value == pytest.approx(stats.ttest_1samp(logs, math.log(0.6), alternative="less").pvalue)


def test_a_ratio_needs_values_above_zero() -> None:
    verdict = of(claim("lower", "new / base"), [1.0, 2.0, 0.0], [2.0, 4.0, 8.0])
    assert (verdict.outcome, verdict.effect) == ("undecided", None)
    assert verdict.reason == "a ratio needs values above 0, and new has 0 at seed 2"
    assert of(claim("equal", "new / base"), [1, 1], [1, 0]).outcome == "undecided"


def test_missing_replicates_are_left_out_and_named() -> None:
    values = {"new": {0: -1.0, 1: -1.2, 2: math.nan, 3: -0.9}, "base": {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0}}
    (verdict,) = judge([claim("lower")], {"claim": values}, planned=range(6))
    assert verdict.left_out == (2, 4, 5)
    assert verdict.effect is not None
    assert verdict.effect.n == 3
    assert verdict.outcome == "supported"


def test_a_claim_of_several_arms() -> None:
    arms = {"new": {0: 1.0, 1: 2.0, 2: 3.0}, "other": {0: 3.0, 1: 4.2, 2: 4.8}, "base": {0: 1.0, 1: 1.0, 2: 1.0}}
    stated = claim("higher", "0.5*new + 0.5*other - base")
    (verdict,) = judge([stated], {"claim": arms})
    assert verdict.effect is not None
    assert verdict.effect.values == pytest.approx((1.0, 2.1, 2.9))


@pytest.mark.parametrize(
    ("kind", "keys", "reason"),
    [
        ("not_worse", {}, "needs a margin above 0"),
        ("equivalent", {"margin": 0}, "needs a margin above 0"),
        ("lower", {"margin": -1}, "margin=-1 is not a number from 0"),
        ("lower", {"margin": math.nan}, "is not a number from 0"),
        ("equal", {"margin": 1}, "takes no margin"),
        ("lower", {"contrast": "new / base", "margin": 1.0}, "a ratio is above 0"),
    ],
)
def test_claims_that_cannot_be_are_refused(kind: str, keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"claim claim: .*{reason}"):
        claim(kind, **keys)
