"""Studies that are stopped and killed, as real processes: nothing is lost, nothing is done twice."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest

from experiments.runs.result import RunResult
from tests.experiments.conftest import environment
from tests.experiments.recorded import result, run_dirs, until

WORKERS, SEEDS = 2, 2
RUNS = 2 * SEEDS
# Some seconds of training for each run, so that a signal finds it there.
LONG = "trainer.max_epochs=40"

linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")


def command(*overrides: str) -> list[str]:
    module = "tests.experiments.studies.toy_study"
    return [sys.executable, "-m", module, str(WORKERS), str(SEEDS), LONG, *overrides]


@contextmanager
def study(folder: Path, number: int) -> Iterator["subprocess.Popen[str]"]:
    """Start the study in a session of its own; what it says goes into a file."""
    with (folder / f"said-{number}.txt").open("w") as said:
        process = subprocess.Popen(
            command(),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def descendants(pid: int) -> set[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= more
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def finished(folder: Path) -> dict[str, bytes]:
    return {
        path.name: (path / "result.json").read_bytes()
        for path in run_dirs(folder)
        if (path / "result.json").exists() and result(path)["status"] == "FINISHED"
    }


def run_id(run_dir: Path) -> str:
    # As the project reads it: a run that was killed before the store had answered found its id later.
    found = RunResult.read(run_dir)
    return str(found and found.run_id)


def check_whole(folder: Path, completed: "subprocess.CompletedProcess[str]") -> None:
    """Check that every run is finished, in one directory and as one run of the store."""
    assert completed.returncode == 0, completed.stderr
    assert len(run_dirs(folder)) == RUNS
    assert len(completed.stdout.splitlines()) == RUNS
    done = finished(folder)
    assert len(done) == RUNS
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name == "toy"]
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(run.info.run_id for run in runs) == sorted(map(run_id, run_dirs(folder)))
    assert len({run.data.tags["whydeep.identity"] for run in runs}) == RUNS


@linux
def test_a_study_that_is_killed_twice_is_continued(tmp_path: Path) -> None:
    chance = random.Random(os.getpid())  # noqa: S311 - any moment will do
    before: dict[str, bytes] = {}
    for number in (1, 2):
        with study(tmp_path, number) as process:
            # At least one more has finished, others are under way.
            until(lambda: len(finished(tmp_path)) > len(before))  # noqa: B023 - used in this turn
            until(lambda: process.poll() is not None, seconds=chance.uniform(0.0, 1.5), must=False)
            workers = descendants(process.pid)
            assert workers
            assert process.poll() is None, "killed too late to test anything"
            # Only the process that was started, then its whole group.
            (os.kill if number == 1 else os.killpg)(process.pid, signal.SIGKILL)
            process.wait()
        until(lambda: not any(map(alive, workers)), seconds=20)  # noqa: B023 - used in this turn
        now = finished(tmp_path)
        assert before.items() <= now.items()
        before = now
    completed = subprocess.run(
        command(), cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert completed.stderr.count("finished before") == len(before)
    assert before.items() <= finished(tmp_path).items()
    check_whole(tmp_path, completed)


@linux
def test_a_study_that_is_stopped_saves_what_runs_and_is_continued(tmp_path: Path) -> None:
    with study(tmp_path, 1) as process:
        until(lambda: len(list((tmp_path / "runs").glob("*/checkpoints/last.ckpt"))) >= WORKERS)
        workers = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        told = str(process.stdout and process.stdout.read())
    until(lambda: not any(map(alive, workers)), seconds=20)
    stopped = [path for path in run_dirs(tmp_path) if result(path)["status"] == "KILLED"]
    assert stopped
    assert told.count("NOT RUN") + len(stopped) + len(finished(tmp_path)) == RUNS
    said = (tmp_path / "said-1.txt").read_text()
    assert said.count("stopped by SIGINT; the same command continues it") == len(stopped)
    assert "Traceback" not in said
    ids = {path.name: result(path)["run_id"] for path in stopped}
    completed = subprocess.run(
        command(), cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    check_whole(tmp_path, completed)
    for path in stopped:
        assert result(path)["run_id"] == ids[path.name]
        assert (path / "provenance-2.json").exists(), "continued, not begun anew"
