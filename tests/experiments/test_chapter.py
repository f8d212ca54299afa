"""`whydeep chapter` as a person uses it: three small studies, one of which fails, and all that may go wrong before."""

import contextlib
import json
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from experiments.cli import run
from experiments.errors import UserError
from experiments.studies import conduct as conducting
from experiments.studies.comparison import Replicate
from experiments.studies.execution import Execution, execute_all
from experiments.studies.job import Job

COMMON = """
  seeds: SEEDS
  metric: test/top1_error
  overrides: [model=conv5x5, datamodule=digits, datamodule.image_size=8, datamodule.few_samples=4, trainer.max_epochs=1,
              effective_field_images=0]
  scales: {toy: {seeds: 1}}
"""
NARROW = "narrow: {overrides: ['model.network.widths=[4]'], role: baseline}"
DEEPER = "'model.network.widths=[4,4]'"
STUDIES = {
    "width": f"{NARROW}, wide: {{overrides: ['model.network.widths=[6]']}}",
    "breaks": f"whole: {{overrides: [{DEEPER}], role: baseline}}, broken: {{overrides: [{DEEPER}, optimizer.lr=1e38]}}",
    # Shares an arm with the first.
    "widest": f"{NARROW}, widest: {{overrides: ['model.network.widths=[8]']}}",
}
CLAIMS = {"width": "  claim: {contrast: wide - narrow, is: lower}\n"}
LIST = "title: Why deep?\nparts:\n  Width: [width, widest]\n  Other: [breaks, not_there_yet]\n"
NAMES = ["width", "widest", "breaks"]


def make(folder: Path) -> None:
    (folder / "study").mkdir()
    for name, arms in STUDIES.items():
        content = f"study:\n  question: What of {name}?\n  arms: {{{arms}}}{COMMON}{CLAIMS.get(name, '')}"
        content = content.replace("SEEDS", "2" if name == "width" else "1")
        (folder / "study" / f"{name}.yaml").write_text(content)
    (folder / "chapter.yaml").write_text(LIST)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder in which the chapter was run; `said`, `complaints` and `code` tell how it went."""
    folder = tmp_path_factory.mktemp("place")
    make(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr("experiments.studies.study_file.STUDIES", folder / "study")
        patched.setattr("experiments.studies.chapter.FILE", folder / "chapter.yaml")
        # Pictures are most of what a toy run costs.
        patched.setattr("experiments.runs.record._save", lambda *_: None)
        patched.setattr("experiments.studies.report.DOTS_PER_INCH", 30)
        asked = watched(patched)
        with (
            (folder / "said").open("w") as said,
            (folder / "complaints").open("w") as complaints,
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(complaints),
        ):
            code = run("chapter", [])
        (folder / "code").write_text(str(code))
        (folder / "asked").write_text(json.dumps(asked))
        yield folder


def watched(patched: pytest.MonkeyPatch) -> list[list[tuple[str, int]]]:
    """Return what will be executed of each study, arm and seed."""
    asked: list[list[tuple[str, int]]] = []

    def execute(jobs: Sequence[Job], *arguments: object, **named: object) -> Execution:
        asked.append([(job.arm, job.seed) for job in jobs])
        return execute_all(jobs, *arguments, **named)  # type: ignore[arg-type]

    patched.setattr(conducting, "execute_all", execute)
    return asked


def index_of(book: Path) -> str:
    text = book.read_text(encoding="utf-8")
    return text[text.index("<table") : text.index("</table>")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of its own, with the studies and nothing run."""
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("experiments.studies.study_file.STUDIES", tmp_path / "study")
    monkeypatch.setattr("experiments.studies.chapter.FILE", tmp_path / "chapter.yaml")
    monkeypatch.setattr("experiments.runs.record._save", lambda *_: None)
    monkeypatch.setattr("experiments.studies.report.DOTS_PER_INCH", 30)
    return tmp_path


