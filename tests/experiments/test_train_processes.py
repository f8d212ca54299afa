"""`whydeep train` in several processes: what they train together, and what is left when one of them ends."""

import json
from pathlib import Path

import pytest

from tests.experiments.conftest import TOY, Whydeep
from tests.experiments.recorded import history, result, run_dirs

DDP = ("trainer.strategy=ddp", "trainer.accelerator=cpu")
# Without batch norm, whose statistics are of each process's own share.
PLAIN = """
from torch import nn

class Plain(nn.Sequential):
    def __init__(self, *, num_classes, in_channels, kernel_size, convs_per_stage, widths):
        super().__init__(
            nn.Conv2d(in_channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, num_classes)
        )
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
    (tmp_path / "own.py").write_text(PLAIN)
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
    two = whydeep("train", *shared, *DDP, "trainer.devices=2", "rerun=true")
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
