"""What it takes to reach an error, censored where it was not reached, and verdicts that censoring never favours."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from experiments.errors import UserError
from experiments.runs.result import RunResult
from experiments.studies.answers import answer, power_sentences
from experiments.studies.claims import claims_of
from experiments.studies.claims_said import claim_said, said
from experiments.studies.comparison import Replicate
from experiments.studies.contrasts import parse_contrast
from experiments.studies.curves import Curves
from experiments.studies.named_claim import NamedClaim
from experiments.studies.reaching import Need, ends, epochs_needed, level_needed, needs
from experiments.studies.study import Study, checked
from experiments.studies.verdict import Verdict, judge
from tests.experiments.studies.test_answers import ERROR, run

SAMPLES = ("10", "50", "100", "500")
FEWER: Mapping[str, object] = {"contrast": "deep - shallow", "reach": 20, "over": "samples", "is": "lower"}


def study(claims: Mapping[str, Mapping[str, object]], **fields: object) -> Study:
    factors = {
        "depth": {"shallow": ["d=1"], "deep": ["d=2"]},
        "samples": {level: [f"n={level}"] for level in SAMPLES},
    }
    return checked({"question": "?", "factors": factors, "seeds": 4, "metric": ERROR, "claims": claims, **fields}, "")


def runs(table: Mapping[str, Sequence[float]], spread: float = 0.5, seeds: int = 4) -> list[Replicate]:
    """Runs whose errors rise with the seed, those of the last arm faster."""
    return [
        run(f"{arm}.samples{level}", seed, test__top1_error=error + spread * seed * (1 + place))
        for place, (arm, errors) in enumerate(table.items())
        for level, error in zip(SAMPLES, errors, strict=True)
        for seed in range(seeds)
    ]


def verdict(claim: Mapping[str, object], replicates: Sequence[Replicate]) -> Verdict:
    (found,) = answer(study({"it": claim}), [], replicates)
    return found


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({10: 60, 100: 20, 1000: 5}, (100, 100)),
        ({10: 30, 1000: 10}, (100, 100)),  # half-way down is half-way along the logarithm
        ({1000: 10, 10: 30}, (100, 100)),
        ({10: 40, 100: 30, 1000: 10}, (10**2.5, 10**2.5)),
        ({10: 40, 100: 21}, (100, math.inf)),
        ({10: 20, 100: 30}, (0, 10)),
        ({10: 40, 100: 20, 1000: 30}, (100, 100)),  # what is lost again was reached
        ({10: 40, 100: 20, 1000: math.nan}, (100, 100)),
    ],
)
def test_the_level_that_is_needed(errors: Mapping[float, float], expected: tuple[float, float]) -> None:
    need = level_needed(errors, 20)
    assert need is not None
    assert (need.low, need.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    "errors", [{10: math.nan, 100: 20}, {10: 40, 100: math.nan, 1000: 10}, {10: 40, 100: math.nan}]
)
def test_a_missing_run_that_could_have_been_the_first_leaves_nothing(errors: Mapping[float, float]) -> None:
    assert level_needed(errors, 20) is None


def test_the_epochs_that_are_needed() -> None:
    course = [(10, 60.0), (20, 30.0), (30, 19.0), (40, 25.0)]
    assert epochs_needed(course, 20, epochs=4, steps=40) == Need(3, 3)
    assert epochs_needed(course[::-1], 20, epochs=4, steps=40) == Need(3, 3)
    assert epochs_needed(course, 18, epochs=4, steps=40) == Need(4, math.inf)
    # The last of five epochs ended after one step of ten.
    assert epochs_needed([*course, (41, 17.0)], 20, epochs=5, steps=41) == Need(3, 3)
    assert epochs_needed([*course, (41, 17.0)], 18, epochs=5, steps=41) == Need(5, 5)
    # Validated every second epoch.
    assert epochs_needed([(20, 30.0), (40, 10.0)], 20, epochs=4, steps=40) == Need(4, 4)


def test_between_which_ends_a_contrast_lies() -> None:
    own = {"a": Need(50, 50), "b": Need(500, math.inf), "c": Need(0, 10)}
    arms = list(own)
    assert ends(parse_contrast("a - b", arms), own) == (-math.inf, -450)
    assert ends(parse_contrast("b - a", arms), own) == (450, math.inf)
    assert ends(parse_contrast("a - c", arms), own) == (40, 50)
    assert ends(parse_contrast("a / b", arms), own) == (0, 0.1)
    assert ends(parse_contrast("b / a", arms), own) == (10, math.inf)
    assert ends(parse_contrast("a / c", arms), own) == (5, math.inf)
    assert ends(parse_contrast("0.5*a + 0.5*c - b", arms), own) == (-math.inf, -470)


def test_a_claim_is_on_arms_without_the_factor() -> None:
    found = verdict(FEWER, runs({"shallow": (60, 40, 25, 10), "deep": (50, 22, 15, 5)}))
    assert found.outcome == "supported"
    assert found.effect is not None
    shallow, deep = 100 * 5 ** (5 / 15), 50 * 2 ** (2 / 7)
    assert found.effect.values[0] == pytest.approx(deep - shallow)
    (told,) = said({"it": study({"it": FEWER}).claims["it"]}, {"it": found}, ERROR)
    assert told.claim == "deep - shallow in samples to reach 20 % top-1 error: lower"
    assert told.numbers.startswith(f"{found.effect.mean:+.2f} samples, 95 % interval [")


def test_a_bound_supports_a_claim_with_the_end_that_shows_least() -> None:
    table = {"shallow": (60, 40, 25, 21), "deep": (50, 22, 15, 5)}
    found = verdict(FEWER, runs(table))
    assert found.outcome == "supported"
    assert found.effect is not None
    assert found.effect.values[0] == pytest.approx(50 * 2 ** (2 / 7) - 500)
    assert found.effect.bound == "at most"
    (told,) = said({"it": study({"it": FEWER}).claims["it"]}, {"it": found}, ERROR)
    assert told.numbers.startswith(f"at most {found.effect.mean:+.2f} samples, 95 % interval up to ")
    assert "shallow needs more than 500 at seeds 0, 1, 2, 3" in found.reason
    refuted = verdict({**FEWER, "contrast": "shallow - deep"}, runs(table))
    assert refuted.outcome == "refuted"
    assert refuted.effect is not None
    assert refuted.effect.values[0] == pytest.approx(500 - 50 * 2 ** (2 / 7))
    assert refuted.effect.bound == "at least"
    # The same runs cannot show that the difference is not even larger.
    assert verdict({**FEWER, "is": "higher", "margin": 1}, runs(table)).outcome == "refuted"
    assert verdict({**FEWER, "is": "equivalent", "margin": 1000}, runs(table)).outcome == "undecided"
    assert verdict({**FEWER, "is": "lower", "margin": 450}, runs(table)).outcome == "undecided"


def test_where_no_arm_reached_it_nothing_is_known() -> None:
    table = {"shallow": (60, 40, 25, 21), "deep": (50, 22, 21, 19.2)}
    for kind in (
        {"is": "lower"},
        {"is": "higher"},
        {"is": "not_worse", "margin": 1000},
        {"is": "equivalent", "margin": 9},
    ):
        found = verdict({**FEWER, **kind}, runs(table))
        assert found.outcome == "undecided"
        assert found.effect is None
        assert found.reason.startswith(
            "nothing bounds the contrast from below at seeds 0, 1, 2, 3 nor from above at seed"
        )
        assert "deep needs more than 500 at seeds 1, 2, 3" in found.reason
        assert found.left_out == ()


def test_ratios_are_bounded_too() -> None:
    half = {**FEWER, "contrast": "deep / shallow", "margin": 0.5}
    assert verdict(half, runs({"shallow": (60, 40, 25, 21), "deep": (50, 22, 15, 5)})).outcome == "supported"
    left = runs({"shallow": (60, 19, 18, 10), "deep": (18, 15, 15, 5)})
    assert verdict({**FEWER, "contrast": "deep / shallow"}, left).outcome == "supported"
    # Both ends are known here, and the effect is that of the one which says least for the claim.
    found = verdict(FEWER, left)
    assert found.effect is not None
    assert found.effect.values[0] == pytest.approx(10 - 10 * 5 ** (40 / 41))
    assert verdict({**FEWER, "contrast": "shallow / deep"}, left).outcome == "refuted"


def test_one_seed_and_equal_bounds_show_nothing() -> None:
    table = {"shallow": (60, 40, 25, 21), "deep": (50, 22, 15, 5)}
    single = verdict(FEWER, runs(table, seeds=1))
    assert single.outcome == "undecided"
    assert single.reason.startswith("a single seed says nothing")
    assert single.left_out == (1, 2, 3)
    alike = verdict(FEWER, runs(table, spread=0.0))
    assert alike.outcome == "undecided"
    assert alike.reason.startswith("all 4 seeds give the same bound")
    # Nothing can be shown of a border that far away, and yet the bounds differ.
    far = verdict({**FEWER, "contrast": "shallow - deep", "is": "higher", "margin": 1e9}, runs(table))
    assert far.outcome == "undecided"
    assert "the same bound" not in far.reason


def test_censoring_favours_no_claim() -> None:
    """Arms of one distribution, cut off at its middle: a wrong verdict stays as rare as it may be."""
    random = np.random.default_rng(0)
    arms = ("a", "b")
    claim = NamedClaim("it", parse_contrast("a - b", arms), "lower")
    wrong = {"supported": 0, "refuted": 0, "undecided": 0}
    for _ in range(1500):
        drawn = {arm: np.exp(random.normal(3.0, 0.7, 5)) for arm in arms}
        limit = 40.0
        reached = {
            arm: {
                seed: Need(value, value) if value <= limit else Need(limit, math.inf)
                for seed, value in enumerate(values)
            }
            for arm, values in drawn.items()
        }
        (found,) = judge([claim], {}, range(5), {"it": reached})
        wrong[found.outcome] += 1
    assert 0 < wrong["supported"] < 1500 * 0.035
    assert 0 < wrong["refuted"] < 1500 * 0.035


def test_without_bounds_it_is_the_usual_test() -> None:
    arms = ("a", "b")
    claim = NamedClaim("it", parse_contrast("a - b", arms), "not_worse", margin=1)
    numbers = {"a": {0: 3.0, 1: 4.5, 2: 4.0}, "b": {0: 3.5, 1: 4.0, 3: 1.0}}
    reached = {arm: {seed: Need(value, value) for seed, value in own.items()} for arm, own in numbers.items()}
    assert judge([claim], {}, range(5), {"it": reached}) == judge([claim], {"it": numbers}, range(5))


def learnt(arm: str, seed: int, *errors: float) -> tuple[Replicate, list[tuple[int, float]]]:
    replicate = run(arm, seed, spent__epochs=float(len(errors)), spent__steps=10.0 * len(errors), test__top1_error=9.0)
    result = RunResult(**{**vars(replicate.result), "run_id": f"{arm}{seed}"})
    course = [(10 * epoch, error) for epoch, error in enumerate(errors, start=1)]
    return Replicate(arm, seed, "FINISHED", result, None), course


def test_epochs_are_counted_on_the_validation_split_of_each_run() -> None:
    arms = {"a": {"overrides": ["x=1"], "role": "baseline"}, "b": {"overrides": ["x=2"]}}
    claim: dict[str, Any] = {"contrast": "b - a", "reach": 20, "over": "epochs", "is": "lower"}
    asked = study({"it": claim}, arms=arms, factors={})
    found = [learnt("a", seed, 60, 40, 30, 25 - 5 * (seed == 2)) for seed in range(3)]
    found += [learnt("b", seed, 60, 20 + 5 * (seed == 1), 10, 5) for seed in range(3)]
    curves = Curves("val/top1_error", {run.label: course for run, course in found})
    replicates = [run for run, _ in found]
    assert needs(asked, asked.claims["it"], replicates, curves) == {
        "a": {0: Need(4, math.inf), 1: Need(4, math.inf), 2: Need(4, 4)},
        "b": {0: Need(2, 2), 1: Need(3, 3), 2: Need(2, 2)},
    }
    (judged,) = answer(asked, [], replicates, curves)
    assert judged.outcome == "supported"
    assert judged.left_out == (3,)
    assert claim_said(asked.claims["it"], ERROR) == "b - a in epochs to reach 20 % validation top-1 error: lower"


def test_the_smallest_effect_is_not_told_in_points() -> None:
    (told,) = power_sentences(study({"it": FEWER}), runs({"shallow": (60, 40, 25, 10), "deep": (50, 22, 15, 5)}))
    assert "standard deviations of deep - shallow" in told


@pytest.mark.parametrize(
    ("claim", "complaint"),
    [
        ({"over": "sampels"}, r"claims\.it\.over=sampels: no such factor; did you mean 'samples'"),
        ({"over": "depth"}, r"claims\.it\.over=depth: its levels must be numbers above 0, and 'shallow' is none"),
        ({"contrast": "deep.samples10 - shallow.samples10"}, r"claims\.it: contrast=.*'deep\.samples10' is no arm"),
        (
            {"on": "time/train_seconds"},
            r"claims\.it\.reach: goes with errors and losses, which fall; not with on: time",
        ),
        (
            {"over": "epochs", "on": "test/loss"},
            r"claims\.it\.over=epochs: goes with the study's metric test/top1_error",
        ),
        ({"over": None}, r"claims\.it: reach, over: go together"),
        ({"reach": None}, r"claims\.it: reach, over: go together"),
        ({"reach": -1}, r"claims\.it\.reach=-1: must be a number from 0"),
        ({"is": "equal"}, r"claims\.it: is: equal is for measures"),
    ],
)
def test_what_cannot_be_claimed_is_one_line(claim: Mapping[str, object], complaint: str) -> None:
    stated = {key: value for key, value in {**FEWER, **claim}.items() if value is not None}
    with pytest.raises(UserError, match=complaint):
        claims_of(study({"it": stated}))


def test_a_factor_that_does_not_vary_everywhere_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"claims\.it\.over=samples: it must vary in every arm, and 'when' ties it to samples"
    ):
        claims_of(study({"it": FEWER}, when={"samples": {"depth": ["deep"]}}))
    epochs = {"epochs": {"5": ["e=5"], "9": ["e=9"]}, "depth": {"shallow": ["d=1"], "deep": ["d=2"]}}
    with pytest.raises(UserError, match=r"claims\.it\.over=epochs: is also the name of a factor"):
        claims_of(study({"it": {**FEWER, "over": "epochs"}}, factors=epochs))


def test_a_factor_that_goes_with_others_takes_them_along() -> None:
    factors = {
        "depth": {"shallow": ["d=1"], "deep": ["d=2"]},
        "samples": {"10": ["n=10"], "50": ["n=50"]},
        "rounds": {"90": ["e=90"], "18": ["e=18"]},
    }
    asked = study({"it": FEWER}, factors=factors, zip=[["samples", "rounds"]])
    replicates = [
        run(f"{arm}.samples{level}", 0, test__top1_error=error)
        for arm, level, error in (("shallow", 10, 40.0), ("shallow", 50, 30.0), ("deep", 10, 40.0), ("deep", 50, 20.0))
    ]
    found = needs(asked, asked.claims["it"], replicates, Curves(""))
    assert found == {"shallow": {0: Need(50, math.inf)}, "deep": {0: Need(50, 50)}}