def test_all_studies_run_and_one_that_fails_stops_none(place: Path) -> None:
    said, complaints = (place / "said").read_text(), (place / "complaints").read_text()
    assert (place / "code").read_text() == "1", complaints
    heads = [said.index(f"{number} of 3: {name}") for number, name in enumerate(NAMES, start=1)]
    assert heads == sorted(heads)
    assert complaints.count(": failed: ") == 1
    assert "Traceback" not in complaints
    assert "undecided: wide - narrow in top-1 error: lower" in said
    assert said.count("/study/report.html\n") == 3
    end = said[said.rindex("verdicts") :]
    assert [line.split()[0] for line in end.splitlines() if re.match(r"  \w", line)] == NAMES
    assert "breaks: 1 of 2 runs are missing (1 failed)" in end
    assert "book: runs/chapter/book.html" in end


def test_the_plan_is_one_table_with_totals_and_counts_shared_runs_once(place: Path) -> None:
    said = (place / "said").read_text()
    plan = said[: said.index("1 of 3: width")]
    rows = {line.split()[0]: line.split()[1:5] for line in plan.splitlines() if re.match(r"  \w", line)}
    assert rows["study"][:4] == ["runs", "done", "to", "do"]
    assert rows["width"][:3] == ["4", "-", "4"]
    assert rows["widest"][:4] == ["2", "-", "1", "1"]
    assert rows["3"][:4] == ["studies", "7", "-", "7"]
    assert "runs that stand in several studies are run once" in plan
    assert "notice: widest: no claims: the arms are compared, and nothing is judged" in plan


def test_a_run_of_two_studies_is_executed_in_the_first_and_done_in_the_second(place: Path) -> None:
    asked = json.loads((place / "asked").read_text())
    assert asked[0] == [["narrow", 0], ["wide", 0], ["narrow", 1], ["wide", 1]]
    assert asked[1] == [["widest", 0]]


def test_the_book_has_all_studies_with_their_runs(place: Path) -> None:
    html = (place / "runs" / "chapter" / "book.html").read_text(encoding="utf-8")
    results = [json.loads(file.read_text()) for file in place.glob("runs/*/result.json")]
    assert len(results) == 7
    for result in results:
        assert str(result["run_id"]) in html
    for name in NAMES:
        assert f"What of {name}?" in html
    assert "Not recorded" not in html


def test_a_study_is_the_one_that_whydeep_study_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("study", ["width", "plan=true"]) == 0
    assert "4 runs (2 arms, 2 seeds, equal epochs): 4 done" in capsys.readouterr().out
    written = json.loads((place / "runs" / "width" / "study" / "study.json").read_text())
    assert written["command"] == ["whydeep", "study", "width"]


