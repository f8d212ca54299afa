"""Workers side by side: the results of one process, nothing lost in the store, no job that takes others along."""

import json
import os
from pathlib import Path

import mlflow
import pytest
import torch

from experiments.runs.result import RunResult
from experiments.studies.execution_options import ExecutionOptions
from experiments.tracking.journal import read_metrics
from experiments.tracking.parameters import flatten
from tests.experiments.recorded import weights
from tests.experiments.studies.toy_study import run_toy, toy_jobs

LOCAL = ("tracking=local",)
OWN = """
import os, signal
import torch
from torch import nn

class Plain(nn.Sequential):
    def __init__(self, *, num_classes, in_channels, **_):
        super().__init__(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * in_channels, num_classes))

class Dies(Plain):
    def forward(self, images):
        if self.training and torch.is_grad_enabled() and images.device.type == "cpu":
            print("about to die", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(images)

class Diverges(Plain):
    def forward(self, images):
        return super().forward(images) * (float("nan") if self.training else 1.0)
"""


@pytest.fixture(autouse=True)
def _as_many_threads_as_here(monkeypatch: pytest.MonkeyPatch) -> None:
    # The number of threads decides the order of sums, hence the last digits.
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))


def timeless(result: RunResult) -> dict[str, float]:
    return {name: value for name, value in result.metrics.items() if not name.startswith("time/")}


def threads(result: RunResult) -> int:
    found: int = json.loads((result.run_dir / "provenance.json").read_text())["threads"]
    return found


def test_workers_train_what_one_process_does_to_the_bit(tmp_path: Path) -> None:
    here, _ = run_toy(toy_jobs(tmp_path / "here", 2, LOCAL), ExecutionOptions())
    pool, said = run_toy(toy_jobs(tmp_path / "pool", 2, LOCAL), ExecutionOptions("pool", 2))
    assert [one.status for one in (*here.replicates, *pool.replicates)] == ["FINISHED"] * 8
    assert len(said) == 4
    for mine, theirs in zip(here.replicates, pool.replicates, strict=True):
        assert isinstance(mine.result, RunResult)
        assert isinstance(theirs.result, RunResult)
        assert (theirs.arm, theirs.seed) == (mine.arm, mine.seed)
        assert theirs.result.identity == mine.result.identity
        for name, value in weights(mine.result.run_dir).items():
            assert torch.equal(weights(theirs.result.run_dir)[name], value)
        assert timeless(theirs.result) == timeless(mine.result)
        assert threads(theirs.result) == threads(mine.result) == torch.get_num_threads()
    again, said = run_toy(toy_jobs(tmp_path / "pool", 2, LOCAL), ExecutionOptions("pool", 2))
    assert [line.count("finished before") for line in said] == [1] * 4
    assert [one.result.again() for one in pool.replicates if isinstance(one.result, RunResult)] == [
        one.result for one in again.replicates
    ]


def test_an_arm_that_always_dies_takes_no_other_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dying.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    arms = {
        "narrow": ("model.network._target_=dying.Plain",),
        "dies": ("model.network._target_=dying.Dies",),
        "diverges": ("model.network._target_=dying.Diverges",),
    }
    execution, said = run_toy(toy_jobs(tmp_path, 2, LOCAL, arms), ExecutionOptions("pool", 2))
    assert execution.stopped_by is None
    found = {(one.arm, one.seed): one for one in execution.replicates}
    for seed in (0, 1):
        assert found["narrow", seed].status == "FINISHED"
        died = found["dies", seed]
        assert (died.status, died.reason) == ("FAILED", "its process was killed by SIGKILL")
        assert isinstance(died.result, RunResult)
        assert json.loads((died.result.run_dir / "result.json").read_text())["reason"] == died.reason
        card = json.loads((died.result.run_dir / "tracking.json").read_text())
        assert (card["status"], card["reason"]) == ("FAILED", died.reason)
        # Begun twice, recorded once.
        assert (died.result.run_dir / "provenance-2.json").exists()
        assert len(list((tmp_path / "runs").glob(f"{died.result.run_dir.name}*"))) == 1
        diverged = found["diverges", seed]
        assert diverged.status == "FAILED"
        assert "loss became nan" in str(diverged.reason)
        assert isinstance(diverged.result, RunResult)
        assert not (diverged.result.run_dir / "provenance-2.json").exists()
    assert sum(line.endswith("was killed by SIGKILL; tried again") for line in said) == 2
    assert not any("diverges" in line and "tried again" in line for line in said)
    assert "about to die" in (tmp_path / "runs" / "toy" / "jobs" / "dies-seed0.log").read_text()


def test_a_run_of_several_processes_is_launched_by_a_worker(tmp_path: Path) -> None:
    two = ("trainer.devices=2", "trainer.strategy=ddp")
    jobs = toy_jobs(tmp_path, 1, (*LOCAL, *two), {"narrow": ("model.network.widths=[4,4]",)})
    execution, _ = run_toy(jobs, ExecutionOptions("pool", 2))
    (one,) = execution.replicates
    assert one.status == "FINISHED", one.reason
    assert isinstance(one.result, RunResult)
    confusion = json.loads((one.result.run_dir / "test_classes.json").read_text())["confusion"]
    samples = json.loads((one.result.run_dir / "data.json").read_text())["samples"]["test"]
    assert sum(map(sum, confusion)) == samples
    assert "MEMBER: 2/2" in (tmp_path / "runs" / "toy" / "jobs" / "narrow-seed0.log").read_text()


def test_eight_workers_lose_nothing_in_one_store(tmp_path: Path) -> None:
    jobs = toy_jobs(tmp_path, 4, ("trainer.max_epochs=2",))
    execution, _ = run_toy(jobs, ExecutionOptions("pool", 8))
    assert [one.status for one in execution.replicates] == ["FINISHED"] * 8
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (experiment,) = [found for found in client.search_experiments() if found.name == "toy"]
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    assert len(runs) == 8
    for job, one in zip(jobs, execution.replicates, strict=True):
        assert isinstance(one.result, RunResult)
        run = runs[str(one.result.run_id)]
        assert run.info.status == "FINISHED"
        recorded = read_metrics(one.result.run_dir)
        assert {"train/step_loss", "test/top1_error", "measure/parameters"} <= set(recorded["key"])
        for key, points in recorded.groupby("key"):
            stored = sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, str(key)))
            assert stored == sorted(zip(points["step"], points["value"], strict=True)), key
        asked = dict(flatten({key: value for key, value in job.config.items() if key != "choices"}))
        assert asked.items() <= run.data.params.items()
        assert run.data.tags["whydeep.seed"] == str(job.seed)
        assert run.data.tags["whydeep.identity"] == one.result.identity
        artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"config.yaml", "provenance.json", "checkpoints", "pictures", "log.txt"} <= artifacts


def test_workers_share_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("WHYDEEP_CORES", "6")
    arms = {"narrow": ("model.network.widths=[4,4]",)}
    execution, _ = run_toy(toy_jobs(tmp_path, 1, LOCAL, arms), ExecutionOptions("pool", 2))
    (one,) = execution.replicates
    assert isinstance(one.result, RunResult)
    assert threads(one.result) == 3
    assert os.environ["WHYDEEP_CORES"] == "6"
