"""Means, intervals and contrasts against numbers worked out by hand, and what becomes of missing replicates."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.runs.result import RunResult
from experiments.studies import wording
from experiments.studies.comparison import Comparison, Replicate, compare
from experiments.studies.intervals import estimate

METRIC = "test/top1_error"
# Quantiles of Student's t at 97.5 %, from printed tables.
T1, T2, T3 = 12.7062, 4.30265, 3.18245


def finished(arm: str, seed: int, value: float, *, shape: tuple[int, int, int] = (1, 8, 8)) -> Replicate:
    measures = {"parameters": 56_938.0, "macs": 1_570_000.0, "receptive_field": 34.0}
    metrics = {METRIC: value, "time/train_seconds": 2.0 + seed}
    result = RunResult(
        Path(arm), f"{arm}{seed}", "identity", arm, "FINISHED", seed, {}, shape, metrics=metrics, measures=measures
    )
    return Replicate(arm, seed, "FINISHED", result, None)


def failed(arm: str, seed: int) -> Replicate:
    return Replicate(arm, seed, "FAILED", None, "the loss became nan")


def of(values: Mapping[str, Mapping[int, float]]) -> Comparison:
    """Compare arms given as {arm: {seed: value}}, the first one the baseline."""
    runs = [finished(arm, seed, value) for arm, by_seed in values.items() for seed, value in by_seed.items()]
    return compare(list(values), next(iter(values)), METRIC, runs)


def test_the_interval_of_three_values_is_students() -> None:
    # mean 2, standard deviation 1, standard error 1/sqrt(3)
    found = estimate([1.0, 2.0, 3.0])
    assert found is not None
    assert found.mean == 2
    assert found.half_width == pytest.approx(T2 / math.sqrt(3), rel=1e-5)
    assert (found.low, found.high) == pytest.approx((2 - 2.48414, 2 + 2.48414), rel=1e-5)


def test_the_interval_of_two_and_four_values() -> None:
    two, four = estimate([0.0, 2.0]), estimate([1.0, 1.0, 3.0, 3.0])
    assert two is not None
    assert two.half_width == pytest.approx(T1, rel=1e-5)
    assert four is not None
    assert four.half_width == pytest.approx(T3 * math.sqrt(4 / 3) / 2, rel=1e-5)


def test_one_value_has_no_interval_and_none_has_nothing() -> None:
    one = estimate([4.0])
    assert one is not None
    assert (one.mean, one.low, one.high, one.n) == (4.0, None, None, 1)
    assert estimate([]) is None


def test_contrasts_are_paired_by_seed() -> None:
    # The seeds differ by far more than the arms: only pairing shows the constant gain of one half.
    comparison = of({"base": {0: 1.0, 1: 5.0, 2: 9.0}, "new": {0: 0.4, 1: 4.5, 2: 8.6}})
    (contrast,) = comparison.contrasts
    assert list(contrast.differences.values()) == pytest.approx([-0.6, -0.5, -0.4])
    effect = contrast.effect
    assert effect is not None
    assert effect.mean == pytest.approx(-0.5)
    assert effect.half_width == pytest.approx(T2 * 0.1 / math.sqrt(3), rel=1e-5)
    assert contrast.outcome == "lower"
    base = comparison.arm("base").metric
    assert base is not None
    assert base.half_width == pytest.approx(T2 * 4 / math.sqrt(3), rel=1e-5)


def test_the_order_of_runs_does_not_matter() -> None:
    runs = [finished("base", 0, 1.0), finished("new", 1, 4.5), finished("base", 1, 5.0), finished("new", 0, 0.5)]
    (contrast,) = compare(["base", "new"], "base", METRIC, runs).contrasts
    assert contrast.differences == {0: -0.5, 1: -0.5}


def test_a_seed_that_one_arm_lacks_is_left_out_of_the_contrast_and_said() -> None:
    runs = [finished("base", seed, value) for seed, value in enumerate([1.0, 2.0, 3.0])]
    runs += [finished("new", 0, 1.5), failed("new", 1), finished("new", 2, 3.3)]
    comparison = compare(["base", "new"], "base", METRIC, runs)
    (contrast,) = comparison.contrasts
    assert list(contrast.differences) == [0, 2]
    assert contrast.unpaired == (1,)
    new = comparison.arm("new")
    assert (new.n, len(new.replicates)) == (2, 3)
    assert [(lost.seed, lost.reason) for lost in new.missing] == [(1, "the loss became nan")]
    assert wording.count(new) == "2 of 3"
    assert wording.count(comparison.arm("base")) == "3"
    assert "n = 2 pairs of runs; seed 1 left out" in wording.contrast_numbers(contrast, METRIC)


def test_an_arm_without_any_run_stays_in_the_table() -> None:
    comparison = compare(["base", "new"], "base", METRIC, [finished("base", 0, 1.0), failed("new", 0)])
    new = comparison.arm("new")
    assert (new.metric, new.seconds, new.n, new.input_shape) == (None, None, 0, None)
    told = (wording.with_interval(new.metric), wording.parameters(new), wording.macs(new, comparison))
    assert told == ("-", "-", "-")
    (contrast,) = comparison.contrasts
    assert contrast.outcome == "undecided"
    assert "n = 0" in wording.contrast_numbers(contrast, METRIC)
    assert wording.contrast_answer(contrast, METRIC) == "Undecided: there is nothing to compare."


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_does_not_count(value: float) -> None:
    runs = [finished("base", 0, 1.0), finished("base", 1, value)]
    arm = compare(["base"], "base", METRIC, runs).arm("base")
    assert arm.by_seed == {0: 1.0}
    assert arm.missing[0].reason == f"{METRIC} is {value}"


def test_a_run_that_lacks_the_metric_is_missing_and_an_unknown_metric_is_a_mistake() -> None:
    other = finished("base", 1, 1.0)
    assert isinstance(other.result, RunResult)
    other.result.metrics.pop(METRIC)
    arm = compare(["base"], "base", METRIC, [finished("base", 0, 1.0), other]).arm("base")
    assert arm.missing[0].reason == f"recorded no {METRIC}"
    with pytest.raises(UserError, match=r"metric=test/typo: no run recorded it; allowed: .*test/top1_error"):
        compare(["base"], "base", "test/typo", [finished("base", 0, 1.0)])


@pytest.mark.parametrize(
    ("new", "outcome", "words"),
    [
        ([0.5, 1.6, 2.4], "lower", "new has the lower top-1 error: the whole interval lies below 0."),
        ([1.5, 2.6, 3.4], "higher", "new has the higher top-1 error: the whole interval lies above 0."),
        ([0.5, 2.6, 3.0], "undecided", "Undecided: the interval contains 0, so these 3 seeds do not show"),
    ],
)
def test_what_the_interval_says_is_said(new: list[float], outcome: str, words: str) -> None:
    (contrast,) = of({"base": {0: 1.0, 1: 2.0, 2: 3.0}, "new": dict(enumerate(new))}).contrasts
    assert contrast.outcome == outcome
    assert wording.contrast_answer(contrast, METRIC).startswith(words)


def test_undecided_is_not_said_to_be_equal() -> None:
    (contrast,) = of({"base": {0: 1.0, 1: 2.0}, "new": {0: 2.0, 1: 1.0}}).contrasts
    assert wording.contrast_answer(contrast, METRIC).endswith("that does not show that they are equal.")


def test_equal_differences_decide_nothing() -> None:
    # As errors of 359 pictures are: multiples of 100/359, whose differences agree but for rounding.
    unit = 100 / 359
    (contrast,) = of({"base": {0: 3 * unit, 1: 7 * unit}, "new": {0: 4 * unit, 1: 8 * unit}}).contrasts
    assert contrast.outcome == "undecided"
    assert "no spread can be estimated" in wording.contrast_answer(contrast, METRIC)


def test_one_pair_decides_nothing() -> None:
    (contrast,) = of({"base": {0: 3.0}, "new": {0: 1.0}}).contrasts
    assert contrast.outcome == "undecided"
    assert wording.contrast_numbers(contrast, METRIC) == (
        "new - base: -2.00 points of top-1 error, no interval, n = 1 pair of runs"
    )


def test_several_contrasts_are_said_to_be_uncorrected() -> None:
    two = of({"base": {0: 3.0}, "a": {0: 1.0}})
    three = of({"base": {0: 3.0}, "a": {0: 1.0}, "b": {0: 2.0}})
    assert wording.correction_note(two) == ""
    assert "not corrected for 2 contrasts" in wording.correction_note(three)


def test_an_interval_that_reaches_further_to_one_side_is_said_by_its_ends() -> None:
    skewed = dict(enumerate([0.1, 0.2, 0.2, 0.4, 0.5, 0.7, 0.9, 1.3, 2.1, 5.0]))
    metric = of({"base": skewed}).arm("base").metric
    assert metric is not None
    assert wording.with_interval(metric) == f"1.14 [{metric.low:.2f}, {metric.high:.2f}]"
    assert wording.with_interval(estimate([2.0, 2.0, 2.0])) == "2.00 (no interval)"


def test_macs_never_stand_without_their_input_size() -> None:
    equal = of({"base": {0: 3.0}, "new": {0: 1.0}})
    assert wording.macs_title(equal) == "MACs at 1x8x8"
    assert wording.macs(equal.arm("new"), equal) == "1.57 M"
    runs = [finished("base", 0, 1.0), finished("new", 0, 1.0, shape=(3, 32, 32))]
    mixed = compare(["base", "new"], "base", METRIC, runs)
    assert wording.macs_title(mixed) == "MACs at input size"
    assert wording.macs(mixed.arm("new"), mixed) == "1.57 M at 3x32x32"


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("test/top1_error", "top-1 error (%)"),
        ("val/top5_error", "validation top-5 error (%)"),
        ("test/loss", "loss (nats)"),
        ("test/other", "other"),
        ("plain", "plain"),
    ],
)
def test_metrics_have_names_and_units(metric: str, said: str) -> None:
    assert wording.titled(metric) == said


def test_seconds_and_other_numbers_are_means_over_the_runs_that_count() -> None:
    arm = of({"base": {0: 1.0, 1: 2.0}}).arm("base")
    assert wording.seconds(arm) == "2.5"
    assert wording.parameters(arm) == "56,938"
    assert wording.receptive_field(arm) == "34 px"
    assert wording.with_interval(arm.metric) == f"1.50 ± {T1 * 0.5:.2f}"
