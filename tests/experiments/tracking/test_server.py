"""A real tracking server on loopback: away at the start, killed in mid-run, silent; nothing lost, nothing doubled."""

import math
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments.tracking.card import CardFile, read_card
from experiments.tracking.charts import VIEW_TAG
from experiments.tracking.delivery import Sender
from experiments.tracking.lookup import find_run
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.store import Store
from experiments.tracking.store_errors import StoreAwayError
from tests.experiments.tracking.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(empty_store, folder / "mlflow.db")
    server = Server(folder)
    yield server
    server.kill()


@pytest.fixture
def options(server: Server, tmp_path: Path) -> TrackingOptions:
    return TrackingOptions(
        uri=server.uri,
        runs_dir=str(tmp_path),
        experiment="study",
        interval_seconds=0.05,
        flush_seconds=60.0,
        timeout_seconds=20.0,
    )


def _points(server: Server, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in MlflowClient(server.uri).get_metric_history(run_id, key)]


def test_a_server_that_comes_late_and_is_killed_in_mid_run_gets_everything_once(
    server: Server, options: TrackingOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    tracker = open_run(tmp_path / "run", options, name="steadfast", tags={"whydeep.seed": "3"})
    tracker.params({"lr": 0.1, "long": "p" * 7000})
    began = time.perf_counter()
    for step in range(500):
        tracker.metrics({"loss": step / 7}, step=step)
    assert time.perf_counter() - began < 1.0
    assert tracker.wait_for_run_id(0.3) is None

    server.start()
    run_id = tracker.wait_for_run_id(60)
    assert run_id is not None

    stop = threading.Event()
    last = 500

    def train() -> None:
        nonlocal last
        while not stop.is_set():
            tracker.metrics({"loss": last / 7}, step=last)
            last += 1
            time.sleep(0.002)

    training = threading.Thread(target=train)
    training.start()
    time.sleep(0.5)
    server.kill()
    time.sleep(0.5)
    assert training.is_alive()
    server.start()
    time.sleep(0.5)
    stop.set()
    training.join()
    delivery = tracker.finish("FINISHED")

    assert (delivery.pending, delivery.error) == (0, None)
    assert tracker.run_id == run_id
    assert sorted(_points(server, run_id, "loss")) == [(step, step / 7) for step in range(last)]
    run = MlflowClient(server.uri).get_run(run_id)
    assert (run.info.status, run.data.params["lr"], run.data.tags["whydeep.seed"]) == ("FINISHED", "0.1", "3")
    runs = MlflowClient(server.uri).search_runs([run.info.experiment_id])
    assert [found.info.run_id for found in runs] == [run_id]
    assert VIEW_TAG in MlflowClient(server.uri).get_experiment(run.info.experiment_id).tags
    assert 1 <= caplog.text.count("does not take records now") <= 4


def test_sending_again_over_http_changes_nothing_and_artifacts_go_through_the_server(
    server: Server, options: TrackingOptions, tmp_path: Path
) -> None:
    server.start()
    tracker = open_run(tmp_path / "run", options, name="again", tags={})
    for step in range(1200):
        tracker.metrics({"loss": step / 3}, step=step)
    tracker.metrics({"odd": math.nan}, step=0)
    tracker.metrics({"odd": -math.inf}, step=1)
    tracker.dataset(name="digits", digest="d" * 64, context="train", source="sklearn")
    (tracker.run_dir / "checkpoints").mkdir()
    (tracker.run_dir / "checkpoints" / "best.ckpt").write_bytes(bytes(3_000_000))
    tracker.artifact(tracker.run_dir / "checkpoints" / "best.ckpt", folder="checkpoints")
    assert tracker.finish("FAILED", "a crash").pending == 0
    run_id = tracker.run_id
    assert run_id is not None

    card = read_card(tracker.run_dir)
    assert card is not None
    again = CardFile(tracker.run_dir, card)
    again.update(sent=0, run_id=None, experiment_id=None)
    Sender(again, Store(options.destination(), 20.0)).send()

    assert again.card.run_id == run_id
    assert sorted(_points(server, run_id, "loss")) == [(step, step / 3) for step in range(1200)]
    odd = _points(server, run_id, "odd")
    assert [step for step, _ in sorted(odd)] == [0, 1]
    assert all(math.isnan(value) for _, value in odd)
    run = MlflowClient(server.uri).get_run(run_id)
    assert (run.info.status, run.data.tags["whydeep.reason"]) == ("FAILED", "a crash")
    assert run.inputs is not None
    assert len(run.inputs.dataset_inputs) == 1
    shutil.rmtree(tracker.run_dir)
    found = find_run(tmp_path, "again", options)
    assert (found / "checkpoints" / "best.ckpt").stat().st_size == 3_000_000


def test_a_server_that_never_answers_does_not_hold_a_run_up(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # accepts, and says nothing
        options = TrackingOptions(
            uri=f"http://127.0.0.1:{silent.getsockname()[1]}",
            runs_dir=str(tmp_path),
            interval_seconds=0.05,
            flush_seconds=1.0,
            timeout_seconds=1.0,
        )
        tracker = open_run(tmp_path / "run", options, name="a run", tags={})
        tracker.metrics({"loss": 1.0}, step=0)
        began = time.monotonic()
        delivery = tracker.finish("FINISHED")

        assert time.monotonic() - began < 5.0
        assert delivery.pending == 4
        assert delivery.error is not None
        assert "\n" not in delivery.error


def test_an_address_that_is_no_tracking_server_says_so(tmp_path: Path, empty_store: Path) -> None:
    del empty_store
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        destination = TrackingOptions(
            uri=f"http://127.0.0.1:{unused.getsockname()[1]}", runs_dir=str(tmp_path)
        ).destination()
        store = Store(destination, 1.0)

        assert not store.answers()
        with pytest.raises(StoreAwayError, match="refused"):
            store.experiment_id("study")
