"""What a study would still take, told by runs that lie in folders nobody trained."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from experiments.runs.result import RunResult
from experiments.studies import conduct
from experiments.studies import forecast as room
from experiments.studies.forecast import PICTURE_BYTES, RECORD_SECONDS, Forecast, forecast, minutes, remaining
from experiments.studies.plan import plan_arms
from experiments.studies.plan_table import print_plan
from experiments.studies.state import ArmState, look, remember
from experiments.studies.study import checked
from experiments.tracking import records
from experiments.tracking.journal import FILE_NAME as JOURNAL_NAME
from experiments.tracking.records import Ended, Metrics, Opened, Record, Tags, encode

SEEDS = list(range(5))
ARM = {"overrides": ["model=conv5x5", "model.network.widths=[4,4]"], "role": "baseline"}
SMALL = ["datamodule=digits", "datamodule.image_size=8", "effective_field_images=0", "optimizer.lr=0.05"]
STUDY = checked({"question": "?", "arms": {"a": ARM}, "seeds": 5, "metric": "test/loss", "overrides": SMALL}, "")


def arm(folder: Path, *overrides: str) -> ArmState:
    """Return the state of a study's only arm, whose runs lie in `folder`."""
    (state,) = look(plan_arms(STUDY, [f"runs_dir={folder}", *overrides]), SEEDS, folder / "s")
    return state


def finish(state: ArmState, place: int, size: int, **times: float) -> None:
    """Leave a finished run behind, with a file of so many bytes."""
    one = state.replicates[place]
    one.run_dir.mkdir(parents=True)
    (one.run_dir / "last.ckpt").write_bytes(bytes(size))
    metrics = {f"time/{name}_seconds": seconds for name, seconds in times.items()}
    RunResult(
        one.run_dir, "id", one.identity, one.run_dir.name, "FINISHED", one.run.seed, {}, (1, 8, 8), metrics=metrics
    ).write()
    # As a copied folder, or a run that was continued a day later: the times of its files say nothing.
    os.utime(one.run_dir / "result.json", (1.0, 1e9))


@pytest.fixture
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "time_steps", lambda _: None)
    monkeypatch.setattr(room, "time_looks", lambda _: None)
    monkeypatch.setattr(room, "forecast_seconds", lambda *_: 7.0)


def test_a_run_takes_what_past_ones_were_recorded_to_take(tmp_path: Path) -> None:
    before = arm(tmp_path)
    for place, seconds in enumerate((10.0, 30.0, 20.0)):
        finish(before, place, 100_000, train=seconds, test=1.0)
    state = arm(tmp_path)
    found = forecast(state)
    assert (found.seconds, found.source) == (21.0 + RECORD_SECONDS, "past runs")
    assert 100_000 < found.bytes < 101_000
    assert remaining(state) == 2
    assert minutes([state], [found], 1) == pytest.approx(2 * found.seconds / 60)


def test_runs_that_became_stale_still_tell(tmp_path: Path) -> None:
    before = arm(tmp_path)
    remember([before], tmp_path / "s")
    finish(before, 0, 10, train=12.0, test=0.5)
    state = arm(tmp_path, "optimizer.weight_decay=0.5")
    assert [one.kind for one in state.replicates] == ["stale", *["to do"] * 4]
    assert forecast(state).seconds == 12.5 + RECORD_SECONDS


def journal(run_dir: Path, *records: Record) -> None:
    (run_dir / JOURNAL_NAME).write_bytes(b"".join(map(encode, records)))


def test_a_past_run_took_all_that_lay_between_its_first_record_and_its_last_metric(tmp_path: Path) -> None:
    before = arm(tmp_path)
    finish(before, 0, 10, train=3.0, test=1.0)
    journal(
        before.replicates[0].run_dir,
        Opened(100.0, "key", "name", "toy", 1, "pid"),
        Metrics(130.0, 0, {"probe/edge": 1.0}),
        # A day later the rest of it; the pause, and what was tagged once it had ended, took it no time.
        Opened(90_000.0, "key", "name", "toy", 2, "pid"),
        Metrics(90_012.0, 5, {"loss": 1.0}),
        Ended(90_013.0, "FINISHED", None),
        Tags(99_000.0, {"seen": "yes"}),
    )
    assert forecast(arm(tmp_path)).seconds == 42.0 + RECORD_SECONDS


def test_of_a_long_journal_two_lines_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = arm(tmp_path)
    finish(before, 0, 10, train=3.0, test=1.0)
    points = [Metrics(100.0 + step, step, {"loss": 1.0}) for step in range(500)]
    journal(before.replicates[0].run_dir, Opened(100.0, "key", "name", "toy", 1, "pid"), *points)
    decoded: list[bytes] = []
    real = records.decode

    def decode(line: bytes) -> Record | None:
        decoded.append(line)
        return real(line)

    for room_of in ("journal", "history"):
        monkeypatch.setattr(f"experiments.tracking.{room_of}.decode", decode)
    assert forecast(arm(tmp_path)).seconds == 499.0 + RECORD_SECONDS
    assert len(decoded) == 2


@pytest.mark.usefixtures("_no_probe")
def test_who_waits_for_a_probe_is_told_of_which_arm(tmp_path: Path) -> None:
    told: list[str] = []
    forecast(arm(tmp_path), told.append)
    finish(arm(tmp_path), 0, 10, train=3.0)
    forecast(arm(tmp_path), told.append)
    assert told == ["a"]


@pytest.mark.usefixtures("_no_probe")
def test_a_run_that_recorded_no_time_is_no_past_run(tmp_path: Path) -> None:
    finish(arm(tmp_path), 0, 10)
    state = arm(tmp_path)
    assert state.replicates[0].kind == "done"
    found = forecast(state)
    assert (found.seconds, found.source) == (7.0 + RECORD_SECONDS, "probe")
    assert found.bytes > PICTURE_BYTES


def test_no_schedule_is_shorter_than_its_longest_run(tmp_path: Path) -> None:
    state = arm(tmp_path)
    found = Forecast(60.0, 1.0, "past runs")
    assert [minutes([state], [found], workers) for workers in (1, 2, 100)] == [5.0, 2.5, 1.0]


def test_a_network_that_cannot_train_has_no_forecast_but_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise IndexError("Target 7 is out of bounds.")

    monkeypatch.setattr(room, "time_steps", broken)
    state = arm(tmp_path)
    found = forecast(state)
    assert found.failure == "IndexError: Target 7 is out of bounds."
    console = Console(width=200, record=True, file=io.StringIO())
    print_plan(console, "s", STUDY, [state], [found], [], [], workers=1)
    said = console.export_text()
    assert "a: a trial step failed, as its runs will: IndexError: Target 7 is out of bounds." in said
    assert " ?" in said
    assert "5 runs (1 arm, 5 seeds, equal epochs): 5 to do" in said


def test_the_arms_of_a_study_are_timed_once_and_whoever_waits_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(state: ArmState, tell: Callable[[str], None]) -> Forecast:
        tell(state.arm.name)
        return Forecast(60.0, 1.0, "probe")

    monkeypatch.setattr(conduct, "forecast", timed)
    overrides = [f"runs_dir={tmp_path}"]
    found = conduct.Conduct(STUDY, plan_arms(STUDY, overrides), "s", "laptop", overrides, ["whydeep", "study", "s"])
    told: list[str] = []
    assert found.forecasts(told.append) == found.forecasts(told.append) == [Forecast(60.0, 1.0, "probe")]
    assert told == ["a"]
    assert found.minutes(1) == 5.0
