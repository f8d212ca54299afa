"""Claims on metrics and on measures become verdicts; what cannot be claimed is refused before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import stdev

import pytest

from experiments.errors import UserError
from experiments.runs.result import RunResult
from experiments.studies.answers import answer, check_measures, power_sentences
from experiments.studies.claims import check_metric, claims_of
from experiments.studies.comparison import Replicate
from experiments.studies.power import detectable
from experiments.studies.study import Study, checked

ERROR = "test/top1_error"
PARAMETERS = "measure/parameters"


@dataclass(frozen=True)
class Measured:
    name: str
    measures: Mapping[str, float]
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


ARMS = [
    Measured("a", {"parameters": 100.0}, {"stem": {"parameters": 50.0}, "stages.0.0": {"parameters": 50.0}}),
    Measured("b", {"parameters": 86.0}, {"stem": {"parameters": 50.0}, "stages.0.0": {"parameters": 36.0}}),
]


def study(claims: Mapping[str, Mapping[str, object]], **fields: object) -> Study:
    arms = {"a": {"overrides": ["x=1"], "role": "baseline"}, "b": {"overrides": ["x=2"]}}
    return checked({"question": "?", "arms": arms, "seeds": 4, "metric": ERROR, "claims": claims, **fields}, "")


def run(arm: str, seed: int, **metrics: float) -> Replicate:
    named = {name.replace("__", "/"): value for name, value in metrics.items()}
    result = RunResult(Path(arm), "id", "i", arm, "FINISHED", seed, {}, (1, 8, 8), metrics=named)
    return Replicate(arm, seed, "FINISHED", result, None)


def test_verdicts_on_an_error_and_on_layers_of_the_network() -> None:
    asked = study(
        {
            "filters": {
                "contrast": "b / a",
                "on": "measure/parameters",
                "layers": "st*.0",
                "is": "equal",
                "to": "18/25",
            },
            "all": {"contrast": "b / a", "on": PARAMETERS, "is": "equal", "to": "18/25"},
            "error": {"contrast": "b - a", "is": "not_worse", "margin": 1.0},
            "time": {"contrast": "b - a", "on": "time/train_seconds", "is": "lower"},
        }
    )
    runs = [run("a", seed, test__top1_error=5.0 + seed, time__train_seconds=1.0) for seed in range(4)]
    runs += [
        run("b", seed, test__top1_error=5.1 + 1.01 * seed, time__train_seconds=2.0 + 0.1 * seed) for seed in range(4)
    ]
    verdicts = {verdict.claim: verdict for verdict in answer(asked, ARMS, runs)}
    assert {name: verdict.outcome for name, verdict in verdicts.items()} == {
        "filters": "supported",
        "all": "refuted",
        "error": "supported",
        "time": "refuted",
    }
    effect = verdicts["error"].effect
    assert effect is not None
    assert effect.values == pytest.approx((0.1, 0.11, 0.12, 0.13))


def test_what_has_not_finished_or_is_no_number_does_not_count() -> None:
    asked = study({"error": {"contrast": "b - a", "is": "lower"}})
    runs = [run(arm, seed, test__top1_error=float(seed)) for arm in "ab" for seed in (0, 1)]
    runs += [run("a", 2, test__top1_error=1.0), run("b", 2, test__top1_error=float("nan"))]
    runs += [Replicate("a", 3, "FAILED", None, "it broke"), run("b", 3, test__top1_error=1.0)]
    (verdict,) = answer(asked, ARMS, runs)
    assert verdict.left_out == (2, 3)
    assert verdict.effect is not None
    assert verdict.effect.n == 2


@pytest.mark.parametrize(
    ("claim", "complaint"),
    [
        ({"contrast": "b - c", "is": "lower"}, r"claims\.it: contrast='b - c': 'c' is no arm"),
        ({"contrast": "b", "is": "lower"}, r"claims\.it: contrast='b': the coefficients"),
        (
            {"contrast": "b - a", "is": "lower", "on": "test/top1_eror"},
            r"claims\.it\.on=test/top1_eror: no run",
        ),
        ({"contrast": "b - a", "is": "equal"}, r"claims\.it\.is=equal: test/top1_error varies with the seed"),
        ({"contrast": "b / a", "is": "not_worse", "margin": 0.5, "better": "higher"}, None),
        (
            {"contrast": "b / a", "is": "not_worse", "margin": 1, "better": "higher"},
            r"claims\.it: .*margin must",
        ),
    ],
)
def test_claims_that_cannot_be_judged_are_one_line(claim: dict[str, object], complaint: str | None) -> None:
    if complaint is None:
        assert len(claims_of(study({"it": claim}))) == 1
        return
    with pytest.raises(UserError, match=complaint):
        claims_of(study({"it": claim}))


@pytest.mark.parametrize(
    ("claim", "complaint"),
    [
        ({"on": "measure/parametrs"}, r"claims\.it\.on=measure/parametrs: not known of the network of a; did"),
        (
            {"on": "measure/macs", "layers": "blocks.*"},
            r"claims\.it\.layers=blocks\.\*: no layer of a matches; its layers",
        ),
    ],
)
def test_measures_that_are_not_known_are_refused(claim: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        check_measures(study({"it": {"contrast": "b - a", "is": "equal", **claim}}), ARMS)


def test_a_metric_that_no_run_records_is_refused() -> None:
    with pytest.raises(UserError, match=r"metric=test/top1_eror: no run records it; did you mean 'test/top1_error'"):
        check_metric(study({}, metric="test/top1_eror"))


def test_the_smallest_effect_is_in_points_once_the_spread_is_known() -> None:
    asked = study({"error": {"contrast": "b - a", "is": "lower"}, "same": {"contrast": "b - a", "is": "lower"}})
    (first, _) = power_sentences(asked, [])
    smallest = detectable(4, claims=2) or 0.0
    assert (
        first
        == f"error: 4 seeds show, 80 % of the time, an effect of {smallest:.2f} standard deviations of b - a or more"
    )
    runs = [run("a", seed, test__top1_error=1.0) for seed in range(4)]
    runs += [run("b", seed, test__top1_error=1.0 + 0.5 * seed) for seed in range(4)]
    (first, _) = power_sentences(asked, runs)
    points = smallest * stdev([0.0, 0.5, 1.0, 1.5])
    assert f"of {points:.2f} points of top-1 error or more, by the spread of 4 seeds so far" in first
