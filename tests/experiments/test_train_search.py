"""`whydeep train -m hydra/sweeper=optuna`: searched among real runs, recorded under one run, and continued."""

import re
from pathlib import Path

import pytest

from experiments.cli import run
from tests.experiments.conftest import TOY
from tests.experiments.recorded import recorded, result, run_dirs

SEARCH = ["-m", "hydra/sweeper=optuna"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hydra/sweeper=optuna", "optimizer.lr=0.1"], "hydra/sweeper=optuna: goes with -m"),
        (["-m", "optimizer.lr=interval(0.1,0.3)"], "optimizer.lr=interval(0.1,0.3): only a search takes an interval"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"whydeep: error: {message}")
    assert told.count("\n") == 1


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder of a search."""
    pytest.importorskip("optuna", reason="the extra 'optuna' is not installed")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("searched", "message"),
    [
        ("optimizer.lr=interval(-1,0.1)", "optimizer.lr=-1.0: must be a number from 0"),
        ("model=resnet20,resnt20", "model=resnt20: no such option; did you mean 'resnet20'?"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused_before_the_first(
    here: Path, searched: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", [*SEARCH, searched]) == 2
    assert capsys.readouterr().err.startswith(f"whydeep: error: {message}")
    assert not (here / "runs").exists()


def test_a_search_is_recorded_and_goes_further(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # One of the rates is such that training diverges.
    command = [*SEARCH, *TOY, "trainer.max_epochs=1", "optimizer.lr=0.05,1e30", "scheduler=constant"]
    command.remove("trainer.max_epochs=2")
    assert run("train", [*command, "hydra.sweeper.n_trials=3"]) == 0
    told = capsys.readouterr()
    results = {path.name: result(path) for path in run_dirs(here)}
    finished = {name: one for name, one in results.items() if one["status"] == "FINISHED"}
    errors = {name: one["metrics"]["best/val_top1_error"] for name, one in finished.items()}  # type: ignore[index]
    best = min(errors, key=errors.__getitem__)
    assert re.search(r"^best of \d runs.* by validation: optimizer.lr=", told.out, re.MULTILINE)
    assert f"  run: {best}\n" in told.out
    assert f"  validation: top-1 error {errors[best]:.2f} %\n" in told.out

    assert run("train", [*command, "hydra.sweeper.n_trials=5"]) == 0
    again = capsys.readouterr()
    assert again.err.splitlines()[0].startswith("[1/5] ")
    assert [line[5:] for line in again.err.splitlines() if line.startswith("[")][:3] == [
        line[5:] for line in told.err.splitlines() if line.startswith("[")
    ]
    assert "finished before" in again.out

    assert {one["status"] for one in results.values()} == {"FINISHED", "FAILED"}
    (sweep,) = {recorded(here, str(one["run_id"])).data.tags["mlflow.parentRunId"] for one in results.values()}
    parent = recorded(here, sweep)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best/val_top1_error"] == min(errors.values())
    assert "best of" in parent.data.tags["mlflow.note.content"]
