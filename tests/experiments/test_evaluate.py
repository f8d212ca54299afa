"""`whydeep evaluate` and `whydeep predict`: of recorded runs and of weights from elsewhere, with real processes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.experiments.conftest import TOY, Whydeep, environment


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a finished toy run."""
    folder = tmp_path_factory.mktemp("recorded")
    command = [sys.executable, "-m", "experiments.cli", "train", *TOY, "tracking=local"]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    (config,) = folder.glob("runs/*/config.yaml")
    return config.parent


def test_a_recorded_run_gives_its_recorded_errors(whydeep: Whydeep, run_dir: Path, tmp_path: Path) -> None:
    process = whydeep("evaluate", f"run={run_dir.name}", f"runs_dir={run_dir.parent}", "json=errors.json")
    assert process.returncode == 0, process.stderr
    measured = json.loads((tmp_path / "errors.json").read_text())
    recorded = json.loads((run_dir / "result.json").read_text())["metrics"]
    assert measured["top1_error"] == recorded["test/top1_error"]
    assert measured["top5_error"] == recorded["test/top5_error"]
    assert measured["samples"] == 359


def test_weights_of_others_need_names_and_constants_alone(whydeep: Whydeep, run_dir: Path, tmp_path: Path) -> None:
    state = torch.load(run_dir / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    theirs = {f"module.{name.removeprefix('network.')}": value for name, value in state.items()}
    renamed = {name.replace("module.fc.", "module.linear."): value for name, value in theirs.items()}
    assert set(renamed) - set(theirs) == {"module.linear.weight", "module.linear.bias"}
    torch.save({"state_dict": renamed}, tmp_path / "theirs.pth")
    recorded = json.loads((run_dir / "data.json").read_text())["normalisation"]
    process = whydeep(
        "evaluate",
        "checkpoint=theirs.pth",
        "key_map=auto",
        *TOY,
        f"datamodule.mean={json.dumps(recorded['mean'])}",
        f"datamodule.std={json.dumps(recorded['std'])}",
        "json=errors.json",
    )
    assert process.returncode == 0, process.stderr
    measured = json.loads((tmp_path / "errors.json").read_text())
    expected = json.loads((run_dir / "result.json").read_text())["metrics"]["test/top1_error"]
    assert measured["top1_error"] == expected


def test_a_picture_is_classified_without_the_data_set(whydeep: Whydeep, run_dir: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    process = whydeep("predict", f"run={run_dir.name}", f"runs_dir={run_dir.parent}", "noise.png")
    assert process.returncode == 0, process.stderr
    rows = [line for line in process.stdout.splitlines() if line.count("0.") == 1]
    assert len(rows) == 5
    with Image.open(tmp_path / "predictions" / "noise-answer.png") as answer:
        assert min(answer.size) > 100


def test_a_recorded_run_keeps_its_options_and_says_when_its_checkpoint_is_broken(
    whydeep: Whydeep, run_dir: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "runs" / run_dir.name
    shutil.copytree(run_dir, copied)
    other = whydeep("evaluate", f"run={run_dir.name}", "datamodule=cifar10")
    assert other.returncode == 2
    assert "datamodule=cifar10: a recorded run keeps its datamodule" in other.stderr
    (copied / "checkpoints" / "best.ckpt").write_bytes(b"half a file")
    broken = whydeep("evaluate", f"run={run_dir.name}")
    assert broken.returncode == 2
    assert "best.ckpt: not a checkpoint of torch" in broken.stderr
    assert broken.stderr.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "needs one of run=RUN_ID and checkpoint=FILE"),
        (["evaluate", "run=nothing-like-it"], "nothing-like-it"),
        (["evaluate", "checkpoint=none.pt", *TOY], "none.pt: no such checkpoint file"),
        (["evaluate", "checkpoint=junk.pt", *TOY], "checkpoint=junk.pt: not a checkpoint of torch"),
        (["evaluate", "checkpoint=junk.pt", *TOY, "json=nowhere/a.json"], "json=nowhere/a.json: cannot be written"),
        (["evaluate", "run=x", "split=training"], "split=training"),
        (["predict", "run=x"], "needs at least one picture file"),
        (["predict", "run=x", "none.png"], "none.png: no such file"),
        (["predict", "picture.png"], "needs run=RUN_ID"),
        (["evaluat", "run=x"], "did you mean 'evaluate'"),
    ],
)
def test_a_mistake_is_one_line(whydeep: Whydeep, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "junk.pt").write_bytes(b"no weights")
    process = whydeep(*arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert process.stderr.strip().count("\n") == 0
