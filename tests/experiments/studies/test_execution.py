"""One run that fails does not stop the others; being told to stop does, and leaves nothing unsaid."""

import signal
from collections.abc import Callable
from pathlib import Path

from omegaconf import OmegaConf

from experiments.runs.execute import RunFailed, RunKilled
from experiments.runs.result import RunResult
from experiments.studies.budget import Share
from experiments.studies.execution import run_all
from experiments.studies.factors import Cell
from experiments.studies.plan import PlannedArm, PlannedRun

METRIC = "test/top1_error"
ARMS = [
    PlannedArm(Cell(name, (), {}, is_baseline=name == "a"), (), Share(), OmegaConf.create({"seed": 0}), ("seed",))
    for name in ("a", "b")
]
PLANNED = [PlannedRun(arm, seed) for seed in (0, 1) for arm in ARMS]


def result(run: PlannedRun, *, skipped: bool = False) -> RunResult:
    metrics = {METRIC: 1.5}
    return RunResult(
        Path("runs/x"), "1234", "i", "x", "FINISHED", run.seed, {}, (1, 8, 8), metrics=metrics, skipped=skipped
    )


def raising(error: BaseException, *, at: int) -> Callable[[PlannedRun], RunResult]:
    def execute(run: PlannedRun) -> RunResult:
        if PLANNED.index(run) == at:
            raise error
        return result(run, skipped=run.seed == 0)

    return execute


def test_all_runs_are_executed_in_order_and_told() -> None:
    told: list[str] = []
    replicates, stopped_by = run_all(PLANNED, lambda run: result(run, skipped=run.seed == 0), METRIC, told.append)
    assert stopped_by is None
    assert [(one.arm, one.seed, one.status) for one in replicates] == [
        (arm, seed, "FINISHED") for seed in (0, 1) for arm in ("a", "b")
    ]
    assert replicates[3].command == ("whydeep", "train", "seed=1")
    assert told[0] == "[1/4] a seed 0: top-1 error 1.50 %, finished before, run 1234"
    assert told[3].startswith("[4/4] b seed 1: top-1 error 1.50 %, 0.0 s, run 1234")


def test_a_failed_run_keeps_its_reason_and_the_others_go_on() -> None:
    told: list[str] = []
    broken = raising(RunFailed("the loss became nan\nat step 3"), at=1)
    replicates, stopped_by = run_all(PLANNED, broken, METRIC, told.append)
    assert stopped_by is None
    assert [one.status for one in replicates] == ["FINISHED", "FAILED", "FINISHED", "FINISHED"]
    assert replicates[1].result is None
    assert replicates[1].reason == "the loss became nan at step 3"
    assert "failed: the loss became nan at step 3" in told[1]


def test_a_failed_run_is_found_by_what_is_recorded_of_it() -> None:
    told: list[str] = []
    broken = raising(RunFailed("the loss became nan", result(PLANNED[1])), at=1)
    replicates, _ = run_all(PLANNED, broken, METRIC, told.append)
    assert replicates[1].label == "1234"
    assert told[1] == "[2/4] b seed 0: failed: the loss became nan, run 1234"


def test_any_exception_is_a_failed_run() -> None:
    for error, reason in ((MemoryError(), "MemoryError"), (KeyError("k"), "KeyError: 'k'")):
        replicates, _ = run_all(PLANNED, raising(error, at=0), METRIC, lambda _: None)
        assert [one.status for one in replicates] == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]
        assert replicates[0].reason == reason


def test_a_killed_run_ends_the_study_and_the_rest_is_listed() -> None:
    told: list[str] = []
    replicates, stopped_by = run_all(PLANNED, raising(RunKilled(signal.SIGTERM), at=1), METRIC, told.append)
    assert stopped_by == signal.SIGTERM
    assert [one.status for one in replicates] == ["FINISHED", "KILLED", "NOT RUN", "NOT RUN"]
    assert replicates[1].reason == "stopped by SIGTERM"
    assert all(one.reason for one in replicates[1:])
    assert told[-1] == "[2/4] b seed 0: stopped by SIGTERM; the same command continues it"


def test_ctrl_c_between_runs_counts_as_one() -> None:
    replicates, stopped_by = run_all(PLANNED, raising(KeyboardInterrupt(), at=0), METRIC, lambda _: None)
    assert stopped_by == signal.SIGINT
    assert [one.status for one in replicates] == ["KILLED", "NOT RUN", "NOT RUN", "NOT RUN"]
