"""`whydeep train` in several processes: what they train together, and what is left when one of them ends."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
import torch

from experiments.runs.build import assemble
from experiments.runs.configuration import compose
from experiments.runs.evaluation import evaluate
from experiments.runs.execute import identity_of
from experiments.tracking.locks import RunLock, is_locked
from tests.experiments.conftest import TOY, Start, Whydeep, environment
from tests.experiments.prepared import Command
from tests.experiments.recorded import history, recorded, result, run_dirs, until, weights

DDP = ("trainer.strategy=ddp", "trainer.accelerator=cpu")
TWO = (*DDP, "trainer.devices=2")
LONG = ("model=conv5x5", "datamodule.image_size=8", "model.network.widths=[16,16]", "trainer.max_epochs=60")
# Without batch norm, whose statistics are of each process's own share.
OWN = """
import os
import torch
from torch import nn

class Plain(nn.Sequential):
    def __init__(self, *, num_classes, in_channels, **_):
        super().__init__(
            nn.Conv2d(in_channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, num_classes)
        )

class Broken(Plain):
    steps = 0

    def forward(self, images):
        self.steps += self.training and torch.is_grad_enabled()
        if self.steps > 5 and os.environ.get("RANK") == "1":
            raise OSError("dog.png: is broken")
        return super().forward(images)
"""


def samples_of(run_dir: Path) -> tuple[int, int]:
    """Return how many samples a run's test counted, and how many there are."""
    confusion = json.loads((run_dir / "test_classes.json").read_text())["confusion"]
    samples: int = json.loads((run_dir / "data.json").read_text())["samples"]["test"]
    return sum(map(sum, confusion)), samples


def test_a_sweep_over_numbers_of_processes_counts_every_sample_in_each_run(whydeep: Whydeep, tmp_path: Path) -> None:
    sweep = whydeep("train", "-m", *TOY, *DDP, "trainer.devices=1,2,1", "rerun=true")
    assert sweep.returncode == 0, sweep.stderr
    runs = run_dirs(tmp_path)
    assert len(runs) == 3
    for run_dir in runs:
        counted, samples = samples_of(run_dir)
        assert counted == samples


