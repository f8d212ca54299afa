"""Effects of crossed factors as they are said."""

from pathlib import Path

import pytest

from experiments.runs.result import RunResult
from experiments.studies.comparison import Comparison, Replicate, compare
from experiments.studies.effects_said import effects_said
from experiments.studies.study import Study, checked

METRIC = "test/top1_error"
FACTORS = {"skip": {"off": [], "on": ["a=1"]}, "depth": {"8": ["b=8"], "20": ["b=20"]}}
# Baseline 10; skip alone -1, depth alone +4, both together 3 less than the sum.
CELLS = {"depth8": 10.0, "depth20": 14.0, "skip.depth8": 9.0, "skip.depth20": 10.0}


def study(**fields: object) -> Study:
    return checked({"question": "?", "factors": FACTORS, "seeds": 3, "metric": METRIC, **fields}, "")


def comparison(asked: Study, *, missing: tuple[str, int] | None = None) -> Comparison:
    runs = []
    for arm, value in CELLS.items():
        for seed in range(3):
            metrics = {METRIC: value + seed + (0.1 * seed if arm == "depth20" else 0)}
            result = RunResult(Path(arm), "id", "i", arm, "FINISHED", seed, {}, (1, 8, 8), metrics=metrics)
            lost = (arm, seed) == missing
            runs.append(Replicate(arm, seed, "FAILED" if lost else "FINISHED", None if lost else result, None))
    return compare(asked.arm_names, asked.baseline, METRIC, runs)


def test_main_effects_and_the_interaction_of_two_factors() -> None:
    asked = study()
    said = effects_said(asked, comparison(asked))
    assert [(effect.name, effect.interaction, effect.numbers.partition(",")[0]) for effect in said] == [
        # (-1 + -4.1) / 2 and (4.1 + 1) / 2 on average over the seeds; -4.1 - (-1)
        ("skip: on against off", False, "-2.55 points"),
        ("depth: 20 against 8", False, "+2.55 points"),
        ("skip × depth: on, 20 together", True, "-3.10 points"),
    ]
    assert all("n = 3" in effect.numbers for effect in said)


def test_a_seed_that_lacks_an_arm_is_left_out_and_said() -> None:
    asked = study()
    said = effects_said(asked, comparison(asked, missing=("skip.depth8", 1)))
    assert all(effect.numbers.endswith("n = 2, seed 1 left out") for effect in said)


@pytest.mark.parametrize("fields", [{"factors": {}, "arms": {"a": {"overrides": ["x=1"], "role": "baseline"}}}])
def test_without_crossed_factors_there_are_none(fields: dict[str, object]) -> None:
    asked = study(**fields)
    result = RunResult(Path("a"), "id", "i", "a", "FINISHED", 0, {}, (1, 8, 8), metrics={METRIC: 1.0})
    assert effects_said(asked, compare(["a"], "a", METRIC, [Replicate("a", 0, "FINISHED", result, None)])) == []
    conditional = study(when={"skip": {"depth": ["20"]}})
    assert effects_said(conditional, compare(conditional.arm_names, "depth8", METRIC, [])) == []
