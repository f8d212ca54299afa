"""`whydeep evaluate` and `whydeep predict`: of recorded runs and of weights from elsewhere, with real processes."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.cli import run
from tests.experiments.conftest import TOY, Whydeep


def test_a_recorded_run_gives_its_recorded_errors(whydeep: Whydeep, toy_run: Path, tmp_path: Path) -> None:
    process = whydeep("evaluate", f"run={toy_run.name}", f"runs_dir={toy_run.parent}", "json=errors.json")
    assert process.returncode == 0, process.stderr
    measured = json.loads((tmp_path / "errors.json").read_text())
    recorded = json.loads((toy_run / "result.json").read_text())["metrics"]
    assert measured["top1_error"] == recorded["test/top1_error"]
    assert measured["top5_error"] == recorded["test/top5_error"]
    assert measured["samples"] == 359


def test_weights_of_others_need_names_and_constants_alone(whydeep: Whydeep, toy_run: Path, tmp_path: Path) -> None:
    state = torch.load(toy_run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    theirs = {f"module.{name.removeprefix('network.')}": value for name, value in state.items()}
    renamed = {name.replace("module.fc.", "module.linear."): value for name, value in theirs.items()}
    assert set(renamed) - set(theirs) == {"module.linear.weight", "module.linear.bias"}
    renamed["criterion.weight"] = torch.ones(10)
    torch.save({"state_dict": renamed}, tmp_path / "theirs.pth")
    recorded = json.loads((toy_run / "data.json").read_text())["normalisation"]
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
    expected = json.loads((toy_run / "result.json").read_text())["metrics"]["test/top1_error"]
    assert measured["top1_error"] == expected
    # Paired by order, batch norm's counters of batches are not counted.
    paired = sum(not name.endswith("num_batches_tracked") for name in state)
    assert f"weights: copied {paired} tensors, left out criterion.weight" in " ".join(process.stdout.split())


def test_a_picture_is_classified_without_the_data_set(whydeep: Whydeep, toy_run: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    process = whydeep("predict", f"run={toy_run.name}", f"runs_dir={toy_run.parent}", "noise.png")
    assert process.returncode == 0, process.stderr
    rows = [line for line in process.stdout.splitlines() if line.count("0.") == 1]
    assert len(rows) == 5
    with Image.open(tmp_path / "predictions" / "noise-answer.png") as answer:
        assert min(answer.size) > 100


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line of the standard error."""
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    return text.removeprefix("whydeep: error: ").strip()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("datamodule.seed=5", "datamodule.seed=5: a recorded run keeps its datamodule.seed; allowed: data_dir, data"),
        ("seed=5", "seed=5: a recorded run keeps its seed; allowed: "),
        (
            "datamodule.val_fraction=0.3",
            "datamodule.val_fraction=0.3: a recorded run keeps its datamodule.val_fraction",
        ),
        ("datamodule.few_samples=3", "datamodule.few_samples=3: a recorded run keeps its datamodule.few_samples"),
        ("datamodule.mean=[0.1]", "datamodule.mean=[0.1]: a recorded run keeps its datamodule.mean"),
        ("datamodule.image_size=16", "datamodule.image_size=16: a recorded run keeps its datamodule.image_size"),
        ("trainer.limit_test_batches=1", "trainer.limit_test_batches=1: a recorded run keeps its trainer.limit_test"),
        ("datamodule.batchsize=5", "datamodule.batchsize: unknown key; did you mean 'datamodule.batch_size'?"),
        ("splitt=val", "splitt: unknown key; did you mean 'split'?"),
        ("datamodule.batch_size=4", ""),
    ],
)
def test_only_how_a_recorded_run_is_computed_may_change(
    toy_run: Path, override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("evaluate", [f"run={toy_run.name}", f"runs_dir={toy_run.parent}", override])
    assert code == (2 if message else 0)
    if message:
        assert said(capsys).startswith(message)


def test_a_recorded_run_is_not_tested_on_other_pictures(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / toy_run.name
    shutil.copytree(toy_run, copied)
    recorded = json.loads((copied / "data.json").read_text())
    (copied / "data.json").write_text(json.dumps(recorded | {"split_digest": "another"}))
    assert run("evaluate", [f"run={copied}"]) == 2
    assert said(capsys).startswith(f"datamodule=digits: not the pictures that {toy_run.name} was divided by")


def test_weights_that_are_no_numbers_are_refused(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load(toy_run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    name = next(name for name, tensor in state.items() if tensor.dim() == 4)
    state[name][0, 0] = float("nan")
    torch.save(state, tmp_path / "diverged.pt")
    assert run("evaluate", [f"checkpoint={tmp_path / 'diverged.pt'}", *TOY]) == 2
    assert f"'{name.removeprefix('network.')}' holds 9 of 72 values" in said(capsys)


def test_a_checkpoint_is_tested_on_every_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", [f"checkpoint={tmp_path / 'none.pt'}", *TOY, "trainer.limit_test_batches=1"]) == 2
    assert said(capsys).startswith("trainer.limit_test_batches=1: evaluate counts every sample of the split")


def test_pictures_that_are_called_alike_have_an_answer_each(toy_run: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("x.png", "x.jpg", "other/x.png")]
    (tmp_path / "other").mkdir()
    for file in files:
        Image.fromarray(np.zeros((9, 9, 3), dtype=np.uint8)).save(file)
    assert run("predict", [f"run={toy_run}", f"out={tmp_path / 'out'}", *map(str, files)]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "x-2-answer.png",
        "x-3-answer.png",
        "x-answer.png",
    ]


def test_a_place_for_answers_that_cannot_be_is_said_before_anything_is_computed(
    toy_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((9, 9, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    assert run("predict", [f"run={toy_run}", f"out={tmp_path / 'x.png'}", str(tmp_path / "x.png")]) == 2
    told = capsys.readouterr()
    assert "x.png is a file; it must be a folder" in told.err
    assert told.out == ""


def test_a_recorded_run_keeps_its_options_and_says_when_its_checkpoint_is_broken(
    whydeep: Whydeep, toy_run: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "runs" / toy_run.name
    shutil.copytree(toy_run, copied)
    other = whydeep("evaluate", f"run={toy_run.name}", "datamodule=cifar10")
    assert other.returncode == 2
    assert "datamodule=cifar10: a recorded run keeps its datamodule" in other.stderr
    (copied / "checkpoints" / "best.ckpt").write_bytes(b"half a file")
    broken = whydeep("evaluate", f"run={toy_run.name}")
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
        (["evaluate", "checkpoint=junk.safetensors", *TOY], "checkpoint=junk.safetensors: not a file of safetensors"),
        (["evaluate", "checkpoint=junk.pt", *TOY, "json=nowhere/a.json"], "json=nowhere/a.json: cannot be written"),
        (["evaluate", "run=x", "split=training"], "split=training"),
        (["predict", "run=x"], "needs at least one picture file"),
        (["predict", "run=x", "none.png"], "none.png: no such file"),
        (["predict", "junk.pt"], "needs run=RUN_ID"),
        (["predict", "rn=c00e", "junk.pt"], "rn: unknown key, and no such file; did you mean 'run'?"),
        (["predict", "run=x", "pipe.png"], "pipe.png: not a regular file"),
        (["evaluate", "runn=c00e"], "runn: unknown key; did you mean 'run'?"),
        (["evaluate", "rum=c00e"], "rum: unknown key; did you mean 'run'?"),
        (["evaluate", "checkpoint=junk.pt", *TOY, "model.network.widths=[4]"], "model.network.widths=[4]: given twice"),
        (["evaluat", "run=x"], "did you mean 'evaluate'"),
    ],
)
def test_a_mistake_is_one_line(whydeep: Whydeep, tmp_path: Path, arguments: list[str], message: str) -> None:
    for name in ("junk.pt", "junk.safetensors"):
        (tmp_path / name).write_bytes(b"no weights")
    os.mkfifo(tmp_path / "pipe.png")
    process = whydeep(*arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert process.stderr.strip().count("\n") == 0
