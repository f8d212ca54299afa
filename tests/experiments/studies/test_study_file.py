"""Files of studies: what cannot be read is one line with the file and the place in it."""

from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.studies.study_file import known_studies, read_study

WHOLE = "study: {question: Which, seeds: 2, metric: test/top1_error, arms: {a: {overrides: [x=1], role: baseline}}}\n"
WANTED = "must hold one mapping under the key 'study'"


def test_an_unknown_study_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "tried.yaml").write_text(WHOLE)
    (tmp_path / "folder.yaml").mkdir()
    assert known_studies(tmp_path) == ["tried"]
    for name in ("tired", "tried.yaml", "conf/study/tried.yaml"):
        with pytest.raises(UserError) as error:
            read_study(name, tmp_path)
        assert str(error.value) == f"study={name}: no such study; did you mean 'tried'? allowed: tried"


def test_a_study_is_named_not_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "tried.yaml").write_text(WHOLE)
    with pytest.raises(UserError, match=r"no such study"):
        read_study("../" + tmp_path.name + "/tried", tmp_path)


def test_a_folder_is_no_study(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UserError, match=r"^study=folder: no such study"):
        read_study("folder", tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", f"{WANTED}; it is empty"),
        (b"# nothing yet\n", f"{WANTED}; it is empty"),
        (b"- a", f"{WANTED}; it holds a list"),
        (b"other: {}", f"{WANTED}; it has other"),
        (b"study: 3", f"{WANTED}; below that is 3"),
        (b"study:", f"{WANTED}; below that is nothing"),
        (b"study: {}\nmore: 1", f"{WANTED}; it has study, more"),
        (
            b"study:\n\tquestion: Which?\n",
            (
                "line 2, column 1: not readable as YAML: while scanning for the next token, found character "
                r"'\t' that cannot start any token; indent with spaces, not with tabs"
            ),
        ),
        (b"study:\n  question: a: b\n", "line 2, column 14: not readable as YAML: mapping values are not allowed here"),
        (
            b"study:\n  question: a\n  question: b\n",
            "line 3, column 3: not readable as YAML: while constructing a mapping, found duplicate key question",
        ),
        (
            b"study:\n  arms:\n    a: {overrides: [x=1]}\n    a: {overrides: [x=2]}\n",
            "line 4, column 5: not readable as YAML: while constructing a mapping, found duplicate key a",
        ),
        (
            b"study: {arms: [a\n",
            (
                "line 2, column 1: not readable as YAML: while parsing a flow sequence, "
                "expected ',' or ']', but got '<stream end>'"
            ),
        ),
        (b"study: {}\n---\nstudy: {}\n", "line 2, column 1: not readable as YAML: expected a single document"),
        (b"study: {metric: !!python/object:a.b 3}", "line 1, column 17: not readable as YAML: could not determine a"),
        (b"study: &a {question: *a}", "not readable as YAML ("),
        (b"study: {question: \x01}", "not readable as YAML (unacceptable character #x0001"),
        (
            "study:\n  question: caf\u00e9\n".encode("latin-1"),
            "line 2: not text in UTF-8, which a study must be saved as",
        ),
        (WHOLE.encode("utf-16"), "line 1: not text in UTF-8"),
    ],
)
def test_a_file_that_is_no_study_is_one_line_with_the_place(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "odd.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_study("odd", tmp_path)
    assert str(error.value).startswith(f"{file}: {complaint}")
    assert "\n" not in str(error.value)


def test_a_mark_of_utf_8_and_an_interpolation_do_no_harm(tmp_path: Path) -> None:
    content = WHOLE.replace("Which", "'${which}'")
    (tmp_path / "marked.yaml").write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert read_study("marked", tmp_path).question == "${which}"


def test_a_file_below_where_one_stands_is_named_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "odd.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^study/odd\.yaml: must hold"):
        read_study("odd", tmp_path / "study")


def test_a_mistake_in_a_scale_names_file_and_scale(tmp_path: Path) -> None:
    (tmp_path / "scaled.yaml").write_text(WHOLE.replace("seeds: 2", "seeds: 2, scales: {toy: {seeds: 0}}"))
    with pytest.raises(UserError) as error:
        read_study("scaled", tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'scaled.yaml'}: study.scales.toy.seeds=0: must be a number from 1")
