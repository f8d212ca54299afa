"""One run that fails does not stop the others; being told to stop does, and leaves nothing unsaid."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from experiments.runs.asked import Asked
from experiments.runs.heartbeat import Beat
from experiments.studies import execution as execution_room
from experiments.studies.board import Board, Lines
from experiments.studies.execution import ENDING, STOPPING, Execution, execute_all, jobs_of
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.job import Job, JobOutcome
from experiments.studies.plan import PlannedRun
from experiments.tracking.locks import RunLock
from tests.experiments.recorded import until
from tests.experiments.studies.made_up_jobs import CRASH, METRIC, arm, result

ARMS = [arm("a"), arm("b")]
PLANNED = [PlannedRun(each, seed) for seed in (0, 1) for each in ARMS]


class Scripted:
    """An executor whose jobs end as they are told to, the last of those that run first."""

    stopped_by: int | None = None

    def __init__(self, end: Callable[[Job, int], JobOutcome | None], capacity: int = 1) -> None:
        self.capacity = capacity
        self.started: list[tuple[str, int]] = []
        self.most = 0
        self.stops: list[int] = []
        self.closed = False
        self._end = end
        self._running: list[Job] = []

    def start(self, job: Job) -> None:
        self.started.append((job.arm, job.seed))
        self._running.append(job)
        self.most = max(self.most, len(self._running))

    def ended(self, seconds: float) -> list[tuple[Job, JobOutcome]]:
        assert seconds > 0
        job = self._running[-1]
        outcome = self._end(job, self.started.count((job.arm, job.seed)))
        if outcome is None:
            return []
        self._running.remove(job)
        return [(job, outcome)]

    def stop(self, number: int) -> None:
        self.stops.append(number)

    def kill(self) -> None:
        raise AssertionError("nothing hangs here")

    def close(self) -> None:
        self.closed = True


def run(
    folder: Path, executor: Scripted, told: list[str], *, planned: Sequence[PlannedRun] = PLANNED, retries: int = 1
) -> Execution:
    jobs = jobs_of(planned, folder)
    board: Board = Lines(told.append, METRIC, len(jobs))
    execution = execute_all(jobs, ExecutionOptions(retries=retries), board, make=lambda *_: executor)
    assert executor.closed
    return execution


def well(job: Job, attempt: int) -> JobOutcome:
    assert attempt == 1
    return JobOutcome("FINISHED", result(job, skipped=job.seed == 0), seconds=0.04)


def once(outcome: JobOutcome, arm: str, seed: int, *, attempts: int = 1) -> Callable[[Job, int], JobOutcome]:
    """Let one job end so in its first attempts, and all others well."""

    def end(job: Job, attempt: int) -> JobOutcome:
        bad = (job.arm, job.seed) == (arm, seed) and attempt <= attempts
        return outcome if bad else JobOutcome("FINISHED", result(job))

    return end


def test_all_runs_are_executed_in_order_and_told(tmp_path: Path) -> None:
    told: list[str] = []
    executor = Scripted(well)
    execution = run(tmp_path, executor, told)
    assert execution.stopped_by is None
    assert executor.started == [(run.arm, run.seed) for run in PLANNED]
    assert [(one.arm, one.seed, one.status) for one in execution.replicates] == [
        (arm, seed, "FINISHED") for seed in (0, 1) for arm in ("a", "b")
    ]
    assert execution.replicates[3].command == ("whydeep", "train", "seed=1")
    assert told[0] == "[1/4] a seed 0: top-1 error 1.50 %, finished before, run 1234"
    assert told[3] == "[4/4] b seed 1: top-1 error 1.50 %, 0.0 s, run 1234"


def test_no_more_run_at_once_than_there_are_workers_and_the_order_stays(tmp_path: Path) -> None:
    executor = Scripted(well, capacity=3)
    execution = run(tmp_path, executor, [])
    assert executor.most == 3
    assert executor.started == [(run.arm, run.seed) for run in PLANNED]
    # However they end, the replicates are in the order of the plan.
    assert [(one.arm, one.seed) for one in execution.replicates] == [(run.arm, run.seed) for run in PLANNED]


def test_a_failed_run_keeps_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    told: list[str] = []
    broken = once(JobOutcome("FAILED", reason="the loss became nan at step 3"), "b", 0)
    execution = run(tmp_path, executor := Scripted(broken), told)
    assert execution.stopped_by is None
    assert [one.status for one in execution.replicates] == ["FINISHED", "FAILED", "FINISHED", "FINISHED"]
    assert execution.replicates[1].result is None
    assert execution.replicates[1].reason == "the loss became nan at step 3"
    assert told[1] == "[2/4] b seed 0: failed: the loss became nan at step 3"
    assert len(executor.started) == 4, "what is the same the next time is not tried again"


def test_a_failed_run_is_found_by_what_is_recorded_of_it(tmp_path: Path) -> None:
    told: list[str] = []
    recorded = result(Job("b", 0, {}, (), ""))
    broken = once(JobOutcome("FAILED", recorded, "the loss became nan"), "b", 0)
    execution = run(tmp_path, Scripted(broken), told)
    assert execution.replicates[1].label == "1234"
    assert told[1] == "[2/4] b seed 0: failed: the loss became nan, run 1234"


def test_a_crash_is_tried_again_at_once_and_only_so_often(tmp_path: Path) -> None:
    told: list[str] = []
    execution = run(tmp_path, executor := Scripted(once(CRASH, "a", 1)), told)
    assert [one.status for one in execution.replicates] == ["FINISHED"] * 4
    assert executor.started == [("a", 0), ("b", 0), ("a", 1), ("a", 1), ("b", 1)]
    assert told[2] == "[3/4] a seed 1: its process was killed by SIGKILL; tried again"

    for retries, often in ((0, 1), (1, 2), (3, 4)):
        always = once(CRASH, "a", 1, attempts=99)
        execution = run(tmp_path, executor := Scripted(always), told, retries=retries)
        assert executor.started.count(("a", 1)) == often
        assert [one.status for one in execution.replicates] == ["FINISHED", "FINISHED", "FAILED", "FINISHED"]
        assert execution.replicates[2].reason == "its process was killed by SIGKILL"


def test_a_process_that_dies_after_its_runs_result_has_finished_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(job: Job, attempt: int) -> JobOutcome:
        Beat(str(tmp_path), 0.0).write(job.file("progress"))
        return once(CRASH, "a", 0)(job, attempt)

    finished = result(Job("a", 0, {}, (), ""))
    monkeypatch.setattr(execution_room, "end_crashed", lambda *_: finished)
    told: list[str] = []
    execution = run(tmp_path, Scripted(end), told, planned=PLANNED[:1], retries=0)
    assert [(one.status, one.result) for one in execution.replicates] == [("FINISHED", finished)]
    assert told == ["[1/1] a seed 0: top-1 error 1.50 %, 0.0 s, run 1234"]


def test_a_worker_that_somebody_else_stops_is_replaced(tmp_path: Path) -> None:
    stopped = JobOutcome("KILLED", reason="stopped by SIGTERM", signal_number=signal.SIGTERM)
    execution = run(tmp_path, executor := Scripted(once(stopped, "a", 0)), [])
    assert execution.stopped_by is None
    assert [one.status for one in execution.replicates] == ["FINISHED"] * 4
    assert len(executor.started) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_study_and_the_rest_is_listed(tmp_path: Path, number: signal.Signals) -> None:
    told: list[str] = []
    looks = 0

    def end(job: Job, attempt: int) -> JobOutcome | None:
        nonlocal looks
        if (job.arm, job.seed) != ("b", 0):
            return well(job, attempt)
        looks += 1
        # Told once, the job takes its time; told again, it ends.
        if looks in (1, 3):
            os.kill(os.getpid(), number)
        done = len(executor.stops) == 2
        return JobOutcome("KILLED", reason=f"stopped by {number.name}", signal_number=number) if done else None

    executor = Scripted(end)
    before = signal.getsignal(number)
    execution = run(tmp_path, executor, told)
    assert execution.stopped_by == number
    assert executor.stops == [number, number]
    assert [one.status for one in execution.replicates] == ["FINISHED", "KILLED", "NOT RUN", "NOT RUN"]
    assert all(one.reason for one in execution.replicates[1:])
    assert told[-1] == f"[2/4] b seed 0: stopped by {number.name}; the same command continues it"
    assert signal.getsignal(number) is before


def test_each_signal_is_answered_at_once_while_a_run_takes_its_time(tmp_path: Path) -> None:
    told: list[str] = []

    def end(_: Job, attempt: int) -> JobOutcome:
        assert attempt == 1
        # The main thread is in the run: nothing of the study's own goes on.
        for answer in (STOPPING, ENDING):
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: told[-1:] == [answer], seconds=10)  # noqa: B023 - used in this turn
        return JobOutcome("KILLED", reason="stopped by SIGINT", signal_number=signal.SIGINT)

    execution = run(tmp_path, Scripted(end), told)
    assert execution.stopped_by == signal.SIGINT
    assert "once more to end now" in STOPPING


def test_a_run_that_stops_this_very_process_ends_the_study(tmp_path: Path) -> None:
    def end(job: Job, attempt: int) -> JobOutcome:
        if (job.arm, job.seed) == ("b", 0):
            executor.stopped_by = signal.SIGINT
            return JobOutcome("KILLED", reason="stopped by SIGINT", signal_number=signal.SIGINT)
        return well(job, attempt)

    executor = Scripted(end)
    execution = run(tmp_path, executor, [])
    assert execution.stopped_by == signal.SIGINT
    assert len(executor.started) == 2


def test_a_process_that_dies_while_the_study_stops_counts_as_stopped(tmp_path: Path) -> None:
    def end(_: Job, attempt: int) -> JobOutcome | None:
        assert attempt == 1
        if not executor.stops:
            os.kill(os.getpid(), signal.SIGTERM)
            return None
        return CRASH

    execution = run(tmp_path, executor := Scripted(end), [])
    assert [one.status for one in execution.replicates] == ["KILLED", "NOT RUN", "NOT RUN", "NOT RUN"]
    assert execution.replicates[0].reason == "stopped by SIGTERM"


def test_a_run_that_another_process_writes_is_looked_at_again_while_the_others_go_on(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    lock = RunLock(run_dir)
    told: list[str] = []

    def end(job: Job, attempt: int) -> JobOutcome:
        if (job.arm, job.seed) == ("a", 0) and attempt == 1:
            Beat(str(run_dir), 0.0).write(job.file("progress"))
            return JobOutcome("BUSY", reason="another process is writing this run")
        if (job.arm, job.seed) == ("a", 0) and attempt == 2:
            return JobOutcome("FAILED", reason="its process ended with 1", crashed=True)
        return JobOutcome("FINISHED", result(job))

    def say(text: str) -> None:
        told.append(text)
        if text.startswith("waiting"):
            lock.release()

    jobs = jobs_of(PLANNED, tmp_path / "jobs")
    executor = Scripted(end)
    # Looking again is no retry: the one that is allowed is still to be had for the crash.
    options = ExecutionOptions(retries=1)
    execution = execute_all(jobs, options, Lines(say, METRIC, len(jobs)), make=lambda *_: executor)
    assert [one.status for one in execution.replicates] == ["FINISHED"] * 4
    assert executor.started == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 0), ("a", 0)]
    assert told[0] == "[1/4] a seed 0: another process runs it; looked at again when that one has ended"
    assert told[4] == "waiting for another process, which executes a run of this study; Ctrl-C stops"
    assert told[5] == "[1/4] a seed 0: its process ended with 1; tried again"
    assert len(told) == 7


def test_nobody_waits_for_another_process_after_a_stop(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    lock = RunLock(run_dir)

    def end(job: Job, _: int) -> JobOutcome:
        Beat(str(run_dir), 0.0).write(job.file("progress"))
        return JobOutcome("BUSY", reason="another process is writing this run")

    def say(text: str) -> None:
        if text.startswith("waiting"):
            os.kill(os.getpid(), signal.SIGINT)

    jobs = jobs_of(PLANNED[:1], tmp_path / "jobs")
    execution = execute_all(jobs, ExecutionOptions(), Lines(say, METRIC, len(jobs)), make=lambda *_: Scripted(end))
    lock.release()
    assert execution.stopped_by == signal.SIGINT
    assert [(one.status, one.reason) for one in execution.replicates] == [
        ("NOT RUN", "another process was executing it")
    ]


def test_nothing_to_do_is_done_at_once(tmp_path: Path) -> None:
    execution = run(tmp_path, Scripted(well), [], planned=[])
    assert execution == Execution([], None)
    assert Asked().number is None
