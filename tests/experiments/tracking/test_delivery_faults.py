"""What a store can do to a delivery: forget, refuse, lock, lose an answer. Nothing is lost and nothing doubled."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.tracking import delivery as delivery_module
from experiments.tracking.card import CardFile, read_card
from experiments.tracking.delivery import Sender
from experiments.tracking.opening import open_run
from experiments.tracking.options import Destination, TrackingOptions
from experiments.tracking.records import DatasetInput
from experiments.tracking.store import Store
from experiments.tracking.store_errors import RefusedError, StoreAwayError

History = Callable[[str, str], list[tuple[int, float]]]
Runs = Callable[[], list[Run]]


def test_a_store_that_was_emptied_is_told_everything_again(
    runs_dir: Path, options: TrackingOptions, empty_store: Path, history: History, client: MlflowClient
) -> None:
    tracker = open_run(runs_dir / "one", options, name="a run", tags={})
    tracker.metrics({"loss": 1.0}, step=0)
    first_id = tracker.wait_for_run_id(20)
    assert first_id is not None
    for suffix in ("", "-wal", "-shm"):
        (runs_dir / f"mlflow.db{suffix}").unlink(missing_ok=True)
    shutil.copyfile(empty_store, runs_dir / "mlflow.db")
    client._tracking_client.store.engine.dispose()
    tracker.metrics({"loss": 2.0}, step=1)
    delivery = tracker.finish("FINISHED")

    assert delivery.pending == 0
    run_id = tracker.run_id
    assert run_id is not None
    assert run_id != first_id
    assert history(run_id, "loss") == [(0, 1.0), (1, 2.0)]


def test_a_run_that_was_deleted_in_the_store_keeps_its_records_until_it_is_restored(
    runs_dir: Path, options: TrackingOptions, client: MlflowClient, history: History
) -> None:
    tracker = open_run(runs_dir / "one", TrackingOptions(**{**vars(options), "flush_seconds": 0.5}), name="a", tags={})
    run_id = tracker.wait_for_run_id(20)
    assert run_id is not None
    client.delete_run(run_id)
    tracker.metrics({"loss": 1.0}, step=0)
    delivery = tracker.finish("FINISHED")

    assert delivery.pending > 0
    assert delivery.error is not None
    assert "deleted in the store" in delivery.error

    client.restore_run(run_id)
    card = read_card(runs_dir / "one")
    assert card is not None
    Sender(CardFile(runs_dir / "one", card), Store(options.destination(), 5.0)).send()
    assert history(run_id, "loss") == [(0, 1.0)]
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_locked_data_base_is_tried_again(
    runs_dir: Path, options: TrackingOptions, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow itself waits 20 seconds for a lock; what matters is what follows.
    monkeypatch.setattr("sqlalchemy.engine.default.DefaultDialect.do_execute", _impatient)
    tracker = open_run(runs_dir / "one", options, name="a run", tags={})
    run_id = tracker.wait_for_run_id(20)
    assert run_id is not None
    with sqlite3.connect(runs_dir / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        tracker.metrics({"loss": 1.0}, step=0)
        time.sleep(0.6)
        assert tracker._shipper is not None
        assert tracker._shipper.error is not None
        assert "locked" in tracker._shipper.error
        other.execute("ROLLBACK")
    other.close()

    assert tracker.finish("FINISHED").pending == 0
    assert history(run_id, "loss") == [(0, 1.0)]


def _impatient(
    self: object, cursor: sqlite3.Cursor, statement: str, parameters: object, context: object = None
) -> None:
    del self, context
    cursor.execute(statement.replace("busy_timeout = 20000", "busy_timeout = 50"), parameters)  # type: ignore[arg-type]


class _Fake(Store):
    """A store that answers as it is told."""

    def __init__(self, options: TrackingOptions) -> None:
        super().__init__(options.destination(), 5.0)
        self.broken_artifacts = False
        self.lose_next_answer = False
        self.refused = ""

    def log_artifact(self, run_id: str, path: Path, folder: str) -> None:
        if self.broken_artifacts:
            raise StoreAwayError("no credentials for the object store")
        super().log_artifact(run_id, path, folder)

    def create_run(self, experiment_id: str, key: str, name: str, start: float) -> str:
        run_id = super().create_run(experiment_id, key, name, start)
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise StoreAwayError("timed out")
        return run_id

    def log_dataset(self, run_id: str, dataset: DatasetInput) -> None:
        if dataset.name == self.refused:
            raise RefusedError("not this one")
        super().log_dataset(run_id, dataset)


@pytest.fixture
def journalled(runs_dir: Path, options: TrackingOptions) -> CardFile:
    """A finished run of which nothing is sent yet."""
    tracker = open_run(runs_dir / "one", TrackingOptions(**{**vars(options), "deliver": False}), name="a run", tags={})
    (tracker.run_dir / "weights.ckpt").write_text("weights")
    tracker.artifact(tracker.run_dir / "weights.ckpt", folder="checkpoints")
    tracker.dataset(name="digits", digest="d", context="train", source="sklearn")
    tracker.metrics({"loss": 1.0}, step=0)
    tracker.finish("FINISHED")
    card = read_card(tracker.run_dir)
    assert card is not None
    return CardFile(tracker.run_dir, card)


def test_an_artifact_that_cannot_be_stored_does_not_hold_the_numbers_back(
    journalled: CardFile, options: TrackingOptions, client: MlflowClient, history: History
) -> None:
    store = _Fake(options)
    store.broken_artifacts = True
    sender = Sender(journalled, store)
    sender.send()

    run_id = journalled.card.run_id
    assert run_id is not None
    assert history(run_id, "loss") == [(0, 1.0)]
    assert client.get_run(run_id).info.status == "FINISHED"
    left = delivery_module.delivered(journalled, "no credentials")
    assert (left.pending, left.error) == (1, "no credentials")
    assert read_card(journalled.run_dir) == journalled.card

    store.broken_artifacts = False
    sender.retry_artifacts_now()
    sender.send()
    assert client.list_artifacts(run_id, "checkpoints")[0].path == "checkpoints/weights.ckpt"
    assert delivery_module.delivered(journalled, None).pending == 0


def test_a_creation_whose_answer_is_lost_does_not_make_two_runs(
    journalled: CardFile, options: TrackingOptions, study_runs: Runs
) -> None:
    store = _Fake(options)
    store.lose_next_answer = True
    sender = Sender(journalled, store)
    with pytest.raises(StoreAwayError, match="timed out"):
        sender.send()
    sender.send()

    (run,) = study_runs()
    assert run.info.run_id == journalled.card.run_id


def test_a_double_that_came_late_is_removed(
    journalled: CardFile, options: TrackingOptions, study_runs: Runs, history: History
) -> None:
    store = _Fake(options)
    experiment_id = store.experiment_id("study")
    for _ in range(2):
        store.create_run(experiment_id, journalled.card.key, "a run", 1.0)
    Sender(journalled, store).send()

    (run,) = study_runs()
    assert run.info.run_id == journalled.card.run_id
    assert history(run.info.run_id, "loss") == [(0, 1.0)]


def test_what_mlflow_refuses_for_good_is_named_and_passed_over(
    journalled: CardFile, options: TrackingOptions, client: MlflowClient, history: History
) -> None:
    store = _Fake(options)
    store.refused = "digits"
    Sender(journalled, store).send()

    run_id = journalled.card.run_id
    assert run_id is not None
    assert client.get_run(run_id).data.tags["whydeep.refused"] == "digits: not this one"
    assert history(run_id, "loss") == [(0, 1.0)]


def test_one_refused_parameter_does_not_take_its_batch_with_it(
    runs_dir: Path, options: TrackingOptions, client: MlflowClient
) -> None:
    tracker = open_run(runs_dir / "one", options, name="a run", tags={})
    run_id = tracker.wait_for_run_id(20)
    assert run_id is not None
    client.log_param(run_id, "b", "set by somebody else")
    tracker.params({"a": 1, "b": 2, "c": 3})
    assert tracker.finish("FINISHED").pending == 0

    run = client.get_run(run_id)
    assert {key: run.data.params[key] for key in "abc"} == {"a": "1", "b": "set by somebody else", "c": "3"}
    assert run.data.tags["whydeep.refused"].startswith("b: ")


def test_an_experiment_that_mlflow_refuses_leaves_everything_in_the_journal(
    runs_dir: Path, options: TrackingOptions
) -> None:
    refused = TrackingOptions(**{**vars(options), "experiment": "x" * 600, "flush_seconds": 0.3})
    tracker = open_run(runs_dir / "one", refused, name="a run", tags={})
    tracker.metrics({"loss": 1.0}, step=0)
    delivery = tracker.finish("FINISHED")

    assert (delivery.sent, delivery.pending) == (0, 4)
    assert delivery.error is not None
    assert "500 characters" in delivery.error


def test_another_store_gets_the_whole_journal(
    journalled: CardFile, options: TrackingOptions, tmp_path: Path, empty_store: Path
) -> None:
    Sender(journalled, Store(options.destination(), 5.0)).send()
    shutil.copyfile(empty_store, tmp_path / "other.db")
    other = Destination(f"sqlite:///{tmp_path}/other.db", str(tmp_path / "other"))
    Sender(journalled, Store(other, 5.0)).send()

    run_id = journalled.card.run_id
    assert run_id is not None
    copy = MlflowClient(other.uri).get_run(run_id)
    assert (copy.info.status, copy.data.metrics) == ("FINISHED", {"loss": 1.0})


def test_mlflows_patience_is_shortened_unless_the_user_has_set_it(
    options: TrackingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")

    assert Store(options.destination(), 5.0).answers()

    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
