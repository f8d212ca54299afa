"""A run that finished, and whose process was killed before the store knew."""

from pathlib import Path

import mlflow

from experiments.runs.result import RunResult
from experiments.runs.settle import settle
from experiments.tracking.card import read_card
from experiments.tracking.leftovers import has_pending, reconcile
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions


def killed_after_its_result(runs: Path) -> tuple[RunResult, TrackingOptions]:
    """Leave a run behind as a kill does between its result and the end of its record."""
    run_dir = runs / "run"
    tracker = open_run(run_dir, TrackingOptions(runs_dir=str(runs), deliver=False), name="run", tags={})
    tracker.metrics({"test/loss": 0.5}, step=3)
    tracker.flush()
    tracker._close()
    result = RunResult(run_dir, None, "i", "run", "FINISHED", 0, {}, (1, 8, 8), metrics={"test/loss": 0.5})
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
