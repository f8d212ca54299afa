"""The command that sends what is left."""

import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.cli import run
from experiments.tracking.card import read_card
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.parents import PARENT_TAG, parent_by_key


def _journal_only(runs_dir: Path, name: str) -> None:
    options = TrackingOptions(runs_dir=str(runs_dir), experiment="study", deliver=False)
    tracker = open_run(runs_dir / "sweep" / name, options, name=name, tags={})
    tracker.metrics({"loss": 1.0}, step=0)
    tracker.finish("FINISHED")


def test_runs_kept_in_journals_only_are_sent(
    runs_dir: Path, study_runs: Callable[[], list[Run]], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        _journal_only(runs_dir, name)

    assert run("sync", [f"runs_dir={runs_dir}"]) == 0

    assert "one: sent to sqlite:///" in capsys.readouterr().out
    runs = study_runs()
    assert sorted(found.info.run_name for found in runs) == ["one", "two"]
    assert [found.info.status for found in runs] == ["FINISHED", "FINISHED"]


def test_a_store_that_does_not_answer_is_asked_once_and_the_exit_code_says_so(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused.getsockname()[1]}")
        for name in ("one", "two"):
            _journal_only(runs_dir, name)

        assert run("sync", [f"runs_dir={runs_dir}"]) == 1

    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("one: 4 records not sent: ")
    assert said[1].startswith("two: not sent, http://127.0.0.1:")
    assert said[1].endswith("does not answer")


def test_a_run_can_be_sent_to_another_store(runs_dir: Path, empty_store: Path, tmp_path: Path) -> None:
    _journal_only(runs_dir, "one")
    shutil.copyfile(empty_store, tmp_path / "other.db")

    assert run("sync", [f"runs_dir={runs_dir}", f"uri=sqlite:///{tmp_path}/other.db"]) == 0

    card = read_card(runs_dir / "sweep" / "one")
    assert card is not None
    assert card.run_id is not None
    assert MlflowClient(f"sqlite:///{tmp_path}/other.db").get_run(card.run_id).info.status == "FINISHED"


def test_runs_that_are_sent_already_are_sent_to_another_store_too_once(
    runs_dir: Path, empty_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        _journal_only(runs_dir, name)
    assert run("sync", [f"runs_dir={runs_dir}"]) == 0
    shutil.copyfile(empty_store, tmp_path / "other.db")
    arguments = [f"runs_dir={runs_dir}", f"uri=sqlite:///{tmp_path}/other.db"]
    capsys.readouterr()

    assert run("sync", arguments) == 0
    assert capsys.readouterr().out.count("sent to sqlite:///") == 2
    assert run("sync", arguments) == 0
    assert capsys.readouterr().out == f"{runs_dir}: everything is sent (2 runs to sqlite:///{tmp_path}/other.db)\n"

    client = MlflowClient(f"sqlite:///{tmp_path}/other.db")
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    assert sorted(each.info.run_name for each in found) == ["one", "two"]
    assert [len(client.get_metric_history(each.info.run_id, "loss")) for each in found] == [1, 1]


def test_another_store_that_does_not_answer_is_said_and_changes_nothing(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _journal_only(runs_dir, "one")
    assert run("sync", [f"runs_dir={runs_dir}"]) == 0
    before = read_card(runs_dir / "sweep" / "one")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert run("sync", [f"runs_dir={runs_dir}", f"uri={uri}"]) == 1
    assert capsys.readouterr().err == f"uri={uri}: does not answer; nothing is sent\n"
    assert read_card(runs_dir / "sweep" / "one") == before


def test_runs_that_a_store_has_lost_are_sent_again_and_nest_as_before(
    runs_dir: Path, study_runs: Callable[[], list[Run]], capsys: pytest.CaptureFixture[str]
) -> None:
    options = TrackingOptions(runs_dir=str(runs_dir), experiment="study", deliver=False)
    above = open_run(runs_dir / "above", options, name="above", tags={})
    below = open_run(runs_dir / "below", options, name="below", tags={PARENT_TAG: parent_by_key(above.key)})
    for tracker in (below, above):
        tracker.metrics({"loss": 1.0}, step=0)
        tracker.finish("FINISHED")
    assert run("sync", [f"runs_dir={runs_dir}"]) == 0
    before = {found.info.run_id for found in study_runs()}
    _empty(runs_dir)
    capsys.readouterr()

    assert run("sync", [f"runs_dir={runs_dir}"]) == 0

    store = f"sqlite:///{runs_dir}/mlflow.db"
    assert capsys.readouterr().out.splitlines() == [
        f"{store}: has lost 2 of 2 runs sent to it; sent again now",
        f"above: sent to {store}",
        f"below: sent to {store}",
    ]
    found = {each.info.run_name: each for each in study_runs()}
    assert before.isdisjoint(each.info.run_id for each in found.values())
    assert found["below"].data.tags[PARENT_TAG] == found["above"].info.run_id
    assert [each.data.metrics for each in found.values()] == [{"loss": 1.0}, {"loss": 1.0}]
    assert run("sync", [f"runs_dir={runs_dir}"]) == 0
    assert capsys.readouterr().out == f"{runs_dir}: everything is sent (2 runs to {store})\n"


def test_a_run_in_the_trash_of_a_store_is_not_lost(
    runs_dir: Path,
    client: MlflowClient,
    study_runs: Callable[[], list[Run]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    _journal_only(runs_dir, "one")
    assert run("sync", [f"runs_dir={runs_dir}"]) == 0
    client.delete_run(study_runs()[0].info.run_id)
    capsys.readouterr()

    assert run("sync", [f"runs_dir={runs_dir}"]) == 0

    assert (
        capsys.readouterr().out
        == f"{runs_dir}: everything is sent (1 runs to sqlite:///{runs_dir.resolve()}/mlflow.db)\n"
    )
    assert study_runs() == []


def test_of_a_store_that_does_not_answer_nothing_is_claimed(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _journal_only(runs_dir, "one")
    assert run("sync", [f"runs_dir={runs_dir}"]) == 0
    for file in runs_dir.glob("mlflow.db*"):
        file.unlink()
    (runs_dir / "mlflow.db").mkdir()
    capsys.readouterr()

    assert run("sync", [f"runs_dir={runs_dir}"]) == 1

    assert capsys.readouterr().out == (
        f"sqlite:///{runs_dir}/mlflow.db: cannot be asked for the 1 runs sent to it: "
        "is a folder; allowed: a file, sqlite:///FILE.db\n"
    )


def _empty(runs_dir: Path) -> None:
    """Take everything out of the store; MLflow would go on writing to a file that is moved away."""
    with closing(sqlite3.connect(runs_dir / "mlflow.db")) as connection, connection:
        connection.executescript(
            "DELETE FROM tags; DELETE FROM params; DELETE FROM metrics; DELETE FROM latest_metrics; DELETE FROM runs"
        )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["runs_dir=/nowhere"], "runs_dir=/nowhere: no such folder"),
        (["run_dir=runs"], "run_dir=runs: unknown argument; allowed: runs_dir=…, uri=…"),
        (["--fast"], "--fast: unknown flag"),
        (["uri=./mlruns", "runs_dir=."], "uri=./mlruns: MLflow no longer writes to plain folders"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sync", arguments) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"whydeep: error: {expected}")
    assert said.count("\n") == 1
