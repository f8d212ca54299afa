"""What a report says is held equal, and what the trainings took."""

from dataclasses import replace

import pytest

from experiments.studies.environments import Environment, Origin
from experiments.studies.held import held_equal, training_said
from experiments.studies.report import render, report_context
from experiments.studies.study_parts import Budget
from experiments.studies.written import WrittenArm, WrittenStudy
from experiments.tracking.stored_run import StoredRun
from tests.experiments.studies.reported import comparison, gathered, study


def written(*arms: tuple[str, ...], budget: Budget | None = None, declared: tuple[str, ...] = ()) -> WrittenStudy:
    asked = study().model_copy(update={"budget": budget or Budget(), "declared": list(declared)})
    made = tuple(WrittenArm(f"arm{number}", overrides) for number, overrides in enumerate(arms))
    return WrittenStudy("demo", "as written", ("whydeep",), asked, made, ())


def test_arms_differ_in_what_not_all_of_them_set_alike() -> None:
    found = held_equal(written(("a=1", "model=x", "~c"), ("model=y", "a=1", "+b.c=2"), declared=("a", "lr", "b.c")))
    assert found is not None
    assert found.differing == ("b.c", "c", "model")
    assert found.declared == ("a", "lr")


def test_one_arm_alone_is_compared_with_nothing() -> None:
    assert held_equal(written(("a=1",))) is None


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(), "epochs"),
        (Budget(equal="macs", by="depth", tolerance=0.05), "epochs, and MACs to 5 %, solved for by depth"),
        (Budget(equal="parameters"), "epochs, and parameters to 2 %, solved for by width"),
        (Budget(equal="samples"), "samples seen in training"),
        (Budget(equal="samples", samples=50_000), "50,000 samples seen in training"),
        (Budget(equal="wall_time", minutes=1.5), "time of training, 1.5 minutes"),
    ],
)
def test_the_budget_in_words(budget: Budget, said: str) -> None:
    found = held_equal(written(("a=1",), ("a=2",), budget=budget))
    assert found is not None
    assert found.budget == said


def test_training_is_summed_over_all_runs_and_told_with_its_machines() -> None:
    told = gathered(comparison(lost="it broke"))
    assert training_said(told) == "20 seconds, summed over 5 runs, on x, 2 threads"
    other = Environment(Origin("c", uncommitted=False, packages="d", hardware="y"), "", {}, frozenset({"other"}))
    run = StoredRun("id", "1", "demo", "FINISHED", start=1_790_000_000.0, end=None, artifacts="")
    told = replace(told, environments=(*told.environments, *told.environments, other), study_run=run)
    assert training_said(told) == "20 seconds, summed over 5 runs, on x, 2 threads and y; begun on 2026-09-21"


def test_both_stand_in_the_block_of_a_page_and_in_the_report() -> None:
    told = gathered(comparison())
    asked = told.written.study.model_copy(update={"declared": ["lr"]})
    told = replace(told, written=replace(told.written, study=asked))
    context = {**report_context(told, {}), "figures": []}
    block, page = (render(f"report_{kind}.jinja", context) for kind in ("block.md", "body.html"))
    assert "every setting but `model`, but `lr`, as declared.\n" in block
    assert "\nTraining: 24 seconds, summed over 6 runs, on x, 2 threads.\n" in block
    assert "setting but <code>model</code>, but <code>lr</code>, as declared.</p>" in page
    assert "24 seconds, summed over 6 runs, on x, 2 threads</a>." in page
