"""`whydeep study` as a person uses it: real processes at toy scale."""

import json
import os
import re
import signal
import time
from pathlib import Path

import mlflow
import pytest

from experiments.runs.result import RunResult
from experiments.studies.comparison import Replicate
from experiments.studies.execution import Execution
from experiments.studies.job import Job
from experiments.study import main
from tests.experiments.conftest import Start, Whydeep

TOY = ("stacked_filters", "scale=toy")


def results(folder: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("runs/*/result.json"))]


def test_a_study_ends_with_verdicts_and_runs_nothing_twice(whydeep: Whydeep, tmp_path: Path) -> None:
    first = whydeep("study", *TOY)
    assert first.returncode == 0, first.stderr
    recorded = results(tmp_path)
    assert len(recorded) == 8
    assert "8 runs (4 arms, 2 seeds, equal epochs): 8 to do" in first.stdout
    assert "confounds: nothing undeclared differs between the arms" in first.stdout
    outcomes = dict(re.findall(r"^(supported|refuted|undecided): (\w+):", first.stdout, flags=re.MULTILINE))
    claims = re.findall(r"^(?:supported|refuted|undecided): (\w+):", first.stdout, flags=re.MULTILINE)
    assert claims == ["weights_5x5", "weights_7x7", "sees_as_far_5x5", "sees_as_far_7x7", "error_5x5", "error_7x7"]
    assert len(re.findall(r"^supported:", first.stdout, flags=re.MULTILINE)) >= 4, outcomes
    progress = re.findall(r"^\[(\d)/8\] (\S+) seed (\d): top-1 error", first.stderr, flags=re.MULTILINE)
    assert [(arm, seed) for _, arm, seed in progress] == [
        (arm, seed) for seed in "01" for arm in ("conv5x5", "two_conv3x3", "conv7x7", "three_conv3x3")
    ]
    assert "Traceback" not in first.stderr

    (report,) = re.findall(r"^report: (.+)$", first.stdout, flags=re.MULTILINE)
    html = Path(report).read_text(encoding="utf-8")
    for result in recorded:
        assert str(result["run_id"]) in html

    store = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (experiment,) = [found for found in store.search_experiments() if found.name == "stacked_filters"]
    runs = {run.info.run_id: run for run in store.search_runs([experiment.experiment_id])}
    assert len(runs) == 8 + 4 + 1
    parent = "mlflow.parentRunId"
    for result in recorded:
        arm = runs[runs[str(result["run_id"])].data.tags[parent]]
        assert arm.data.tags["whydeep.kind"] == "arm"
        assert runs[arm.data.tags[parent]].data.tags["whydeep.kind"] == "study"
    assert {run.info.status for run in runs.values()} == {"FINISHED"}

    second = whydeep("study", *TOY)
    assert second.returncode == 0, second.stderr
    assert "8 runs (4 arms, 2 seeds, equal epochs): 8 done" in second.stdout
    assert results(tmp_path) == recorded
    table = first.stdout.index("top-1 error (%)")
    assert second.stdout[second.stdout.index("top-1 error (%)") :] == first.stdout[table:]
    assert len(store.search_runs([experiment.experiment_id])) == 13

    reported = whydeep("report", *TOY, f"to={tmp_path / 'again'}")
    assert reported.returncode == 0, reported.stderr
    for result in recorded:
        assert str(result["run_id"]) in (tmp_path / "again" / "report.html").read_text(encoding="utf-8")


def test_a_study_killed_twice_goes_on_and_loses_and_doubles_nothing(
    start: Start, whydeep: Whydeep, tmp_path: Path
) -> None:
    command = ("study", *TOY, "seeds=2", "trainer.max_epochs=3")
    finished: list[dict[str, object]] = []
    for fewest in (1, 3):
        process = start(command)
        deadline = time.monotonic() + 200
        while len(results(tmp_path)) < fewest and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        now = [{**result, "run_id": None} for result in results(tmp_path) if result["status"] == "FINISHED"]
        assert [result for result in now if result in finished] == finished
        finished = now
    last = whydeep(*command)
    assert last.returncode == 0, last.stderr
    complete = [{**result, "run_id": None} for result in results(tmp_path)]
    assert len(complete) == 8
    assert {str(result["status"]) for result in complete} == {"FINISHED"}
    assert all(result in complete for result in finished)
    planned = re.search(r"8 runs \(4 arms, 2 seeds, equal epochs\): (\d) done", last.stdout)
    assert planned is not None
    assert int(planned[1]) >= len(finished)
    store = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (experiment,) = [found for found in store.search_experiments() if found.name == "stacked_filters"]
    runs = store.search_runs([experiment.experiment_id])
    kinds = [run.data.tags["whydeep.kind"] for run in runs]
    assert {kind: kinds.count(kind) for kind in kinds} == {"study": 1, "arm": 4, "run": 8}
    assert {run.info.run_id for run in runs if run.data.tags["whydeep.kind"] == "run"} == {
        # Of a run that was killed at its end, only its card knows the id.
        RunResult.read(file.parent).run_id  # type: ignore[union-attr]
        for file in tmp_path.glob("runs/*/result.json")
    }


