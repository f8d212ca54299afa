"""From the journal into an SQLite store: everything, once, also when it is sent twice."""

import math
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.tracking.card import CardFile, read_card
from experiments.tracking.delivery import Sender
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.store import Store
from experiments.tracking.tracker import RunTracker

History = Callable[[str, str], list[tuple[int, float]]]
Runs = Callable[[], list[Run]]


def _record_everything(tracker: RunTracker) -> None:
    tracker.params({"optimizer": {"lr": 0.1}, "long": "p" * 7000, **{f"many.{i}": "v" * 3000 for i in range(250)}})
    tracker.tags({"colour": "red", "long": "t" * 9000})
    tracker.description("# A run")
    tracker.dataset(name="digits-train", digest="d" * 64, context="train", source="sklearn", profile={"num_rows": 3})
    for step in range(700):
        tracker.metrics({"val/top1_error": step / 7, "train/loss": -step / 3, "odd (name)": 1.0}, step=step)
    tracker.metrics({"loss": math.nan}, step=0)
    tracker.metrics({"loss": math.inf}, step=1)
    (tracker.run_dir / "config.yaml").write_text("seed: 0")
    tracker.artifact(tracker.run_dir / "config.yaml")
    pictures = tracker.run_dir / "pictures"
    pictures.mkdir(exist_ok=True)
    (pictures / "curve.png").write_bytes(b"png")
    tracker.artifact(pictures, folder="pictures")


def _check_everything(client: MlflowClient, run_id: str, history: History) -> None:
    run = client.get_run(run_id)
    params, tags = run.data.params, run.data.tags
    assert params["optimizer.lr"] == "0.1"
    assert len(params) == 252
    assert params["many.249"] == "v" * 3000
    assert len(params["long"]) == 6000
    assert params["long"].endswith("[cut: all 7000 characters are in the artifact long_values/params/long.txt]")
    assert (tags["colour"], tags["mlflow.note.content"], tags["mlflow.runName"]) == ("red", "# A run", "a run")
    assert len(tags["long"]) == 8000
    assert history(run_id, "val/top1_error") == [(step, step / 7) for step in range(700)]
    assert history(run_id, "train/loss") == [(step, -step / 3) for step in range(700)]
    (odd,) = (key for key in run.data.metrics if key.startswith("odd"))
    assert tags[f"whydeep.name.{odd}"] == "odd (name)"
    assert len(history(run_id, odd)) == 700
    assert [math.isnan(value) for _, value in history(run_id, "loss")] == [True, True]
    assert tags["whydeep.infinite"].startswith("loss at step 1: inf")
    assert run.inputs is not None
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("digits-train", "d" * 36)
    assert [(tag.key, tag.value) for tag in dataset.tags] == [("mlflow.data.context", "train")]
    names = {file.path for file in client.list_artifacts(run_id)}
    assert names == {"config.yaml", "pictures", "long_values"}
    whole = Path(client.download_artifacts(run_id, "long_values/params/long.txt")).read_text()
    assert whole == "p" * 7000
    assert client.list_artifacts(run_id, "pictures")[0].path == "pictures/curve.png"


def test_everything_arrives_once_and_sending_it_all_again_changes_nothing(
    runs_dir: Path, options: TrackingOptions, client: MlflowClient, history: History, study_runs: Runs
) -> None:
    tracker = open_run(runs_dir / "one", options, name="a run", tags={"whydeep.seed": "3"})
    _record_everything(tracker)
    delivery = tracker.finish("FINISHED")

    assert (delivery.pending, delivery.error) == (0, None)
    run_id = tracker.run_id
    assert run_id is not None
    assert client.get_run(run_id).info.status == "FINISHED"
    assert client.get_run(run_id).info.artifact_uri == f"{runs_dir}/artifacts/study/{run_id}/artifacts"
    _check_everything(client, run_id, history)

    # What a crash between the store's answer and the writing down of the position comes to, at its worst.
    card = read_card(runs_dir / "one")
    assert card is not None
    again = CardFile(runs_dir / "one", card)
    again.update(sent=0, run_id=None, experiment_id=None)
    Sender(again, Store(options.destination(), 5.0)).send()

    assert again.card.run_id == run_id
    _check_everything(client, run_id, history)
    assert len(study_runs()) == 1


def test_a_resumed_run_goes_on_under_its_run_id_and_ends_truthfully(
    runs_dir: Path, options: TrackingOptions, client: MlflowClient, history: History
) -> None:
    first = open_run(runs_dir / "one", options, name="a run", tags={})
    for step in range(10):
        first.metrics({"loss": float(step)}, step=step)
    first.finish("FAILED", "a crash\nlast line")
    run_id = first.run_id
    assert run_id is not None
    failed = client.get_run(run_id)
    assert (failed.info.status, failed.data.tags["whydeep.reason"]) == ("FAILED", "a crash\nlast line")

    second = open_run(runs_dir / "one", options, name="a run", tags={})
    assert second.run_id == run_id
    for step in range(5, 15):
        second.metrics({"loss": float(step)}, step=step)
    deadline = time.monotonic() + 20
    while client.get_run(run_id).info.status != "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.get_run(run_id).info.status == "RUNNING"
    assert second.finish("FINISHED").pending == 0

    ended = client.get_run(run_id)
    assert ended.info.status == "FINISHED"
    assert "whydeep.reason" not in ended.data.tags
    assert history(run_id, "loss") == [(step, float(step)) for step in range(15)]


def test_a_child_run_nests_under_its_parent(runs_dir: Path, options: TrackingOptions, client: MlflowClient) -> None:
    parent = open_run(runs_dir / "parent", options, name="study", tags={})
    parent_id = parent.wait_for_run_id(20)
    assert parent_id is not None
    child = open_run(runs_dir / "child", options, name="arm", tags={"mlflow.parentRunId": parent_id})
    child.finish("FINISHED")
    parent.finish("FINISHED")

    assert child.run_id is not None
    assert client.get_run(child.run_id).data.tags["mlflow.parentRunId"] == parent_id


NEW_STORE = """
import sys
from pathlib import Path
from experiments.tracking.options import TrackingOptions
from experiments.tracking.opening import open_run
runs_dir = Path(sys.argv[1])
tracker = open_run(runs_dir / sys.argv[2], TrackingOptions(runs_dir=str(runs_dir)), name=sys.argv[2], tags={})
for step in range(50):
    tracker.metrics({"loss": float(step)}, step=step)
delivery = tracker.finish("FINISHED")
print(delivery.pending, tracker.run_id)
"""


def test_two_processes_may_make_the_store_at_once(tmp_path: Path) -> None:
    runs_dir = tmp_path / "fresh"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", NEW_STORE, str(runs_dir), name],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for name in ("one", "two")
    ]
    said = [process.communicate(timeout=90) for process in processes]

    assert [error for _, error in said] == ["", ""]
    client = MlflowClient(f"sqlite:///{runs_dir}/mlflow.db")
    for output, _ in said:
        pending, run_id = output.split()
        assert pending == "0"
        assert len(client.get_metric_history(run_id, "loss")) == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh"]
    mode = sqlite3.connect(runs_dir / "mlflow.db").execute("PRAGMA journal_mode").fetchone()
    assert mode == ("wal",)
