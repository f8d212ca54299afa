"""Which studies make up the chapter: those of its file that are there, in its order, each in one place."""

from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.studies.chapter import Part, read_chapter

CONTENT = "title: Why?\nparts:\n  One: [b, later, a]\n  Two: [also_later]\n  Three: [c]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "chapter.yaml"
    path.write_text(CONTENT)
    return path


def test_studies_that_are_not_there_are_left_out_and_parts_without_any(file: Path) -> None:
    chapter = read_chapter(file, known=["a", "b", "c", "of_a_user"])
    assert chapter.title == "Why?"
    assert chapter.parts == (Part("One", ("b", "a")), Part("Three", ("c",)))
    assert chapter.studies == ("b", "a", "c")


def test_some_of_its_studies_keep_its_order(file: Path) -> None:
    chapter = read_chapter(file, known=["a", "b", "c"])
    assert chapter.only(["c", "b"]).parts == (Part("One", ("b",)), Part("Three", ("c",)))
    with pytest.raises(UserError, match=r"only=d: no such study in the chapter; .*allowed: a, b, c"):
        chapter.only(["a", "d"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("title: x\nparts: {One: [a, a]}", "parts: a stands there twice"),
        ("title: x\nparts: {One: [a], Two: [a]}", "parts: a stands there twice"),
        ("title: x\nparts: {One: [z]}", "parts: names none of the studies that there are; allowed: a, b"),
        ("title: x\nparts: {One: 3}", "parts.One: input should be a valid list"),
        ("title: x\npart: {One: [a]}", "part"),
        ("title: [", "cannot be read"),
        ("", "input should be a valid"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(file: Path, content: str, said: str) -> None:
    file.write_text(content)
    with pytest.raises(UserError) as refused:
        read_chapter(file, known=["a", "b"])
    assert str(refused.value).startswith(f"{file}: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
