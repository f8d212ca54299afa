"""Recording without a store: journal, resume, full disk, true status."""

import json
import logging
import math
import threading
import time
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.tracking.journal import FILE_NAME, read_metrics, read_records
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.records import Ended, Opened, Params, Tags
from experiments.tracking.tracker import RunTracker
from tests.experiments.tracking.status import RunStatus, read_status


@pytest.fixture
def local(tmp_path: Path) -> TrackingOptions:
    return TrackingOptions(runs_dir=str(tmp_path), deliver=False)


def _open(run_dir: Path, local: TrackingOptions) -> RunTracker:
    return open_run(run_dir, local, name="a run", tags={"whydeep.seed": "3"})


def _tags(run_dir: Path) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for _, record in read_records(run_dir / FILE_NAME):
        if isinstance(record, Tags):
            found.update(record.values)
    return found


def _params(run_dir: Path) -> list[tuple[str, str]]:
    records = [record for _, record in read_records(run_dir / FILE_NAME) if isinstance(record, Params)]
    return [pair for record in records for pair in record.values.items()]


def test_a_run_without_a_store_keeps_everything_in_its_journal(tmp_path: Path, local: TrackingOptions) -> None:
    tracker = _open(tmp_path / "run", local)
    tracker.params({"optimizer": {"lr": 0.1}})
    tracker.metrics({"val/top1_error": 12.5, "loss": math.nan}, step=4, time=1000.0)
    tracker.description("# What it is")

    assert tracker.run_id is None
    assert tracker.wait_for_run_id(0.0) is None
    delivery = tracker.finish("FINISHED")

    assert delivery.sent == 0
    assert delivery.pending == 6
    assert delivery.error == "tracking.deliver=false: only the journal is kept"
    assert read_status(tmp_path / "run") == RunStatus("FINISHED", None, alive=False, sessions=1)
    assert _params(tmp_path / "run") == [("optimizer.lr", "0.1")]
    assert _tags(tmp_path / "run")["mlflow.note.content"] == "# What it is"
    assert _tags(tmp_path / "run")["whydeep.seed"] == "3"
    table = read_metrics(tmp_path / "run")
    assert list(table["time"]) == [1000.0, 1000.0]
    assert math.isnan(table["value"][1])


def test_recording_a_step_costs_microseconds(tmp_path: Path, local: TrackingOptions) -> None:
    tracker = _open(tmp_path / "run", local)
    values = {"train/loss": 0.5, "train/top1_error": 50.0, "time/step": 0.1}
    best = math.inf
    for repeat in range(5):
        began = time.perf_counter()
        for step in range(1000):
            tracker.metrics(values, step=1000 * repeat + step)
        best = min(best, (time.perf_counter() - began) / 1000)
    tracker.finish("FINISHED")

    assert best < 10e-6
    assert len(read_metrics(tmp_path / "run")) == 15_000


