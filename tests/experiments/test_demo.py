"""`whydeep demo` as a person uses it: real processes at toy scale."""

import json
import re
from pathlib import Path

import mlflow
import pytest

from experiments.demo import main
from experiments.errors import UserError
from tests.experiments.conftest import Whydeep

TOY = ("trainer.max_epochs=1", "datamodule.few_samples=4", "model.network.widths=[4,4]")


def results(folder: Path) -> list[dict[str, object]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("runs/*/result.json"))]


def test_the_demo_ends_with_table_and_report_and_runs_nothing_twice(whydeep: Whydeep, tmp_path: Path) -> None:
    first = whydeep("demo", *TOY, "seeds=2")
    assert first.returncode == 0, first.stderr
    recorded = results(tmp_path)
    assert len(recorded) == 4
    assert {str(result["choices"]["model"]) for result in recorded} == {"conv5x5", "two_conv3x3"}  # type: ignore[index]

    for said in ("conv5x5 (baseline)", "two_conv3x3", "parameters", "MACs at 1x8x8", "receptive field", "whydeep ui"):
        assert said in first.stdout
    assert re.search(
        r"two_conv3x3 - conv5x5: [+-][\d.]+ points of top-1 error, 95 % interval .*, n = 2 pairs", first.stdout
    )
    progress = re.findall(r"^\[(\d)/4\] (\S+) seed (\d): top-1 error", first.stderr, flags=re.MULTILINE)
    assert progress == [
        ("1", "conv5x5", "0"),
        ("2", "two_conv3x3", "0"),
        ("3", "conv5x5", "1"),
        ("4", "two_conv3x3", "1"),
    ]
    assert "Traceback" not in first.stderr

    html = (tmp_path / "runs" / "demo" / "report.html").read_text(encoding="utf-8")
    for result in recorded:
        assert str(result["run_id"]) in html
        assert f"{result['metrics']['test/top1_error']:.2f}" in html  # type: ignore[index]
    assert html.count("<svg") == 5
    assert (tmp_path / "runs" / "demo" / "comparison.png").stat().st_size > 10_000
    assert (tmp_path / "runs" / "demo" / "report.md").exists()

    store = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (experiment,) = [found for found in store.search_experiments() if found.name == "demo"]
    runs = store.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs if run.info.run_id not in {str(r["run_id"]) for r in recorded}) == [
        "study demo"
    ]
    (study,) = [run for run in runs if run.info.run_name == "study demo"]
    assert study.info.status == "FINISHED"
    assert "two_conv3x3 - conv5x5: " in study.data.tags["mlflow.note.content"]
    artifacts = {Path(file.path).name for file in store.list_artifacts(study.info.run_id)}
    assert artifacts == {"report.html", "report.md", "comparison.png"}

    second = whydeep("demo", *TOY, "seeds=2")
    assert second.returncode == 0, second.stderr
    assert second.stderr.count("finished before") == 4
    assert results(tmp_path) == recorded
    assert second.stdout == first.stdout
    assert len(store.search_runs([experiment.experiment_id])) == 5


def test_failing_runs_leave_the_others_to_be_tried_and_the_exit_code_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # A rate this large makes the loss overflow in both arms.
    assert main([*TOY[1:], "seeds=[7]", "optimizer.lr=1e38", "trainer.max_epochs=3", "tracking=local"]) == 1
    told = capsys.readouterr()
    assert told.err.count(": failed: ") == 2
    assert "0 of 1" in told.out
    assert "Undecided" in told.out
    assert told.out.count("seed 7 failed (run conv5x5-digits-none-seed7-") == 1
    assert told.out.count("seed 7 failed (run two_conv3x3-digits-none-seed7-") == 1
    assert "failed" in (tmp_path / "runs" / "demo" / "report.html").read_text(encoding="utf-8")


def test_what_cannot_be_built_is_a_mistake_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="2x2"):
        main(["datamodule.image_size=2"])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["trainer.max_epoch=3"], "did you mean 'trainer.max_epochs'?"),
        (["model=vgg11"], "the arms differ in 'model'"),
        (["optimizer.lr=1,2"], "optimizer.lr=1,2: several values; a study takes one for all arms"),
        (["seeds=0"], "seeds=0: must be a number from 1"),
        (["seeds=few"], "seeds=few: must be a number of seeds, or a list such as [0,4]"),
        (["--fast"], "--fast: unknown flag"),
        (["foo=1"], "foo: unknown key; allowed: augmentation"),
        (["sed=1"], "sed: unknown key; did you mean 'seeds'?"),
        (["runs_dir=/proc/x"], "runs_dir=/proc/x: /proc cannot be written to"),
        (["tracking.uri=http://"], "tracking.uri=http://: names no host"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(
    whydeep: Whydeep, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    wrong = whydeep("demo", *arguments)
    assert wrong.returncode == 2
    assert complaint in wrong.stderr
    assert len(wrong.stderr.strip().splitlines()) == 1
    assert wrong.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_help_is_quick_and_says_how(whydeep: Whydeep) -> None:
    told = whydeep("demo", "--help")
    assert told.returncode == 0
    assert "whydeep demo seeds=5 trainer.max_epochs=30" in told.stdout
