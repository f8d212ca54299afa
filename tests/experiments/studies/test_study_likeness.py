"""How like a study is to its recorded result, on made-up numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from experiments.studies.arm_likeness import interval_of, margin_of
from experiments.studies.comparison import Comparison, Replicate, compare
from experiments.studies.gather import StoredOutcome
from experiments.studies.made_of import MadeOf
from experiments.studies.reference import (
    FOLDER,
    Reference,
    ReferenceArm,
    ReferenceEnvironment,
    ReferenceRun,
    definition_of,
    reference_file,
)
from experiments.studies.study import Study
from experiments.studies.study_likeness import StudyLikeness, compare_studies

METRIC = "test/top1_error"
ERRORS = (10.0, 11.0, 9.0, 10.5, 9.5)
ARMS = ("base", "other")
STUDY = Study.model_validate(
    {
        "question": "Is it the same?",
        "arms": {"base": {"overrides": ["model=a"], "role": "baseline"}, "other": {"overrides": ["model=b"]}},
        "seeds": 5,
        "metric": METRIC,
        "claim": {"contrast": "other - base", "is": "not_worse", "margin": 1.0},
    }
)
MADE = MadeOf(
    seed=0,
    pictures=1000,
    configuration={
        "seed": 0,
        "datamodule": {"seed": 0, "batch_size": 64},
        "optimizer": {"lr": 0.1, "weight_decay": 0.0001},
        "model": {},
        "trainer": {"accelerator": "cpu"},
    },
    digest="c" * 64,
    data="d" * 64,
    split="s" * 64,
    code={"lightning_modules.networks.filter_stack": "1" * 64, "experiments.runs.build": "2" * 64},
)
MACHINE = {"processor": "P", "cores": 2, "threads": 1, "accelerators": [], "platform": "L"}
SESSION = {"python": "3.11.7", "packages": {"torch": "2.15.0", "rich": "1"}, **MACHINE}


def metrics(error: float, loss: float = 0.25, seconds: float = 3.0) -> dict[str, float]:
    return {METRIC: error, "test/loss": loss, "time/train_seconds": seconds}


def recorded(errors: Sequence[float] = ERRORS, made: MadeOf | None = MADE) -> Reference:
    arms = tuple(
        ReferenceArm(
            name,
            (f"model={name}",),
            {"parameters": 100.0},
            tuple(
                ReferenceRun(seed, "FINISHED", f"{name}{seed}", None, metrics(error))
                for seed, error in enumerate(errors)
            ),
            None if made is None else replace(made, code={}),
        )
        for name in ARMS
    )
    environment = ReferenceEnvironment(
        10, "c" * 40, False, "P", {"python": "3.11.7", "torch": "2.15.0", "rich": "1"}, MACHINE
    )
    code = {} if made is None else made.code
    return Reference("made_up", "as written", definition_of(STUDY), METRIC, arms, (), (environment,), code)


def ran(now: Mapping[str, Sequence[dict[str, float] | str]], parameters: float = 100.0) -> Comparison:
    """What came out now; a text is the reason of a failure."""
    runs = []
    for name, each in now.items():
        for seed, found in enumerate(each):
            if isinstance(found, str):
                runs.append(Replicate(name, seed, "FAILED", None, found))
            else:
                outcome = StoredOutcome("", "", found, {"parameters": parameters}, (3, 8, 8))
                runs.append(Replicate(name, seed, "FINISHED", outcome, None))
    return compare(ARMS, "base", METRIC, runs)


def same(errors: Sequence[float] = ERRORS) -> list[dict[str, float]]:
    return [metrics(error, seconds=9.0) for error in errors]


def likeness(other: Sequence[dict[str, float] | str], **given: Any) -> StudyLikeness:  # noqa: ANN401
    chosen: dict[str, Any] = {
        "definition": definition_of(STUDY),
        "made_of": dict.fromkeys(ARMS, MADE),
        "sessions": [SESSION],
        **given,
    }
    reference = chosen.pop("reference", recorded())
    parameters = chosen.pop("parameters", 100.0)
    base = same()[: len(other)]
    return compare_studies(reference, ran({"base": base, "other": other}, parameters), {}, **chosen)


def test_the_same_bits_are_identical_and_times_do_not_count() -> None:
    found = likeness(same())
    assert (found.answer, found.first) == ("identical", None)
    assert [(arm.name, arm.n, arm.equal, arm.total, arm.difference) for arm in found.arms] == [
        ("base", 5, 10, 10, 0.0),
        ("other", 5, 10, 10, 0.0),
    ]


def test_small_differences_are_equivalent_by_student_s_t_within_the_recorded_spread() -> None:
    moved = (0.3, -0.2, 0.1, 0.0, 0.2)
    found = likeness([metrics(error + by) for error, by in zip(ERRORS, moved, strict=True)])
    assert (found.answer, [arm.answer for arm in found.arms]) == ("equivalent", ["identical", "equivalent"])
    arm = found.arms[1]
    expected = stats.ttest_1samp(moved, 0).confidence_interval(0.9)
    assert arm.interval == pytest.approx((expected.low, expected.high))
    assert arm.margin == pytest.approx(1.959964 * math.sqrt(2) * np.std(ERRORS, ddof=1), rel=1e-6)
    assert (arm.equal, arm.total) == (6, 10)
    assert arm.difference == pytest.approx(0.08)
    assert arm.why == "first that differs: test/top1_error of seed 0, 10.0 → 10.3"


@pytest.mark.parametrize(
    ("moved", "says"),
    [
        ((3.0, 2.8, 3.1, 2.9, 3.0), "first that differs: test/top1_error of seed 0, 10.0 → 13.0"),
        ((-3.0, -2.8, -3.1, -2.9, -3.0), "10.0 → 7.0"),
        # As much on either side: no difference is seen, and none is excluded.
        ((6.0, -6.0, 6.0, -6.0, 0.5), "10.0 → 16.0"),
        ((0.125,) * 5, "no spread of the differences can be estimated"),
    ],
)
def test_what_is_not_shown_to_be_near_is_different(moved: Sequence[float], says: str) -> None:
    found = likeness([metrics(error + by) for error, by in zip(ERRORS, moved, strict=True)])
    assert (found.answer, found.arms[0].answer, found.arms[1].answer) == ("different", "identical", "different")
    assert says in found.arms[1].why


def test_one_pair_shows_only_what_is_the_same() -> None:
    assert likeness([metrics(10.0, loss=0.26)]).answer == "equivalent"
    found = likeness([metrics(10.1)])
    assert (found.answer, found.arms[1].interval, found.arms[1].n) == ("different", None, 1)


def test_a_difference_in_other_numbers_alone_is_equivalent() -> None:
    found = likeness([metrics(error, loss=math.nextafter(0.25, 1)) for error in ERRORS])
    assert (found.answer, found.arms[1].difference, found.arms[1].interval) == ("equivalent", 0.0, None)
    assert found.arms[1].why.startswith("no difference in any seed; first that differs: test/loss of seed 0, 0.25 → ")
    lost = likeness([{METRIC: error} for error in ERRORS])
    assert lost.arms[1].why.endswith("test/loss of seed 0, 0.25 → nothing")


def test_the_margin_is_at_least_that_of_one_picture() -> None:
    margin, deviation = margin_of([5.0, 5.0], 0.5)
    assert margin == pytest.approx(1.959964 * math.sqrt(2) * 0.5, rel=1e-6)
    assert deviation == 0.0
    assert margin_of([5.0], 0.0) == (0.0, None)
    flat = recorded((10.0,) * 5)
    now = [metrics(10.0 + by) for by in (0.1, 0.0, 0.0, 0.0, 0.0)]
    found = compare_studies(
        flat,
        ran({"base": same((10.0,) * 5), "other": now}),
        {},
        definition=definition_of(STUDY),
        made_of={},
        sessions=[],
    )
    assert (found.answer, found.arms[1].deviation) == ("equivalent", 0.0)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_a_difference_of_a_whole_margin_passes_at_most_once_in_twenty(n: int) -> None:
    """The promise of a test of equivalence, at its border; at the shipped number of seeds none is passed by mistake."""
    draw = np.random.default_rng(0)
    margin, spread = 2.8, 1.0
    passed = 0
    for differences in draw.normal(margin, spread, (2000, n)):
        interval = interval_of(differences.tolist())
        assert interval is not None
        passed += -margin < interval[0] and interval[1] < margin
    assert passed / 2000 < 0.065


def test_a_run_that_fails_now_is_a_difference() -> None:
    found = likeness([*same()[:4], "loss is nan"])
    assert (found.answer, found.arms[1].n, found.arms[1].why) == ("different", 4, "seed 4 is failed now: loss is nan")


def test_another_network_is_different_however_near_its_error() -> None:
    found = likeness(same(), parameters=101.0)
    assert (found.answer, found.arms[0].why) == ("different", "another network: parameters 100 → 101")


def test_no_number_twice_is_the_same_number() -> None:
    reference = recorded((math.nan,) * 2)
    now = [metrics(math.nan), metrics(math.nan)]
    found = likeness(now, reference=replace(reference, arms=reference.arms[1:]))
    assert found.answer == "identical"
    assert likeness([metrics(math.nan)] * 5).answer == "different"


def test_another_question_is_said_first() -> None:
    asked = STUDY.model_dump(by_alias=True)
    asked["claims"]["claim"]["margin"] = 2.0
    asked["arms"]["other"]["overrides"] = ["model=b", "optimizer.lr=1"]
    asked["question"], asked["seeds"] = "Other words?", 3
    found = likeness(same(), definition=definition_of(Study.model_validate(asked)))
    assert found.answer == "different"
    assert found.definition == (
        "arms.other.overrides nothing → optimizer.lr=1",
        "claims.claim.margin 1.0 → 2.0",
    )
    assert found.first == f"definition: {found.definition[0]}"
    assert {arm.answer for arm in found.arms} == {"identical"}


def changed(**values: object) -> MadeOf:
    return replace(MADE, **values)  # type: ignore[arg-type]


def with_key(key: str, value: object) -> MadeOf:
    group, name = key.split(".")
    configuration = {**MADE.configuration, group: {**MADE.configuration[group], name: value}}
    return changed(configuration=configuration)


def test_ingredients_are_named_in_their_order_once_for_all_arms() -> None:
    other = replace(
        with_key("optimizer.weight_decay", 0.001), data="e" * 64, code={**MADE.code, "experiments.runs.build": "3" * 64}
    )
    session = {**SESSION, "packages": {"torch": "2.16.0", "rich": "2"}, "threads": 2}
    found = likeness(same(), made_of=dict.fromkeys(ARMS, other), sessions=[session])
    assert list(map(str, found.differences)) == [
        "code: experiments/runs/build.py 2222222222 → 3333333333",
        "data: pictures dddddddddd → eeeeeeeeee",
        "packages: torch 2.15.0 → 2.16.0",
        "packages: rich 1 → 2",
        "hardware: threads 1 → 2",
        "configuration: optimizer.weight_decay 0.0001 → 0.001",
    ]
    assert found.answer == "identical"  # what differs made no difference


def test_a_setting_changed_is_another_experiment_one_unknown_before_is_not() -> None:
    near = [metrics(error, loss=0.26) for error in ERRORS]
    found = likeness(near, made_of={"base": MADE, "other": with_key("optimizer.lr", 0.2)})
    assert (found.answer, found.arms[1].answer) == ("different", "equivalent")
    assert found.first == "configuration: other: optimizer.lr 0.1 → 0.2"
    newer = likeness(near, made_of=dict.fromkeys(ARMS, with_key("optimizer.nesterov", value=False)))
    assert (newer.answer, newer.first) == ("equivalent", "configuration: optimizer.nesterov nothing → false")


def test_seeds_are_no_difference() -> None:
    third = replace(MADE.under(2), digest="x" * 64, split="y" * 64)
    assert likeness(same(), made_of=dict.fromkeys(ARMS, third)).differences == ()
    assert third.configuration["datamodule"]["seed"] == 2
    elsewhere = replace(third, data="e" * 64)
    assert str(likeness(same(), made_of=dict.fromkeys(ARMS, elsewhere)).first).startswith("data: pictures")


def test_code_of_arms_that_did_not_run_is_not_missed() -> None:
    assert (
        likeness(same(), made_of={"base": replace(MADE, code={"experiments.runs.build": "2" * 64})}).differences == ()
    )
    gone = likeness(same(), made_of=dict.fromkeys(ARMS, replace(MADE, code={"experiments.runs.build": "2" * 64})))
    assert gone.first == "code: lightning_modules/networks/filter_stack.py 1111111111 → nothing"


def test_a_record_that_does_not_say_what_it_was_made_of_is_compared_nevertheless() -> None:
    found = likeness(same(), reference=recorded(made=None))
    assert (found.answer, found.known, found.differences) == ("identical", False, ())


def test_each_variation_has_a_file_of_its_own() -> None:
    assert reference_file("x", "as written") == FOLDER / "x.json"
    assert reference_file("x", "scale=toy") == FOLDER / "x.toy.json"
    assert reference_file("x", "scale=full model.network.widths=[4,8]").name == "x.full.model.network.widths-4-8.json"
