"""`whydeep reproduce` of a run whose code is not what is here: in a worktree, stopped and continued."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.tracking.history import read_history
from tests.experiments.conftest import REPOSITORY, TOY, environment
from tests.experiments.recorded import run_dirs, until

PACKAGES = ("conf", "datamodules", "experiments", "lightning_modules")
NETWORK = Path("lightning_modules") / "networks" / "activations.py"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a repository of its own with the present code, committed."""
    folder = tmp_path / "clone"
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(REPOSITORY / ".gitignore", folder / ".gitignore")
    own = ["git", "-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*own, *command], cwd=folder, check=True, capture_output=True)
    return folder


def test_code_that_was_never_committed_is_rebuilt_and_an_interrupted_reproduction_goes_on(
    clone: Path, tmp_path: Path
) -> None:
    own = {**environment(), "PYTHONPATH": str(clone), "TMPDIR": str(tmp_path)}

    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "experiments.cli", *arguments]

    committed = (clone / NETWORK).read_text()
    changed = committed.replace("partial(nn.ReLU, ", "partial(nn.LeakyReLU, 0.1, ")
    assert changed != committed
    (clone / NETWORK).write_text(changed)
    # In the folder of the code: what Python looks through first is the present one.
    trained = command("train", *TOY[:2], "model.network.widths=[8]", "trainer.max_epochs=25", "tracking=local")
    subprocess.run(trained, cwd=clone, env=own, check=True, capture_output=True)
    (run_dir,) = run_dirs(clone)
    (clone / NETWORK).write_text(committed.replace("partial(nn.ReLU, ", "partial(nn.SiLU, "))
    present = (clone / NETWORK).read_text()

    begun = subprocess.Popen(
        command("reproduce", run_dir.name), cwd=clone, env=own, stdout=subprocess.PIPE, text=True, process_group=0
    )
    again = run_dir.parent / "reproductions" / run_dir.name
    until(lambda: (again / "checkpoints" / "last.ckpt").exists() or begun.poll() is not None)
    begun.send_signal(signal.SIGINT)
    said = begun.communicate(timeout=120)[0]
    assert begun.returncode == 130
    assert f"and its recorded changes ({NETWORK}), in a worktree" in said
    left = [path.name for path in tmp_path.iterdir()]
    assert left == ["clone"]

    done = subprocess.run(
        command("reproduce", run_dir.name, "json=answer.json"),
        cwd=clone,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((clone / "answer.json").read_text())
    assert (told["answer"], told["first_difference"]) == ("identical", None)
    assert run_dirs(clone) == [run_dir]
    assert list(again.parent.iterdir()) == [again]
    assert (clone / NETWORK).read_text() == present
    assert [path.name for path in tmp_path.iterdir()] == ["clone"]
    listed = subprocess.run(["git", "worktree", "list"], cwd=clone, capture_output=True, text=True, check=True)
    assert listed.stdout.count("\n") == 1
    provenance = json.loads((again / "provenance.json").read_text())
    assert provenance["commit"] == json.loads((run_dir / "provenance.json").read_text())["commit"]
    assert (again / "uncommitted.diff").read_text() == (run_dir / "uncommitted.diff").read_text()
    tags = read_history(again / "journal.jsonl").tags
    assert tags["whydeep.reproduces"] == run_dir.name
    assert tags["whydeep.reproduction"] == "identical"