def test_the_book_is_written_again_from_mlflow_alone(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", ["chapter", f"to={tmp_path}"]) == 0
    told = capsys.readouterr().out
    assert f"book: {tmp_path / 'book.html'}" in told
    assert "breaks: 1 of 2 runs are missing (1 failed)" in told
    assert index_of(tmp_path / "book.html") == index_of(place / "runs" / "chapter" / "book.html")
    assert run("report", ["chapter", "scale=toy"]) == 2
    assert "chapter: none of its studies is recorded scale=toy" in capsys.readouterr().err


def test_the_same_command_runs_only_what_is_missing(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = watched(monkeypatch)
    before = index_of(place / "runs" / "chapter" / "book.html")
    assert run("chapter", ["only=width"]) == 0
    assert asked == [[]]
    told = capsys.readouterr().out
    assert "1 of 1: width" in told
    assert "2 of" not in told
    # The book keeps the studies that were not asked for.
    assert index_of(place / "runs" / "chapter" / "book.html") == before


def test_a_study_that_fails_as_a_whole_is_told_and_left(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = conducting.Conduct.run

    def fails(self: conducting.Conduct, *arguments: object) -> conducting.Answer:
        if self.title == "width":
            raise UserError("study width: another process executes it already")
        if self.title == "widest":
            raise RuntimeError("a mistake of ours")
        return own(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(conducting.Conduct, "run", fails)
    monkeypatch.setattr(conducting, "execute_all", lambda jobs, *_, **__: Execution(_failed(jobs), None))
    assert run("chapter", []) == 1
    told = capsys.readouterr()
    assert "width failed: study width: another process executes it already" in told.out
    assert "widest failed: RuntimeError: a mistake of ours" in told.out
    assert "a mistake of ours" in told.err
    assert "runs/breaks/study/report.html\n" in told.out
    html = (place / "runs" / "chapter" / "book.html").read_text()
    # What was recorded of it before stays.
    assert html.count("Failed: study width: another process executes it already.") == 2
    assert 'id="width-run-narrow-0"' in html


def _failed(jobs: Sequence[Job]) -> list[Replicate]:
    return [Replicate(job.arm, job.seed, "FAILED", None, "it broke") for job in jobs]


def test_a_signal_stops_the_whole_chapter_and_says_how_to_continue(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def stopped(jobs: Sequence[Job], *_: object, **__: object) -> Execution:
        asked.append(jobs[0].arm)
        return Execution([Replicate(one.arm, one.seed, "NOT RUN", None, "stopped") for one in jobs], signal.SIGTERM)

    monkeypatch.setattr(conducting, "execute_all", stopped)
    assert run("chapter", ["scale=toy", "tracking=local"]) == 128 + signal.SIGTERM
    assert asked == ["narrow"]
    assert "whydeep: stopped; to continue: whydeep chapter scale=toy tracking=local" in capsys.readouterr().err
    assert not list(here.glob("runs/chapter*"))

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conducting, "write_report", interrupted)
    assert run("chapter", ["scale=toy", "tracking=local"]) == 130
    assert "whydeep: stopped; to continue: whydeep chapter scale=toy tracking=local" in capsys.readouterr().err


def test_a_plan_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("chapter", ["plan=true", "scale=toy", "only=breaks,width"]) == 0
    told = capsys.readouterr().out
    assert told.index("width (scale=toy)") < told.index("breaks (scale=toy)")
    assert "breaks (scale=toy): broken: a trial step failed" in told or "about" in told
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["width"], "width: must be key=value; only=width runs one study of the chapter"),
        (["only=widht"], "only=widht: no such study in the chapter; did you mean 'width'?"),
        (["only=width", "scale=huge"], "width: scale=huge: no such scale of this study; allowed: laptop, toy"),
        (["plan=yes"], "plan=yes: must be true or false"),
        (["onyl=width"], "onyl: unknown key; did you mean 'only'?"),
        (["optimizer.lr=0.2"], "optimizer.lr=0.2: the arms differ in 'optimizer.lr'"),
        (["workers=0"], "workers=0: must be a whole number from 1"),
        (["--fast"], "--fast: unknown flag"),
        (["runs_dir=/proc/x"], "runs_dir=/proc/x: /proc cannot be written to"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run("chapter", arguments) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert told.out == ""
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("optimizer.lr=1e38", "optimizer.lrr=1", "breaks.yaml: arm broken: override optimizer.lrr=1: unknown key"),
        # What only its network or data can tell.
        ("datamodule.image_size=8", "datamodule.image_size=1", "breaks.yaml: override model=conv5x5: the network does"),
    ],
)
def test_a_mistake_in_the_last_study_is_said_before_the_first_one_runs(
    here: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    file = here / "study" / "breaks.yaml"
    file.write_text(file.read_text().replace(old, new))
    assert run("chapter", ["scale=toy"]) == 2
    told = capsys.readouterr()
    assert f"study/{said}" in told.err
    assert told.out == ""
    assert not (here / "runs").exists()


def test_help_says_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    from experiments import chapter  # noqa: PLC0415 - as `whydeep` does

    assert chapter.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {key}=" in told for key in chapter.OWN)
