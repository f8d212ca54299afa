"""Jobs through Hydra's launchers: its own, which is always there, and submitit where it is installed."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.runs.result import RunResult
from experiments.studies.board import Lines
from experiments.studies.execution import execute_all
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.launched import Launched
from experiments.studies.launched_job import NODE, _is_gone
from tests.experiments.recorded import until, weights
from tests.experiments.studies.toy_study import run_toy, toy_jobs

ONE = {"narrow": ("model.network.widths=[4,4]",)}
LOCAL = ("tracking=local",)


def test_a_job_goes_through_hydra_as_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    jobs = toy_jobs(tmp_path / "runs here", 1, LOCAL, ONE)
    jobs = [replace(job, folder=str(folder)) for job in jobs]
    assert NODE == {"job": "???"}
    said: list[str] = []
    execution = execute_all(
        jobs,
        ExecutionOptions(),
        Lines(said.append, "test/top1_error", 1),
        make=lambda *_: Launched("basic", 1, Path(jobs[0].folder)),
    )
    (one,) = execution.replicates
    assert one.status == "FINISHED", one.reason
    assert isinstance(one.result, RunResult)
    assert one.result.run_dir.parent == tmp_path / "runs here" / "runs"
    assert json.loads((one.result.run_dir / "provenance.json").read_text())["command"] == list(jobs[0].command)
    assert not list((tmp_path / "runs here").glob("**/.hydra"))


def test_a_job_that_is_not_begun_when_the_study_stops_stays_undone(tmp_path: Path) -> None:
    (job,) = toy_jobs(tmp_path, 1, LOCAL, ONE)
    executor = Launched("basic", 1, Path(job.folder))
    # As when the signal comes while it waits in a queue.
    job.stop_file.touch()
    executor.start(job)
    until(lambda: not executor._ended.empty())
    ended = executor.ended(1.0)
    assert (ended[0][1].status, ended[0][1].reason) == ("KILLED", "stopped before its turn")
    executor.close()
    for thread in executor._threads:
        thread.join()
    assert not job.stop_file.exists()


def test_a_stop_is_one_executions_own(tmp_path: Path) -> None:
    (job,) = toy_jobs(tmp_path, 1, LOCAL, ONE)
    (next_job,) = toy_jobs(tmp_path, 1, LOCAL, ONE)
    executor = Launched("basic", 1, Path(job.folder))
    executor._stop_files.add(job.stop_file)
    executor.stop(signal.SIGINT)
    assert job.stop_file.exists()
    # The next execution begins while the former still waits for a job in a cluster's queue.
    later = Launched("basic", 1, Path(next_job.folder))
    later.start(next_job)
    until(lambda: not later._ended.empty())
    ((_, outcome),) = later.ended(1.0)
    assert outcome.status == "FINISHED", outcome.reason
    later.close()
    assert job.stop_file.exists()
    assert {job.file(suffix) for suffix in ("job", "outcome")}.isdisjoint(
        next_job.file(suffix) for suffix in ("job", "outcome")
    )


def test_what_cannot_be_launched_is_said_before_anything_runs(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        with pytest.raises(UserError, match=r"launcher=ray: not installed; pip install 'whydeep\[ray\]' brings it"):
            Launched("ray", 1, tmp_path)
    with pytest.raises(UserError, match=r"hydra\.launcher\.x=1"):
        Launched("basic", 1, tmp_path, ["hydra.launcher.x=1"])


def test_a_parent_is_gone_only_where_it_can_be_seen() -> None:
    assert not _is_gone(f"{os.getpid()}@{socket.gethostname()}")
    assert not _is_gone("999999999@elsewhere")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert _is_gone(f"{ended.pid}@{socket.gethostname()}")


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="needs pip install 'whydeep[slurm]'")
def test_submitit_trains_what_one_process_does_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here, _ = run_toy(toy_jobs(tmp_path / "here", 1, LOCAL), ExecutionOptions("pool", 1))
    launched, _ = run_toy(toy_jobs(tmp_path / "launched", 1, LOCAL), ExecutionOptions("submitit_local", 2))
    assert [one.status for one in launched.replicates] == ["FINISHED"] * 2
    for mine, theirs in zip(here.replicates, launched.replicates, strict=True):
        assert isinstance(mine.result, RunResult)
        assert isinstance(theirs.result, RunResult)
        for name, value in weights(mine.result.run_dir).items():
            assert value.equal(weights(theirs.result.run_dir)[name])
