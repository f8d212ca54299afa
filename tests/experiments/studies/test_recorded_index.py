"""The index of recorded results: a row for each variation of a study but toy, with effects as they were recorded."""

import json
import shutil
from pathlib import Path

import pytest

from experiments import report
from experiments.errors import UserError
from experiments.studies.chapter import Chapter, Part
from experiments.studies.recorded_index import MARK, recorded_index
from experiments.studies.reference import FOLDER

CHAPTER = Chapter("Why?", (Part("Depth", ("stacked_filters",)),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in FOLDER.glob("stacked_filters*.json"):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_a_row_for_each_variation_says_what_was_recorded(folder: Path) -> None:
    file = folder / "stacked_filters.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    (claim,) = [one for one in content["verdicts"] if one["claim"] == "error_5x5"]
    claim |= {"outcome": "refuted", "mean": 2.5, "low": 1.25, "high": 3.75}
    for arm in content["arms"]:
        for run in arm["runs"]:
            run["metrics"]["time/train_seconds"] = 60.0
    file.write_text(json.dumps(content), encoding="utf-8")
    lines = recorded_index(folder, CHAPTER).splitlines()
    assert lines[0] == "## Depth"
    question = "[Do stacked 3×3 layers replace one larger filter?](stacked_filters.md)"
    written, cifar10 = [line for line in lines if line.startswith("| ") and "**" in line]
    assert written.startswith(f"| {question} | as written | **supported**: weights_5x5 = 0.72, weights_7x7 = 0.551, ")
    assert "<br>**refuted**: error_5x5 +2.50 [+1.25, +3.75]" in written
    claim["bound"] = "at least"
    file.write_text(json.dumps(content), encoding="utf-8")
    assert "<br>**refuted**: error_5x5 at least +2.50 [+1.25, ∞)" in recorded_index(folder, CHAPTER)
    assert written.endswith("| 5 | 20 minutes |")
    assert cifar10.startswith("|  | scale=cifar10 | ")
    assert not any("toy" in line for line in lines)


def test_a_study_without_a_record_is_said_to_have_none(tmp_path: Path) -> None:
    assert "](stacked_filters.md) | | not recorded yet | | |" in recorded_index(tmp_path, CHAPTER)


def test_it_is_written_and_checked_by_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = folder / "README.md"
    page.write_text(f"# Studies\n\n{MARK}\nold\n<!-- /whydeep:report -->\n", encoding="utf-8")
    assert report.main(["chapter", f"check={page}"]) == 1
    told = capsys.readouterr()
    assert f"{page}:4: differs from the recorded results\n  in the file:  old\n" in told.err
    assert report.main(["chapter", f"write={page}"]) == 0
    assert "| as written |" in page.read_text(encoding="utf-8")
    assert report.main(["chapter", f"check={page}"]) == 0
    (folder / "stacked_filters.json").unlink()
    assert report.main(["chapter", f"check={page}"]) == 1


def test_what_goes_with_a_study_alone_is_refused(folder: Path) -> None:
    for argument in ("format=md", "reference=x.json"):
        with pytest.raises(UserError, match="goes with a study, not with the chapter"):
            report.main(["chapter", argument, f"runs_dir={folder}"])
