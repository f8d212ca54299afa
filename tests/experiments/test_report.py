"""`whydeep report`: what it writes, and when a committed table no longer matches the store."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments import report
from experiments.errors import UserError
from experiments.studies.reference import definition_of, read_reference
from tests.experiments.studies.stored import WRITTEN, copy, make, rows, run_id_of

PAGE = "# A page\n\n<!-- whydeep:report large -->\nold\n<!-- /whydeep:report -->\n\nThe rest.\n"


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    make(folder)
    return folder


def test_all_formats_are_written_into_the_folder_of_the_study(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main(["large", f"runs_dir={runs_dir}"]) == 0
    names = {file.name for file in (runs_dir / "large").iterdir()}
    assert names == {"report.html", "report.md", "report.tex", "comparison.png"}
    told = capsys.readouterr().out
    assert "How long does a large study take?" in told
    assert f"html: {runs_dir / 'large' / 'report.html'}" in told
    assert "arm01 - arm00" in told


def test_a_committed_table_is_written_and_checked(
    runs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "large.md"
    page.write_text(PAGE, encoding="utf-8")
    where = f"runs_dir={runs_dir}"
    assert report.main(["large", where, f"check={page}"]) == 1
    told = capsys.readouterr()
    assert f"{page}:4: differs from the store\n  in the file:  old\n" in told.err
    assert page.read_text(encoding="utf-8") == PAGE

    assert report.main(["large", where, f"write={page}"]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# A page\n\n<!-- whydeep:report large -->\n- **")
    assert text.endswith("summed over 6 runs; begun on 2026-09-21.\n<!-- /whydeep:report -->\n\nThe rest.\n")
    assert report.main(["large", where, "--check", str(page)]) == 0
    assert report.main(["large", where, f"--check={page}"]) == 0
    assert report.main(["large", where, f"write={page}"]) == 0
    assert page.read_text(encoding="utf-8") == text
    capsys.readouterr()

    line = next(place for place, line in enumerate(text.splitlines(), start=1) if line.startswith("| arm01"))
    page.write_text(text.replace("| arm01 | 5", "| arm01 | 6").replace("| arm01 | 4", "| arm01 | 6"), encoding="utf-8")
    assert report.main(["large", where, f"check={page}"]) == 1
    told = capsys.readouterr()
    assert told.err.startswith(f"{page}:{line}: differs from the store\n  in the file:  | arm01 | 6")
    assert told.err.count("in the store: ") == 1
    assert f"{page}: differs from the store" in told.out


def test_a_reference_is_read_as_it_was_written(runs_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "studies" / "large.json"
    assert report.main(["large", f"runs_dir={runs_dir}", f"reference={file}"]) == 0
    reference = read_reference(file)
    assert (reference.name, reference.metric) == ("large", "test/top1_error")
    assert reference.definition == definition_of(WRITTEN.study)
    assert reference.definition == definition_of(WRITTEN.study.with_seeds(4))  # seeds are told with the runs
    arm = reference.arm("arm01")
    assert arm is not None
    assert arm.measures == WRITTEN.arms[1].measures
    assert [run.run_id for run in arm.runs] == [run_id_of(runs_dir, f"arm01 seed {seed}") for seed in range(3)]
    identities = {(one.arm, one.seed): one.identity for one in WRITTEN.replicates}
    assert arm.runs[2].identity == identities["arm01", 2]
    # All that runs record, not only what a report shows; what the store has no files of is not known.
    errors = {f"{split}/{name}" for split in ("train", "val") for name in ("top1_error", "loss")}
    assert arm.runs[2].metrics.keys() == {"test/top1_error", "time/train_seconds", *errors}
    assert (reference.made_of, reference.code) == ({}, {})
    assert reference.environments[0].commit == "c" * 40


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file; `whydeep report NAME reference="),
        ("{", "not the reference of a study"),
        ('{"format": 99}', "written by a newer whydeep (format 99)"),
        ('{"format": 1, "name": "x"}', "not the reference of a study"),
        ("[]", "not the reference of a study"),
    ],
)
def test_what_is_no_reference_is_one_line(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "x.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError) as refused:
        read_reference(file)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unfinished_study_is_reported_but_no_reference(
    runs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy(runs_dir, tmp_path)
    with rows(tmp_path) as connection:
        connection.execute("update runs set status = 'RUNNING' where name = 'arm01 seed 0'")
    assert report.main(["large", f"runs_dir={tmp_path}", "format=html,md", f"to={tmp_path / 'out'}"]) == 0
    assert "unfinished: 1 of 6 runs are missing (1 running)" in capsys.readouterr().out
    assert "Unfinished: 1 of 6 runs are missing (1 running)." in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(UserError, match="1 runs are missing, first arm01 seed 0"):
        report.main(["large", f"runs_dir={tmp_path}", f"reference={tmp_path / 'x.json'}"])
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give the name of one study"),
        (["a", "b"], "a b: give the name of one study"),
        (["large", "format=pdf"], "format=pdf: no such format 'pdf'; allowed: html, md, tex, png"),
        (["large", "formt=md"], "formt: unknown key; did you mean 'format'?"),
        (["large", "--chek"], "--chek: unknown flag"),
        (["large", "--check"], "--check: needs a file"),
        (["large", "runs_dir=nowhere"], "mlflow.db yet; there is no such folder"),
        (["large", "runs_dir=nowhere", "~optimizer.momentum"], "nothing is recorded in"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        report.main(arguments)
    assert said in str(refused.value)


@pytest.fixture
def read_only(runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of runs that cannot be written to; to the superuser, who always can, it only says so."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    copy(runs_dir, folder)
    can = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK and folder == path) and can(path, mode))
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def test_a_read_only_store_is_read_and_the_key_that_changes_the_place_is_said(
    read_only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError) as refused:
        report.main(["large", f"runs_dir={read_only}"])
    assert str(refused.value) == f"runs_dir={read_only}: cannot be written to; to=FOLDER puts the report elsewhere"

    page = tmp_path / "large.md"
    page.write_text(PAGE, encoding="utf-8")
    assert report.main(["large", f"runs_dir={read_only}", f"write={page}"]) == 0
    assert report.main(["large", f"runs_dir={read_only}", "format=md", f"to={tmp_path / 'out'}"]) == 0

    assert "arm01 - arm00" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.md").exists()
    # What MLflow leaves beside a data base that it opens.
    assert not (read_only / "mlflow.db.lock").exists()


def test_a_scale_that_the_study_does_not_have_is_said_with_those_that_it_has(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("experiments.studies.study_file.STUDIES", tmp_path)
    arms = "{a: {overrides: [x=1], role: baseline}}"
    text = f"study: {{question: Q, seeds: 1, metric: test/top1_error, arms: {arms}, scales: {{full: {{seeds: 3}}}}}}\n"
    (tmp_path / "large.yaml").write_text(text)
    with pytest.raises(UserError, match=r"^scale=toy: no such scale of this study; allowed: full, laptop$"):
        report.main(["large", f"runs_dir={runs_dir}", "scale=toy"])
    with pytest.raises(UserError, match=r"^large: not recorded scale=full; recorded: as written$"):
        report.main(["large", f"runs_dir={runs_dir}", "scale=full"])


def test_a_file_without_the_block_is_one_line(runs_dir: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# nothing\n")
    with pytest.raises(UserError, match="has no block between <!-- whydeep:report large -->"):
        report.main(["large", f"runs_dir={runs_dir}", f"check={page}"])
    with pytest.raises(UserError, match="cannot be read"):
        report.main(["large", f"runs_dir={runs_dir}", f"check={tmp_path / 'none.md'}"])
    assert page.read_text() == "# nothing\n"


@pytest.mark.parametrize(
    "rest", ["\nkept\n", "\nkept\n<!-- whydeep:report other -->\nanother study's\n<!-- /whydeep:report -->\n"]
)
def test_a_block_that_is_not_closed_is_one_line_and_nothing_is_overwritten(
    runs_dir: Path, tmp_path: Path, rest: str
) -> None:
    page = tmp_path / "page.md"
    text = f"# title\n<!-- whydeep:report large -->{rest}"
    page.write_text(text)
    for key in ("check", "write"):
        with pytest.raises(UserError) as refused:
            report.main(["large", f"runs_dir={runs_dir}", f"{key}={page}"])
        assert str(refused.value) == (
            f"{page}:2: <!-- whydeep:report large --> has no <!-- /whydeep:report --> after it; "
            "write that line where the block shall end"
        )
    assert page.read_text() == text


def test_help_says_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {key}=" in told for key in report.KEYS)
