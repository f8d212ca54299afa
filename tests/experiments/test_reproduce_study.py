"""`whydeep reproduce study=NAME`: the shipped study at toy scale, against its reference and against itself."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import run
from experiments.runs.metrics import METRICS
from experiments.studies.reference import FOLDER
from tests.experiments.conftest import environment

STUDY = ("study=stacked_filters", "scale=toy")
REFERENCE = FOLDER / "stacked_filters.toy.json"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder in which the study was reproduced against its reference; what was said is in `said`.

    Runs of this module draw nothing: pictures are most of what a toy run costs, and are not compared.
    """
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr("experiments.runs.record._save", lambda *_: None)
        with (folder / "said").open("w") as said, contextlib.redirect_stdout(said):
            code = run("reproduce", [*STUDY, "against=reference", "json=first.json"])
            print("exit code", code)
        yield folder


def answer(place: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Reproduce in this process; return the exit code and what `json=` holds."""
    monkeypatch.chdir(place)
    file = place / "answer.json"
    file.unlink(missing_ok=True)
    code = run("reproduce", ["study=stacked_filters", f"json={file}", *arguments])
    return code, json.loads(file.read_text()) if file.exists() else {}


def test_the_shipped_study_has_its_recorded_result_on_any_machine(place: Path) -> None:
    """Where this fails since the code changes what a network learns: `whydeep report` writes the file anew."""
    said = (place / "said").read_text()
    told = json.loads((place / "first.json").read_text())
    assert said.endswith("exit code 0\n"), said
    assert told["answer"] in ("identical", "equivalent"), said
    assert told["definition"] == []
    assert [(arm["n"], arm["total"]) for arm in told["arms"]] == [(2, 26)] * 4
    assert (told["runs"], told["runs_of_the_record"]) == (8, 0)
    # The claims on measures are exact: they hold on every machine.
    exact = [one for one in told["verdicts"] if not one["claim"].startswith("error")]
    assert [(one["recorded"], one["now"]) for one in exact] == [("supported", "supported")] * 4
    assert "  runs      0 finished here, 8 to do" in said
    assert re.search(r"^ two_conv3x3 +89\.97 ", said, flags=re.MULTILINE)
    assert re.search(r"^(identical|equivalent): ", said, flags=re.MULTILINE)


def test_what_is_finished_here_counts_in_another_process_too(place: Path) -> None:
    command = [sys.executable, "-m", "experiments.cli", "reproduce", *STUDY, "against=reference"]
    told = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "  runs      8 finished here, 0 to do" in told.stdout
    first = (place / "said").read_text()
    table = first.index(" arm ")
    assert told.stdout[told.stdout.index(" arm ") :] == first[table : first.index("exit code")]
    assert "Traceback" not in told.stderr


def test_what_was_recorded_here_is_run_again_and_identical_also_where_it_was_stopped(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in place.glob("runs/*/*.json") if path.is_file()}
    code, told = answer(place, monkeypatch, "scale=toy", "seeds=[1]")
    said = capsys.readouterr().out
    assert (code, told["answer"], told["first_difference"]) == (0, "identical", None), said
    assert (told["runs"], told["runs_of_the_record"]) == (4, 0)
    assert {path: path.read_bytes() for path in before} == before
    (again,) = (place / "runs" / "reproductions").iterdir()
    results = [json.loads(file.read_text()) for file in again.glob("*/result.json")]
    assert [result["seed"] for result in results] == [1] * 4
    assert json.loads((again / "reproduction.json").read_text()) == told
    assert "  compared  4 runs with the record (4 arms, 1 seed: 1): best (epoch, val_top1_error), " in said
    assert "identical: 52 of 52 recorded numbers of 4 runs are the same to the bit." in said
    # Without its end it was stopped: the same command goes on, and what was done counts.
    (again / "reproduction.json").unlink()
    with monkeypatch.context() as patched:
        patched.setattr("experiments.studies.here.Here.start", lambda *_: pytest.fail("a run was run again"))
        assert answer(place, monkeypatch, "scale=toy", "seeds=[1]") == (0, told)
    assert list((place / "runs" / "reproductions").iterdir()) == [again]
    capsys.readouterr()
    # The study that is reported is still the recorded one.
    assert run("report", ["stacked_filters", "scale=toy", "to=report", "format=md"]) == 0
    report = (place / "report" / "report.md").read_text()
    assert not any(result["run_id"] in report for result in results)


def test_runs_that_are_the_record_itself_are_said_to_show_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert run("report", ["stacked_filters", "scale=toy", "reference=own.json"]) == 0
    recorded = json.loads((place / "own.json").read_text())
    results = {
        result["run_id"]: result["metrics"]
        for result in (json.loads(file.read_text()) for file in place.glob("runs/*/result.json"))
    }
    for one in (one for arm in recorded["arms"] for one in arm["runs"]):
        found = results[one["run_id"]]
        assert one["metrics"] == {name: value for name, value in found.items() if name in METRICS}
    capsys.readouterr()
    code, told = answer(place, monkeypatch, "scale=toy", "against=own.json")
    assert (code, told["answer"], told["runs_of_the_record"]) == (0, "identical", 8)
    said = capsys.readouterr().out
    assert "8 of 8 runs are those of the record itself" in said
    assert "  runs      8 finished here, 0 to do" in said

    # A record that says something else, of the same study.
    recorded["arms"][0]["runs"][1]["metrics"]["test/top1_error"] -= 50.0
    recorded["definition"]["claims"]["error_5x5"]["margin"] = 3.0
    (place / "other.json").write_text(json.dumps(recorded))
    code, told = answer(place, monkeypatch, "scale=toy", "against=other.json")
    assert (code, told["answer"], told["arms"][0]["answer"]) == (1, "different", "different")
    assert told["first_difference"] == "definition: claims.error_5x5.margin 3.0 → 1.0"
    assert "different: definition: claims.error_5x5.margin 3.0 → 1.0" in capsys.readouterr().out


def test_another_weight_decay_is_different_and_said(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = ("scale=toy", "seeds=1", "optimizer.weight_decay=0.1", f"against={REFERENCE}")
    code, told = answer(place, monkeypatch, *changes)
    assert (code, told["answer"]) == (1, "different")
    # The code may differ from the recorded one, too, and is then named first.
    found = [(one["ingredient"], one["name"]) for one in told["differences"]]
    assert ("configuration", "optimizer.weight_decay") in found
    assert "first ingredient that differs: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["study=stacked_filter", "against=reference"], "study=stacked_filter: no such study; did you mean 'stacked"),
        (
            [*STUDY, "against=reference", "optimizer.lr=0.3"],
            "`whydeep report stacked_filters scale=toy optimizer.lr=0.3 reference=",
        ),
        ([*STUDY, "against=none.json"], "none.json: no such file; `whydeep report NAME reference="),
        ([*STUDY, "against=reference", "seeds=[1,7]"], "seeds=7: not recorded in "),
        ([*STUDY, "against=lacks.json"], "lacks.json: 1 runs are missing, first conv5x5 seed 1 (it broke)"),
        ([*STUDY, "against=strange.json"], "strange.json: the result of study=strange, not of study=stacked_filters"),
        (STUDY, "runs_dir=runs: nothing is recorded in "),
        ([*STUDY, "against=reference", "trainer.max_epoch=3"], "max_epoch"),
        ([*STUDY, "against=reference", "sed=3"], "sed: unknown key; did you mean 'seeds'?"),
        ([*STUDY, "against=reference", "workers=0"], "workers=0: must be a whole number from 1"),
        ([*STUDY, "against=reference", "seeds=few"], "seeds=few: must be a number of seeds"),
        ([*STUDY, "a_run"], "a_run: study=stacked_filters is what is reproduced; one at a time"),
        ([*STUDY, "threads=2"], "threads=2: goes with a run, not with study=stacked_filters; $OMP_NUM_THREADS"),
        ([*STUDY, "against=reference", "~optimizer.momentum"], "stacked_filters.toy.optimizer.momentum.json"),
        (["a_run", "against=reference"], "against=reference: goes with study=NAME, not with a run"),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    content = json.loads(REFERENCE.read_text())
    (tmp_path / "strange.json").write_text(json.dumps({**content, "name": "strange"}))
    content["arms"][0]["runs"][1] |= {"status": "FAILED", "reason": "it broke"}
    (tmp_path / "lacks.json").write_text(json.dumps(content))
    assert run("reproduce", arguments) == 2
    told = capsys.readouterr()
    assert complaint in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert told.out == ""
    assert not (tmp_path / "runs").exists()


def test_a_variation_that_was_not_recorded_is_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert run("reproduce", ["study=stacked_filters"]) == 2
    assert "stacked_filters: not recorded as written; recorded: scale=toy" in capsys.readouterr().err
