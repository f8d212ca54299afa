"""What a study shows while it runs."""

from pathlib import Path

import pytest
from rich.console import Console

from experiments.runs.heartbeat import Beat
from experiments.runs.result import RunResult
from experiments.studies.board import ArmProgress, Event, LiveTable, line, minutes, seconds_left
from experiments.studies.job import Job, JobOutcome

METRIC = "test/top1_error"


def jobs(folder: Path, arms: tuple[str, ...] = ("a", "b"), seeds: int = 4) -> list[Job]:
    return [Job(arm, seed, {}, (), str(folder)) for seed in range(seeds) for arm in arms]


def finished(job: Job, seconds: float, *, skipped: bool = False) -> JobOutcome:
    result = RunResult(Path("x"), "12", "i", "x", "FINISHED", job.seed, {}, (1, 8, 8), {METRIC: 2.0}, skipped=skipped)
    return JobOutcome("FINISHED", result, seconds=seconds)


def drawn(table: LiveTable) -> str:
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(table.render())
    return console.export_text()


def test_the_table_has_a_row_for_each_arm(tmp_path: Path) -> None:
    planned = jobs(tmp_path)
    log = (tmp_path / "log").open("w")
    console = Console(file=log, width=110, force_terminal=True)
    table = LiveTable(console, METRIC, planned, workers=2)
    assert "0 of 8 runs, 0 s so far, time left not known yet" in drawn(table)
    for number, job in enumerate(planned[:4], start=1):
        table.event(Event("started", job, number))
    table.event(Event("finished", planned[0], 1, finished(planned[0], 60.0)))
    table.event(Event("failed", planned[1], 2, JobOutcome("FAILED", reason="the loss became nan")))
    beat = Beat("r", time=130.0, epoch=3, epochs=10, step=40, steps=100, began=100.0, first_step=20)
    beat.write(planned[2].file("progress"))
    rows = {row.split()[0]: row.split() for row in drawn(table).splitlines() if row.split()[:1] in (["a"], ["b"])}
    assert rows["a"] == ["a", "2", "1", "seed", "1:", "epoch", "4/10,", "2", "min"]
    assert rows["b"] == ["b", "2", "1", "seed", "1:", "starts"]
    # Four wait, at a minute each; one needs 90 s more, of the other nothing is known.
    assert "2 of 8 runs" in drawn(table)
    assert "about 3 min left" in drawn(table)
    log.close()
    assert "[2/8] b seed 0: failed: the loss became nan" in (tmp_path / "log").read_text()


def test_a_job_that_is_tried_again_waits_again(tmp_path: Path) -> None:
    planned = jobs(tmp_path, seeds=1)
    console = Console(file=(tmp_path / "log").open("w"), width=110, force_terminal=True)
    table = LiveTable(console, METRIC, planned, workers=1)
    crash = JobOutcome("FAILED", reason="its process was killed by SIGKILL", crashed=True)
    for kind, outcome in (("started", None), ("retried", crash), ("started", None)):
        table.event(Event(kind, planned[0], 1, outcome))  # type: ignore[arg-type]
    assert table.arms["a"].running == [planned[0]]
    assert table.arms["a"].queued == 0
    table.event(Event("finished", planned[0], 1, finished(planned[0], 1.0, skipped=True)))
    assert (table.arms["a"].done, table.arms["a"].seconds) == (1, [])


def test_seconds_left_take_each_arm_at_its_own_pace() -> None:
    fast, slow = ArmProgress(queued=2, done=1, seconds=[10.0]), ArmProgress(queued=1, done=1, seconds=[40.0])
    assert seconds_left([fast, slow], [], workers=1) == pytest.approx(60)
    assert seconds_left([fast, slow], [], workers=2) == pytest.approx(30)
    # What has not run yet is taken for an average of the others.
    assert seconds_left([fast, slow, ArmProgress(queued=2)], [], workers=1) == pytest.approx(110)
    # The rest cannot be faster than the longest that runs, however many workers there are.
    assert seconds_left([fast], [500.0], workers=8) == pytest.approx(500)
    assert seconds_left([ArmProgress(queued=3)], [5.0], workers=1) is None
    assert seconds_left([ArmProgress(done=3)], [], workers=1) == 0


def test_times_are_said_as_a_person_would() -> None:
    assert [minutes(seconds) for seconds in (0.4, 59.0, 61.0, 3599.0, 7500.0)] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h 0 min",
        "2 h 5 min",
    ]


def test_progress_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "beat"
    assert Beat.read(path) is None
    beat = Beat("runs/x", time=130.0, epoch=3, epochs=10, step=40, steps=100, began=100.0, first_step=20)
    beat.write(path)
    assert Beat.read(path) == beat
    assert beat.seconds_left == pytest.approx(90)
    assert Beat("runs/x", 1.0).seconds_left is None
    path.write_text("{")
    assert Beat.read(path) is None


def test_events_are_said_in_one_line(tmp_path: Path) -> None:
    job = jobs(tmp_path)[3]
    assert line(Event("finished", job, 4, finished(job, 3.21)), METRIC, 8) == (
        "[4/8] b seed 1: top-1 error 2.00 %, 3.2 s, run 12"
    )