def test_an_arm_that_always_fails_leaves_the_others_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("experiments.studies.study_file.STUDIES", tmp_path)
    (tmp_path / "breaks.yaml").write_text(
        """study:
  question: Does it break?
  arms:
    whole: {overrides: [model=conv5x5], role: baseline}
    broken: {overrides: [model=conv5x5, optimizer.lr=1e38]}
  seeds: 2
  metric: test/top1_error
  claim: {contrast: broken - whole, is: lower}
  overrides: [datamodule=digits, datamodule.image_size=8, "model.network.widths=[4]", trainer.max_epochs=2]
"""
    )
    assert main(["breaks", "tracking=local"]) == 1
    told = capsys.readouterr()
    assert told.err.count(": failed: ") == 2
    assert "0 of 2" in told.out
    assert "undecided: broken - whole in top-1 error: lower" in told.out
    assert {str(result["status"]) for result in results(tmp_path)} == {"FINISHED", "FAILED"}
    # The plan says what failed before, and why.
    assert main(["breaks", "tracking=local", "plan=true"]) == 0
    assert re.search(r"failed before: broken, seeds 0, 1: .*loss", capsys.readouterr().out)
    # The next command tries them again, and them alone, whatever failed them.
    asked: list[Job] = []

    def stopped(jobs: list[Job], *_: object, **__: object) -> Execution:
        asked.extend(jobs)
        return Execution([Replicate(one.arm, one.seed, "NOT RUN", None, "stopped") for one in jobs], signal.SIGINT)

    monkeypatch.setattr("experiments.studies.conduct.execute_all", stopped)
    page = next(tmp_path.glob("runs/breaks/study/report.html"))
    page.unlink()
    assert main(["breaks", "tracking=local"]) == 128 + signal.SIGINT
    assert [(job.arm, job.seed) for job in asked] == [("broken", 0), ("broken", 1)]
    # Who stops a study is told how to go on, and does not wait for its pictures.
    assert "whydeep: stopped; to continue: whydeep study breaks tracking=local" in capsys.readouterr().err
    assert not page.exists()


def test_one_arm_alone_without_claims_runs_and_nothing_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("experiments.studies.study_file.STUDIES", tmp_path)
    (tmp_path / "alone.yaml").write_text(
        """study:
  question: How good is it?
  arms: {alone: {overrides: [model=conv5x5, ~optimizer.nesterov], role: baseline}}
  seeds: 1
  metric: test/top1_error
  overrides: [datamodule.image_size=8, datamodule.few_samples=4, "model.network.widths=[4]", trainer.max_epochs=1]
"""
    )
    assert main(["alone", "tracking=local"]) == 0
    plan, _, answer = capsys.readouterr().out.partition("top-1 error (%)")
    open_ = "notice: alone is the only arm: nothing is compared, and nothing is judged"
    assert open_ in plan
    assert "notice: one seed: test/top1_error has no interval" in plan
    assert open_ in answer
    assert "notice: one seed" not in answer
    assert [result["status"] for result in results(tmp_path)] == ["FINISHED"]


def test_a_plan_writes_nothing(whydeep: Whydeep, tmp_path: Path) -> None:
    planned = whydeep("study", *TOY, "plan=true", "workers=2")
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"about \d+ seconds with 2 workers, \d+ MB of disk", planned.stdout)
    assert "2 seeds show, 80 % of the time, an effect of" in planned.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["stacked_filter"], "study=stacked_filter: no such study; did you mean 'stacked_filters'?"),
        ([], "no study is named; write whydeep study NAME, where NAME is one of augmentation, "),
        ([*TOY, "more"], "stacked_filters more: one study at a time"),
        ([TOY[0], "scale=huge"], "scale=huge: no such scale of this study; allowed: cifar10, full, laptop, toy"),
        ([*TOY, "trainer.max_epoch=3"], "did you mean 'trainer.max_epochs'?"),
        ([*TOY, "model=vgg11"], "model=vgg11: the arms differ in 'model'"),
        ([*TOY, "optimizer.lr=1,2"], "optimizer.lr=1,2: several values; a study takes one for all arms"),
        ([*TOY, "seeds=0"], "seeds=0: must be a number from 1"),
        ([*TOY, "seed=1"], "seed=1: a study sets the seed of each run; give seeds=N or seeds=[1]"),
        ([*TOY, "seeds=few"], "seeds=few: must be a number of seeds, or a list such as [0,4]"),
        ([*TOY, "plan=yes"], "plan=yes: must be true or false"),
        ([*TOY, "workers=0"], "workers=0: must be a whole number from 1"),
        ([*TOY, "hydra/launcher=ray"], "hydra/launcher=ray: without effect on a study"),
        ([*TOY, "+hydra.launcher.mem_gb=8"], "+hydra.launcher.mem_gb=8: goes with a launcher of Hydra's"),
        ([*TOY, "launcher=cloud"], "launcher=cloud: no such launcher"),
        ([*TOY, "--fast"], "--fast: unknown flag"),
        ([*TOY, "workers=100000"], "workers=100000: must be at most "),
        ([*TOY, "retries=-1"], "retries=-1: must be a whole number from 0"),
        ([*TOY, "sed=1"], "sed: unknown key; did you mean 'seeds'?"),
        ([*TOY, "runs_dir=/proc/x"], "runs_dir=/proc/x: /proc cannot be written to"),
        ([*TOY, "datamodule.image_size=1"], "needs at least 2x2 pixels"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    from experiments.cli import run  # noqa: PLC0415 - as `whydeep` does

    monkeypatch.chdir(tmp_path)
    assert run("study", arguments) == 2
    told = capsys.readouterr()
    assert complaint in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert told.out == ""
    assert not (tmp_path / "runs").exists()


def test_help_is_quick_and_says_how(whydeep: Whydeep) -> None:
    told = whydeep("study", "--help")
    assert told.returncode == 0
    assert "whydeep study stacked_filters plan=true" in told.stdout