def test_two_processes_train_what_one_does(whydeep: Whydeep, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    # 64 bits: the order of a sum is all that may differ. Odd numbers of samples: the processes get unequal shares.
    shared = (
        *TOY,
        "model.network._target_=own.Plain",
        "trainer.precision=64-true",
        "datamodule.batch_size=50",
        "datamodule.val_fraction=0.13",
        "runs_dir=runs",
    )
    one = whydeep("train", *shared)
    assert one.returncode == 0, one.stderr
    (single,) = run_dirs(tmp_path)
    two = whydeep("train", *shared, *TWO, "rerun=true")
    assert two.returncode == 0, two.stderr
    double = next(path for path in run_dirs(tmp_path) if path != single)
    alone, together = result(single), result(double)
    # Without batch norm, the number of processes is no ingredient of a result.
    assert together["identity"] == alone["identity"]
    assert together["metrics"]["test/loss"] == pytest.approx(alone["metrics"]["test/loss"], rel=1e-6)  # type: ignore[index]
    for metric in ("train/loss", "train/top1_error", "val/loss", "val/top1_error", "test/top5_error"):
        mine, theirs = (history(tmp_path, str(run["run_id"]), metric) for run in (alone, together))
        assert [step for step, _ in mine] == [step for step, _ in theirs]
        assert [value for _, value in theirs] == pytest.approx([value for _, value in mine], rel=1e-6), metric
    assert samples_of(double) == samples_of(single)


def test_two_processes_leave_frozen_layers_as_they_are(whydeep: Whydeep, tmp_path: Path) -> None:
    frozen = ("model.freeze=first:1", "model.trunk_lr_factor=0.5", "ema_decay=0.9", "initial_errors=true")
    done = whydeep("train", *TOY, *TWO, *frozen, "runs_dir=runs")
    assert done.returncode == 0, done.stderr
    (run_dir,) = run_dirs(tmp_path)
    untrained = assemble(compose([*TOY, *frozen, f"runs_dir={tmp_path}"]))
    before = untrained.module
    after = weights(run_dir, "best")
    names = {f"network.{name}" for name in before.fine_tuning.frozen}
    assert names != set()
    assert {name for name, value in before.state_dict().items() if torch.equal(value, after[name])} == names
    metrics = result(run_dir)["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["initial/val_top1_error"] == evaluate(untrained, "val").errors["top1_error"]


def children(process: Command) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")


@linux
def test_a_run_whose_launcher_is_killed_ends_and_is_continued(whydeep: Whydeep, start: Start, tmp_path: Path) -> None:
    launcher = start(["train", *LONG, *TWO])
    until(lambda: any((tmp_path / "runs").glob("*/checkpoints/last.ckpt")))
    (run_dir,) = run_dirs(tmp_path)
    ranks = children(launcher)
    assert len(ranks) == 2
    launcher.kill()
    launcher.wait()
    until(lambda: not any(map(alive, ranks)) and not is_locked(run_dir), seconds=10)
    assert not (run_dir / "result.json").exists(), "killed too late to test anything"
    # Killed this early, the store may not have answered yet: the run is the one with this key.
    key = json.loads((run_dir / "tracking.json").read_text())["key"]
    first = (run_dir / "provenance.json").read_bytes()

    def content() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}

    before, lock = content(), RunLock(run_dir)
    refused = whydeep("train", *LONG, *TWO)
    assert refused.returncode == 2
    assert "is writing this run" in refused.stderr
    assert refused.stderr.strip().count("\n") == 0
    assert {path for path, time in content().items() if before.get(path) != time} <= {run_dir / "journal.lock"}
    lock.release()

    finished = whydeep("train", *LONG, *TWO)
    assert finished.returncode == 0, finished.stderr
    assert run_dirs(tmp_path) == [run_dir]
    outcome = result(run_dir)
    assert outcome["status"] == "FINISHED"
    assert json.loads((run_dir / "tracking.json").read_text())["key"] == key
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert (run.info.run_id, run.info.status) == (outcome["run_id"], "FINISHED")
    assert "whydeep.replay_differs" not in run.data.tags
    counted, samples = samples_of(run_dir)
    assert counted == samples
    assert (run_dir / "provenance.json").read_bytes() == first
    assert (run_dir / "provenance-2.json").exists()


def test_the_failure_of_one_process_is_that_of_the_run(whydeep: Whydeep, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    failed = whydeep("train", *TOY, *TWO, "model.network._target_=own.Broken")
    assert failed.returncode == 1, failed.stderr
    assert "failed: OSError: dog.png: is broken" in failed.stderr
    assert "Traceback" not in failed.stderr
    (run_dir,) = run_dirs(tmp_path)
    outcome = result(run_dir)
    assert outcome["status"] == "FAILED"
    assert str(outcome["reason"]).startswith("OSError: dog.png: is broken (log: ")
    assert "dog.png" in (run_dir / "log.txt").read_text()
    run = recorded(tmp_path, str(outcome["run_id"]))
    assert run.info.status == "FAILED"
    assert run.data.tags["whydeep.reason"] == outcome["reason"]
    assert not (run_dir / "endings").exists()


@linux
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_dies_without_a_word_is_named(start: Start, tmp_path: Path, rank: int) -> None:
    launcher = start(["train", *LONG, *TWO])
    until(lambda: any((tmp_path / "runs").glob("*/checkpoints/last.ckpt")))
    pid = next(pid for pid in children(launcher) if f"\0RANK={rank}\0" in Path(f"/proc/{pid}/environ").read_text())
    subprocess.run(["kill", "-9", str(pid)], check=True)
    began = time.monotonic()
    assert launcher.wait(60) == 1
    assert time.monotonic() - began < 30
    (run_dir,) = run_dirs(tmp_path)
    outcome = result(run_dir)
    assert (outcome["status"], outcome["reason"]) == ("FAILED", f"process {rank} of 2 was killed by SIGKILL")
    run = recorded(tmp_path, str(outcome["run_id"]))
    assert run.info.status == "FAILED"
    assert run.data.tags["whydeep.reason"] == outcome["reason"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_launcher_that_is_stopped_stops_its_processes(
    start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    launcher = start(["train", *LONG, *TWO])
    until(lambda: any((tmp_path / "runs").glob("*/checkpoints/last.ckpt")))
    launcher.send_signal(number)
    assert launcher.wait(60) == code
    (run_dir,) = run_dirs(tmp_path)
    outcome = result(run_dir)
    assert (outcome["status"], outcome["reason"]) == ("KILLED", f"stopped by {number.name}")
    assert recorded(tmp_path, str(outcome["run_id"])).info.status == "KILLED"


def test_processes_that_others_launched_agree_on_one_run(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, "-m", "experiments.cli", "train", *TOY, *TWO, "rerun=true"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished") == 1
    (run_dir,) = run_dirs(tmp_path)
    counted, samples = samples_of(run_dir)
    assert counted == samples
    assert result(run_dir)["status"] == "FINISHED"


def test_batch_norm_makes_the_number_of_processes_part_of_the_identity() -> None:
    def identities(*overrides: str) -> set[str]:
        runs = (assemble(compose([*overrides, *DDP, f"trainer.devices={count}"])) for count in (1, 2))
        return {identity_of(run).digest for run in runs}

    assert len(identities(*TOY)) == 2
    assert len(identities("model=vgg11_small", "datamodule.image_size=32")) == 1
    assert len(identities("model=vgg11_small_bn", "datamodule.image_size=32")) == 2
    assert len(identities(*TOY, "+trainer.sync_batchnorm=true")) == 1
