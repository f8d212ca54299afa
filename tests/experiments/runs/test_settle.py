"""A run that finished, and whose process was killed before the store knew."""

import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from experiments.runs.endings import Ending, Endings
from experiments.runs.result import RunResult, Status
from experiments.runs.settle import ended_by, settle
from experiments.sync import main as sync
from experiments.tracking.card import read_card
from experiments.tracking.leftovers import has_pending, reconcile, send_leftover
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.store import Store
from tests.experiments.conftest import TOY, Whydeep, environment
from tests.experiments.recorded import run_dirs

# A journal that nobody asks to be written is not, and nothing is sent before the end.
KILLED_BEFORE_THE_END_OF_ITS_RECORD = """
import os, signal, sys
from experiments.tracking import tracker, writer

writer._INTERVAL_SECONDS = 3600
tracker.RunTracker.finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

from experiments.cli import main

sys.argv = ["whydeep", "train", *sys.argv[1:]]
main()
"""


def killed_after_its_result(
    runs: Path, status: Status = "FINISHED", reason: str | None = None
) -> tuple[RunResult, TrackingOptions]:
    """Leave a run behind as a kill does between its result and the end of its record."""
    run_dir = runs / "run"
    tracker = open_run(run_dir, TrackingOptions(runs_dir=str(runs), deliver=False), name="run", tags={})
    tracker.metrics({"test/loss": 0.5}, step=3)
    tracker.flush()
    tracker._close()
    result = RunResult(run_dir, None, "i", "run", status, 0, {}, (1, 8, 8), {"test/loss": 0.5}, reason=reason)
    result.write()
    return result, TrackingOptions(runs_dir=str(runs))


def test_the_store_is_told_that_it_finished(tmp_path: Path) -> None:
    result, options = killed_after_its_result(tmp_path)
    settled = settle(result, options)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = client.get_run(str(settled.run_id))
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"test/loss": 0.5}
    assert "whydeep.reason" not in run.data.tags
    assert not has_pending(result.run_dir)
    assert settle(settled, options) == settled


def test_it_is_not_taken_for_one_that_died_in_its_training(tmp_path: Path) -> None:
    result, options = killed_after_its_result(tmp_path)
    assert reconcile(tmp_path) == [result.run_dir]
    settle(result, options)
    card = read_card(result.run_dir)
    assert card is not None
    assert (card.status, card.reason) == ("FINISHED", None)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = client.get_run(str(card.run_id))
    assert run.info.status == "FINISHED"
    assert "whydeep.reason" not in run.data.tags


def test_its_result_is_believed_before_its_silence(tmp_path: Path) -> None:
    result, _ = killed_after_its_result(tmp_path)
    assert reconcile(tmp_path, ended_by) == [result.run_dir]
    card = read_card(result.run_dir)
    assert card is not None
    assert (card.status, card.reason) == ("FINISHED", None)


@pytest.mark.parametrize("by", ["reconcile", "settle"])
def test_what_failed_before_its_process_was_killed_failed(tmp_path: Path, by: str) -> None:
    result, options = killed_after_its_result(tmp_path, "FAILED", "the loss is NaN")
    if by == "reconcile":
        assert reconcile(tmp_path, ended_by) == [result.run_dir]
        send_leftover(result.run_dir, Store(options.destination(), 10.0))
    else:
        settle(result, options)
    card = read_card(result.run_dir)
    assert card is not None
    assert (card.status, card.reason) == ("FAILED", "the loss is NaN")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = client.get_run(str(card.run_id))
    assert (run.info.status, run.data.tags["whydeep.reason"]) == ("FAILED", "the loss is NaN")
    assert artifacts(client, str(card.run_id)) == {"result.json"}


def test_what_its_processes_wrote_down_is_believed_where_none_could_record_it(tmp_path: Path) -> None:
    result, _ = killed_after_its_result(tmp_path)
    (result.run_dir / "result.json").unlink()
    endings = Endings(result.run_dir, "1-1")
    endings.write(Ending(0, "FAILED", "connection closed by peer", 12.5))
    endings.write(Ending(1, "FAILED", "dog.png is broken", 12.0))
    assert reconcile(tmp_path, ended_by) == [result.run_dir]
    card = read_card(result.run_dir)
    assert card is not None
    assert (card.status, card.reason) == ("FAILED", "dog.png is broken")


def test_a_process_that_died_in_its_training_was_killed(tmp_path: Path) -> None:
    result, _ = killed_after_its_result(tmp_path)
    (result.run_dir / "result.json").write_text("{")
    assert reconcile(tmp_path, ended_by) == [result.run_dir]
    card = read_card(result.run_dir)
    assert card is not None
    assert card.status == "KILLED"


def artifacts(client: mlflow.MlflowClient, run_id: str, folder: str = "") -> set[str]:
    found = client.list_artifacts(run_id, folder or None)
    return {one.path for one in found if not one.is_dir}.union(
        *(artifacts(client, run_id, one.path) for one in found if one.is_dir)
    )


def test_a_run_killed_right_after_its_result_is_recorded_whole(whydeep: Whydeep, tmp_path: Path) -> None:
    command = [*TOY, "gradient_flow_every=1"]
    script = [sys.executable, "-c", KILLED_BEFORE_THE_END_OF_ITS_RECORD, *command]
    killed = subprocess.run(script, cwd=tmp_path, env=environment(), capture_output=True, check=False, timeout=240)
    assert killed.returncode == -9, killed.stderr.decode()
    shutil.copytree(tmp_path / "runs", tmp_path / "moved" / "runs")
    # The one by `whydeep sync`, the other by whoever asks for the run again.
    assert sync([f"runs_dir={tmp_path / 'runs'}"]) == 0
    (moved,) = run_dirs(tmp_path / "moved")
    result = RunResult.read(moved)
    assert result is not None
    options = TrackingOptions(runs_dir=str(moved.parent), experiment="whydeep")
    settled = settle(result, options)
    assert settle(settled, options) == settled
    # As the same run is recorded that nobody killed.
    whole = whydeep("train", *command, "runs_dir=whole/runs")
    assert whole.returncode == 0, whole.stderr
    told = []
    for folder in (tmp_path, tmp_path / "moved", tmp_path / "whole"):
        client = mlflow.MlflowClient(f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("whydeep")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        points = {key: len(client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics}
        tags = {key for key in run.data.tags if not key.startswith("mlflow.source")}
        told.append((run.info.status, points, tags, artifacts(client, run.info.run_id)))
    assert told[0] == told[1] == told[2]
    assert "gradient_flow.json" in told[0][3]