def test_metrics_of_many_threads_are_all_kept(tmp_path: Path, local: TrackingOptions) -> None:
    tracker = _open(tmp_path / "run", local)

    def record(name: str) -> None:
        for step in range(500):
            tracker.metrics({name: float(step)}, step=step)

    threads = [threading.Thread(target=record, args=(f"thread {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker.finish("FINISHED")

    assert read_metrics(tmp_path / "run").groupby("key")["step"].nunique().to_list() == [500] * 4


def test_what_is_no_number_is_refused_where_it_is_recorded(tmp_path: Path, local: TrackingOptions) -> None:
    tracker = _open(tmp_path / "run", local)

    with pytest.raises(ValueError, match="many"):
        tracker.metrics({"loss": "many"}, step=0)  # type: ignore[dict-item]
    tracker.finish("FINISHED")
    with pytest.raises(RuntimeError, match="has ended"):
        tracker.metrics({"loss": 1.0}, step=0)


def test_a_second_writer_of_the_same_run_is_refused(tmp_path: Path, local: TrackingOptions) -> None:
    tracker = _open(tmp_path / "run", local)

    with pytest.raises(UserError, match=r"another process \(\d+@.*\) is writing this run") as caught:
        _open(tmp_path / "run", local)

    assert "\n" not in str(caught.value)
    assert read_status(tmp_path / "run") == RunStatus("RUNNING", None, alive=True, sessions=1)
    tracker.finish("FINISHED")


def test_a_resumed_run_says_nothing_twice(tmp_path: Path, local: TrackingOptions) -> None:
    run_dir = tmp_path / "run"
    first = _open(run_dir, local)
    first.params({"lr": 0.1})
    for step in range(10):
        first.metrics({"loss": 1 / (step + 1), "time/step": time.perf_counter()}, step=step)
    first.finish("KILLED", "stopped by SIGTERM")
    before = read_metrics(run_dir)

    second = _open(run_dir, local)
    second.params({"lr": 0.1, "new": "x"})
    for step in range(5, 15):  # from a checkpoint of step 5
        second.metrics({"loss": 1 / (step + 1), "time/step": time.perf_counter()}, step=step)
    second.finish("FINISHED")

    after = read_metrics(run_dir)
    assert after.iloc[: len(before)].equals(before)
    assert sorted(after["step"]) == sorted([*range(15), *range(15)])
    assert _params(run_dir) == [("lr", "0.1"), ("new", "x")]
    assert "whydeep.replay_differs" not in _tags(run_dir)
    assert _tags(run_dir)["whydeep.sessions"] == "2"
    assert read_status(run_dir) == RunStatus("FINISHED", None, alive=False, sessions=2)
    keys = {record.key for _, record in read_records(run_dir / FILE_NAME) if isinstance(record, Opened)}
    assert len(keys) == 1


def test_a_step_that_comes_out_differently_after_a_resume_is_kept_and_named(
    tmp_path: Path, local: TrackingOptions
) -> None:
    run_dir = tmp_path / "run"
    first = _open(run_dir, local)
    first.metrics({"loss": 1.0}, step=3)
    first.finish("FAILED", "a crash")
    second = _open(run_dir, local)
    second.metrics({"loss": 1.5}, step=3)
    second.metrics({"loss": 2.5}, step=3)
    second.finish("FINISHED")

    assert list(read_metrics(run_dir)["value"]) == [1.0, 1.5, 2.5]
    assert _tags(run_dir)["whydeep.replay_differs"] == "loss at step 3: 1.0, then 1.5"


def test_a_changed_parameter_keeps_its_first_value_and_is_named(
    tmp_path: Path, local: TrackingOptions, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = tmp_path / "run"
    first = _open(run_dir, local)
    first.params({"lr": 0.1, "epochs": 5})
    first.finish("KILLED")
    with caplog.at_level(logging.WARNING):
        second = _open(run_dir, local)
        second.params({"lr": 0.2, "epochs": 5})
    second.finish("FINISHED")

    assert _params(run_dir) == [("lr", "0.1"), ("epochs", "5")]
    assert _tags(run_dir)["whydeep.changed_params"] == "lr: 0.1 -> 0.2"
    assert "lr: 0.1 -> 0.2" in caplog.text


def test_an_infinite_number_is_kept_and_named_for_mlflow(tmp_path: Path, local: TrackingOptions) -> None:
    tracker = _open(tmp_path / "run", local)
    tracker.metrics({"loss": math.nan}, step=1)
    tracker.metrics({"loss": -math.inf}, step=2)
    tracker.metrics({"loss": math.inf}, step=3)
    tracker.finish("FAILED", "diverged")

    assert list(read_metrics(tmp_path / "run")["value"])[1:] == [-math.inf, math.inf]
    assert _tags(tmp_path / "run")["whydeep.infinite"] == "loss at step 2: -inf (MLflow shows NaN)"


def test_long_values_are_whole_in_the_journal_and_in_a_file(tmp_path: Path, local: TrackingOptions) -> None:
    tracker = _open(tmp_path / "run", local)
    tracker.params({"a": {"long/one": "p" * 7000}})
    tracker.tags({"long": "t" * 9000})
    tracker.finish("FAILED", "r" * 9000)

    assert dict(_params(tmp_path / "run"))["a.long/one"] == "p" * 7000
    folder = tmp_path / "run" / "long_values"
    assert (folder / "params" / "a.long" / "one.txt").read_text() == "p" * 7000
    assert (folder / "tags" / "long.txt").read_text() == "t" * 9000
    assert (folder / "tags" / "whydeep.reason.txt").read_text() == "r" * 9000
    status = read_status(tmp_path / "run")
    assert status is not None
    assert status.reason == "r" * 9000


def test_artifacts_must_be_files_of_the_run(tmp_path: Path, local: TrackingOptions) -> None:
    tracker = _open(tmp_path / "run", local)
    (tmp_path / "elsewhere.txt").touch()

    with pytest.raises(ValueError, match="is not in the run's directory"):
        tracker.artifact(tmp_path / "elsewhere.txt")
    with pytest.raises(FileNotFoundError, match="missing"):
        tracker.artifact(tmp_path / "run" / "missing.txt")
    tracker.finish("FINISHED")


def test_flush_puts_into_the_file_what_a_killed_process_would_lose(tmp_path: Path, local: TrackingOptions) -> None:
    tracker = _open(tmp_path / "run", local)
    for step in range(100):
        tracker.metrics({"loss": 1.0}, step=step)
        tracker.flush()
        assert len(read_metrics(tmp_path / "run")) == step + 1
    tracker.finish("FINISHED")


def test_a_full_disk_is_told_by_flush_and_loses_nothing_when_there_is_room_again(
    tmp_path: Path, local: TrackingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = _open(tmp_path / "run", local)
    tracker.flush()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.pwrite", full)
        tracker.metrics({"loss": 1.0}, step=0)
        with pytest.raises(OSError, match="No space left"):
            tracker.flush()
        tracker.metrics({"loss": 2.0}, step=1)
    tracker.flush()
    tracker.finish("FINISHED")

    assert list(read_metrics(tmp_path / "run")["value"]) == [1.0, 2.0]


def test_a_run_that_cannot_write_its_end_says_so_and_does_not_raise(
    tmp_path: Path, local: TrackingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = _open(tmp_path / "run", local)
    tracker.flush()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    delivery = tracker.finish("FAILED", "No space left on device")

    assert delivery.pending > 0
    assert delivery.error is not None
    assert "No space left" in delivery.error


def test_a_missing_card_is_told_by_the_journal(tmp_path: Path, local: TrackingOptions) -> None:
    run_dir = tmp_path / "run"
    first = _open(run_dir, local)
    first.finish("FAILED", "a crash")
    card = json.loads((run_dir / "tracking.json").read_text())
    (run_dir / "tracking.json").write_text("{half")

    second = open_run(run_dir, local, name="another name", tags={})
    second.finish("FINISHED")

    back = json.loads((run_dir / "tracking.json").read_text())
    assert (back["key"], back["name"], back["status"]) == (card["key"], "a run", "FINISHED")
    ends = [record for _, record in read_records(run_dir / FILE_NAME) if isinstance(record, Ended)]
    assert [end.status for end in ends] == ["FAILED", "FINISHED"]
