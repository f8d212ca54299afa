"""Two studies that share a run, executed at the same time: it is trained once, and both show it."""

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from mlflow import MlflowClient

from experiments.tracking.history import read_history
from experiments.tracking.journal import FILE_NAME as JOURNAL
from tests.experiments.conftest import REPOSITORY, environment

Process = subprocess.Popen[str]
NAMES = ("one", "other")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


def expect(process: Process, stream: IO[str] | None, line: str) -> None:
    """Read what a process says until it has said `line`."""
    assert stream is not None
    assert any(each.strip() == line for each in stream), process.communicate()


def go_on(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.fixture(scope="module")
def said(place: Path) -> dict[str, list[list[str]]]:
    """What each study said of its replicates, when the second came to the shared run while the first trained it."""
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", "tests.experiments.studies.shared_study", name],
            cwd=place,
            env={**environment(), "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in NAMES
    }
    one, other = running.values()
    for process in (one, other):
        expect(process, process.stdout, "ready")
    go_on(one)
    expect(one, one.stdout, "training")
    go_on(other)
    expect(other, other.stderr, "waiting for another process, which executes a run of this study; Ctrl-C stops")
    go_on(one)
    ended = {name: process.communicate(timeout=240) for name, process in running.items()}
    assert [process.returncode for process in running.values()] == [0, 0], ended
    return {name: [line.split() for line in out.splitlines()] for name, (out, _) in ended.items()}


def test_both_show_the_shared_run_and_their_own(said: dict[str, list[list[str]]]) -> None:
    ids = {name: {line[0]: line[3] for line in lines} for name, lines in said.items()}
    assert {line[2] for lines in said.values() for line in lines} == {"FINISHED"}
    assert ids["one"]["shared"] == ids["other"]["shared"] != "None"
    assert ids["one"]["own"] != ids["other"]["own"]


def test_it_is_trained_once(place: Path, said: dict[str, list[list[str]]]) -> None:
    assert said
    folders = [file.parent for file in (place / "runs").glob("*/result.json")]
    assert len(folders) == 3
    for folder in folders:
        # One session: who continues a run writes down where.
        assert [file.name for file in folder.glob("provenance*.json")] == ["provenance.json"]
        assert read_history(folder / JOURNAL).sessions == 1


def test_the_reports_and_the_store_have_it_in_both(place: Path, said: dict[str, list[list[str]]]) -> None:
    shared = said["one"][0][3]
    for name in NAMES:
        assert shared in (place / "runs" / name / "study" / "report.html").read_text()
    client = MlflowClient(f"sqlite:///{place / 'runs' / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.`whydeep.kind` = 'run'")
    assert len(runs) == 3
    (run,) = [run for run in runs if run.info.run_id == shared]
    assert run.info.status == "FINISHED"
    first = run.data.tags["whydeep.study"]
    (second,) = {*NAMES} - {first}
    assert run.data.tags[f"whydeep.study.{second}"] == "shared"
    steps = [point.step for point in client.get_metric_history(shared, "val/top1_error")]
    assert len(steps) == len(set(steps)) == 2
