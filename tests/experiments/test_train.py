"""`whydeep train` as a person uses it: runs, sweeps, mistakes, kills and resumes, with real processes."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.experiments.conftest import TOY, Start, Whydeep, environment
from tests.experiments.prepared import Prepared
from tests.experiments.recorded import history, recorded, result, run_dirs, until, weights


def test_a_run_is_recorded_whole_and_is_not_run_twice(whydeep: Whydeep, tmp_path: Path) -> None:
    first = whydeep("train", *TOY, "augmentation=flip_crop", "seed=3")
    assert first.returncode == 0, first.stderr
    (run_dir,) = run_dirs(tmp_path)
    outcome = result(run_dir)
    assert outcome["status"] == "FINISHED"
    run_id = str(outcome["run_id"])
    assert run_id in first.stdout

    run = recorded(tmp_path, run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == run_dir.name
    assert run.data.params["optimizer.lr"] == "0.05"
    assert run.data.params["seed"] == "3"
    assert run.data.params["augmentation.transforms.0._target_"].startswith("albumentations.")
    assert run.data.tags["whydeep.identity"] == outcome["identity"]
    assert run.data.metrics["measure/parameters"] == outcome["measures"]["parameters"]  # type: ignore[index]
    assert run.data.metrics["test/top1_error"] == outcome["metrics"]["test/top1_error"]  # type: ignore[index]
    assert run.inputs is not None
    assert {part.dataset.name for part in run.inputs.dataset_inputs} == {
        "digits-train",
        "digits-val",
        "digits-test",
    }
    steps = history(tmp_path, run_id, "train/step_loss")
    assert [step for step, _ in steps] == list(range(len(steps)))
    assert len(steps) == 2 * (len(steps) // 2) > 0
    artifacts = {
        path.relative_to(tmp_path / "runs/artifacts/whydeep" / run_id / "artifacts").as_posix()
        for path in (tmp_path / "runs/artifacts/whydeep" / run_id).rglob("*")
        if path.is_file()
    }
    pictures = {f"pictures/{name}.png" for name in ("augmentation", "curves", "confusion", "filters", "predictions")}
    assert pictures | {"config.yaml", "provenance.json", "identity.json", "checkpoints/best.ckpt"} <= artifacts

    again = whydeep("train", *TOY, "augmentation=flip_crop", "seed=3")
    assert again.returncode == 0
    assert "finished before" in again.stdout
    assert run_dirs(tmp_path) == [run_dir]

    anew = whydeep("train", *TOY, "augmentation=flip_crop", "seed=3", "rerun=true")
    assert anew.returncode == 0, anew.stderr
    second = next(path for path in run_dirs(tmp_path) if path != run_dir)
    assert result(second)["run_id"] != run_id
    mine, theirs = weights(run_dir), weights(second)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


LONG = ("model=conv5x5", "datamodule.image_size=8", "model.network.widths=[24,24]", "trainer.max_epochs=30")


@pytest.fixture(scope="module")
def uninterrupted(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Return the last weights of the long run when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = prepared.run(["train", *LONG], folder, environment(), timeout=240)
    assert done.returncode == 0, done.stderr
    (run_dir,) = run_dirs(folder)
    return weights(run_dir)


@pytest.mark.parametrize("options", [(), ("checkpoint_minutes=0.0001",)], ids=["epoch end", "mid epoch"])
def test_a_killed_run_resumes_to_the_same_bits_under_the_same_id(
    whydeep: Whydeep,
    start: Start,
    tmp_path: Path,
    uninterrupted: dict[str, torch.Tensor],
    options: tuple[str, ...],
) -> None:
    for kills in range(2):
        process = start(["train", *LONG, *options])
        before = (tmp_path / "runs").glob("*/checkpoints/last.ckpt")
        seen = {path: path.stat().st_mtime_ns for path in before}

        def moved(seen: dict[Path, int] = seen) -> bool:
            now = (tmp_path / "runs").glob("*/checkpoints/last.ckpt")
            return any(path.stat().st_mtime_ns != seen.get(path) for path in now)

        until(moved)
        time.sleep(0.1 * kills)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (run_dir,) = run_dirs(tmp_path)
        assert not (run_dir / "result.json").exists(), "killed too late to test anything"
    finished = whydeep("train", *LONG, *options)
    assert finished.returncode == 0, finished.stderr
    (run_dir,) = run_dirs(tmp_path)
    mine = weights(run_dir)
    assert all(torch.equal(mine[name], uninterrupted[name]) for name in uninterrupted)

    run_id = str(result(run_dir)["run_id"])
    run = recorded(tmp_path, run_id)
    assert run.info.status == "FINISHED"
    assert "whydeep.replay_differs" not in run.data.tags
    steps = [step for step, _ in history(tmp_path, run_id, "train/step_loss")]
    assert steps == list(range(len(steps)))
    for metric in ("val/top1_error", "train/top1_error"):
        assert len(history(tmp_path, run_id, metric)) == 30


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_orderly_stop_is_recorded_as_killed(start: Start, tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = start(["train", *LONG])
    until(lambda: any((tmp_path / "runs").glob("*/checkpoints/last.ckpt")))
    process.send_signal(number)
    assert process.wait(60) == code
    (run_dir,) = run_dirs(tmp_path)
    outcome = result(run_dir)
    assert outcome["status"] == "KILLED"
    assert recorded(tmp_path, str(outcome["run_id"])).info.status == "KILLED"


def test_a_run_whose_directory_is_deleted_stops_and_says_so(tmp_path: Path) -> None:
    # Long enough to be still training when it is deleted.
    arguments = ["train", *LONG[:3], "trainer.max_epochs=400", "tracking.interval_seconds=0.2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    cards = (tmp_path / "runs").glob

    def has_begun() -> bool:
        return any(json.loads(card.read_text())["run_id"] for card in cards("*/tracking.json")) and any(
            cards("*/checkpoints/last.ckpt")
        )

    until(has_begun)
    (card,) = cards("*/tracking.json")
    run_id = json.loads(card.read_text())["run_id"]
    while card.parent.exists():
        shutil.rmtree(card.parent, ignore_errors=True)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in errors
    said = [line for line in errors.splitlines() if "epoch" not in line]
    assert len(said) == 1, errors
    assert "was deleted during the" in said[0]
    run = recorded(tmp_path, run_id)
    assert run.info.status == "FAILED"
    assert "was deleted during" in run.data.tags["whydeep.reason"]


def test_a_sweep_runs_every_job(whydeep: Whydeep, tmp_path: Path) -> None:
    sweep = whydeep("train", "-m", *TOY[1:], "model=conv5x5,two_conv3x3", "seed=0,1")
    assert sweep.returncode == 0, sweep.stderr
    assert "#1 :" not in sweep.stdout  # Hydra's own words; ours are these
    assert [line[:6] for line in sweep.stderr.splitlines() if line.startswith("[")] == [
        "[1/4] ",
        "[2/4] ",
        "[3/4] ",
        "[4/4] ",
    ]
    assert sorted(str(result(path)["choices"]["model"]) for path in run_dirs(tmp_path)) == [  # type: ignore[index]
        "conv5x5",
        "conv5x5",
        "two_conv3x3",
        "two_conv3x3",
    ]


# As joblib's and other launchers do, it runs every job in a process of its own; what a job returns comes back pickled.
FORKING = """
import multiprocessing, pickle
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore

class ForkingLauncher(BasicLauncher):
    def launch(self, job_overrides, initial_job_idx):
        context, results = multiprocessing.get_context("fork"), []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            ours, theirs = context.Pipe()
            run = super().launch
            job = lambda: theirs.send_bytes(pickle.dumps(run([overrides], number)[0]))
            context.Process(target=job).start()
            results.append(pickle.loads(ours.recv_bytes()))
        return results

ConfigStore.instance().store(
    group="hydra/launcher", name="forking", node={"_target_": "hydra_plugins.forking.ForkingLauncher"}
)
"""


@pytest.mark.parametrize(("rate", "code"), [("1e30", 1), ("0.05", 0)])
def test_a_failure_in_a_process_of_the_launcher_is_one_of_the_sweep(
    whydeep: Whydeep, tmp_path: Path, rate: str, code: int
) -> None:
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "forking.py").write_text(FORKING)
    sweep = whydeep("train", "-m", *TOY, "hydra/launcher=forking", f"optimizer.lr={rate},0.1", "scheduler=constant")
    assert sweep.returncode == code, sweep.stderr
    assert "Traceback" not in sweep.stderr
    assert sorted(str(result(path)["status"]) for path in run_dirs(tmp_path)) == (
        ["FAILED", "FINISHED"] if code else ["FINISHED", "FINISHED"]
    )


def test_a_diverging_run_fails_with_its_reason(whydeep: Whydeep, tmp_path: Path) -> None:
    process = whydeep("train", *TOY, "optimizer.lr=1e30", "scheduler=constant")
    assert process.returncode == 1
    assert "the loss became" in process.stderr
    assert "Traceback" not in process.stderr
    (run_dir,) = run_dirs(tmp_path)
    run = recorded(tmp_path, str(result(run_dir)["run_id"]))
    assert run.info.status == "FAILED"
    assert "the loss became" in run.data.tags["whydeep.reason"]


@pytest.mark.parametrize(
    ("batch_size", "loss"),
    [(4096, "the validation loss became nan after epoch 1"), (64, "the test loss is nan")],
    ids=["whole epoch", "within an epoch"],
)
def test_a_run_that_diverges_in_its_only_step_fails_too(
    whydeep: Whydeep, tmp_path: Path, batch_size: int, loss: str
) -> None:
    diverging = ("optimizer.lr=1e30", "scheduler=constant", "trainer.max_steps=1")
    process = whydeep("train", *TOY, *diverging, f"datamodule.batch_size={batch_size}")
    assert process.returncode == 1
    assert loss in process.stderr
    assert "Traceback" not in process.stderr
    (run_dir,) = run_dirs(tmp_path)
    assert recorded(tmp_path, str(result(run_dir)["run_id"])).info.status == "FAILED"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.max_epoch=2"], "did you mean 'trainer.max_epochs'"),
        (["model=vgg11", "datamodule.image_size=8"], "needs at least 32x32 pixels"),
        (["model.top_k=[1,10]"], "top-10 error of 10 classes"),
        (["datamodule=cifar10"], "datamodule.root=data: cifar-10-batches-py/data_batch_1 of CIFAR-10 is not there"),
        (["datamodule=image_folder", "datamodule.root=nowhere"], "datamodule.root=nowhere: no such folder"),
        (["optimizer.lr=-1"], "optimizer"),
        (["optimizer.lr=abc"], "optimizer.lr=abc: must be a number from 0\n"),
        (["optimizer.lr=1,2"], "optimizer.lr=1,2: several values; add -m"),
        (["trainer.accelerator=gpuu"], "trainer"),
        (["--multirunn"], "--multirunn: unknown flag"),
        (["runs_dir=file.txt"], "is a file; it must be a folder that can be written to"),
        (["tracking.uri=foo://x"], "tracking.uri=foo://x: no such kind of store"),
        (["datamodule.batch_size=0"], "datamodule.batch_size=0"),
        (["datamodule=scenes", "datamodule.knobs.noise=3"], "datamodule.knobs.noise=3: must be a number from 0 to 1"),
        (["-m", "model=conv5x5,resnt20"], "did you mean 'resnet20'"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_recorded(
    whydeep: Whydeep, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "file.txt").touch()
    process = whydeep("train", *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert process.stderr.strip().count("\n") == 0
    assert "Traceback" not in process.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_names_what_needs_none(whydeep: Whydeep) -> None:
    process = whydeep("train", "trainer=gpu")
    assert process.returncode == 2
    assert "trainer.accelerator=gpu: this machine has none; trainer=cpu needs none" in process.stderr


def test_a_picture_that_breaks_in_mid_run_ends_it_with_its_name(whydeep: Whydeep, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cats", "dogs"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for number in range(10):
                pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    broken = tmp_path / "pets" / "test" / "dogs" / "4.png"
    content = bytearray(broken.read_bytes())
    content[60:80] = bytes(20)  # its ends, which are looked at before training, stay whole
    broken.write_bytes(content)
    process = whydeep(
        "train", *TOY, "datamodule=image_folder", "datamodule.root=pets", "model.top_k=[1]", "datamodule.batch_size=4"
    )
    assert process.returncode == 1, process.stderr
    assert "4.png" in process.stderr
    assert "Traceback" not in process.stderr
    (run_dir,) = run_dirs(tmp_path)
    assert result(run_dir)["status"] == "FAILED"
    assert recorded(tmp_path, str(result(run_dir)["run_id"])).info.status == "FAILED"
