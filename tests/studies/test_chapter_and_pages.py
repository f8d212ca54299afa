"""Every study that comes with the project stands in the chapter, and has a page that says what it must."""

import json
import re
from pathlib import Path

import pytest
import yaml

from experiments.studies.block import differences_in
from experiments.studies.chapter import FILE, read_chapter
from experiments.studies.recorded_index import MARK, recorded_index
from experiments.studies.reference import FOLDER
from experiments.studies.study_file import known_studies, read_study

INDEX = FOLDER / "README.md"


def test_every_study_stands_in_the_chapter_once() -> None:
    assert sorted(read_chapter().studies) == known_studies()


def test_the_parts_are_in_the_order_of_the_subject() -> None:
    parts = list(yaml.safe_load(FILE.read_text(encoding="utf-8"))["parts"])
    subjects = ["Augmentation", "Why depth", "VGG, GoogLeNet, ResNet", "Transfer"]
    assert [part for part in parts if part in subjects] == subjects


@pytest.mark.parametrize("name", known_studies())
def test_a_study_has_a_page(name: str) -> None:
    page = FOLDER / f"{name}.md"
    assert page.is_file(), f"write {page.name}: question, source, design, results, what it does not show"
    text = page.read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0].startswith("# ")
    assert read_study(name).question in text
    assert "## Design" in lines
    assert "## What it does not show" in lines
    assert f"<!-- whydeep:report {name}" in text
    blocks = re.findall(rf"<!-- whydeep:report {name}[^>]*-->\n(.*?)<!-- /whydeep:report -->", text, flags=re.DOTALL)
    recorded = [block for block in blocks if block.strip()]
    # A study that waits for its record says so, and one that has it does not.
    assert ("No result is recorded yet." in text) == (not recorded)
    assert recorded or not list(FOLDER.glob(f"{name}.json"))
    for block in recorded:
        # What is held equal and what it took, which a block of an older whydeep lacks.
        assert "\nHeld equal: " in block
        assert re.search(r"^Training: .+ summed over \d+ runs?, on ", block, flags=re.MULTILINE)
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        assert (page.parent / picture).is_file(), picture


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_a_page_says_what_is_recorded(file: Path) -> None:
    """Where this fails since a result was recorded: `whydeep report NAME write=docs/studies/NAME.md`."""
    recorded = json.loads(file.read_text(encoding="utf-8"))
    name, _, scale = file.stem.partition(".")
    mark = f"<!-- whydeep:report {name}{f' scale={scale}' if scale else ''} -->"
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    if scale == "toy":
        assert mark not in page  # of which no verdict means anything
        return
    block = page.partition(mark)[2].partition("<!-- /whydeep:report -->")[0]
    for verdict in recorded["verdicts"]:
        assert f"- **{verdict['outcome']}**: {verdict['claim'] or ''}" in block
    runs = sum(environment["runs"] for environment in recorded["environments"])
    assert f"summed over {runs} runs" in block
    for arm in recorded["arms"]:
        for run in arm["runs"]:
            assert f"`{run['run_id'][:8]}`" in block


def test_the_index_has_the_recorded_results() -> None:
    """Where this fails since a result was recorded: `whydeep report chapter write=docs/studies/README.md`."""
    assert differences_in(INDEX, MARK, recorded_index(FOLDER, read_chapter()), "recorded results") == []


def test_links_of_the_index_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", INDEX.read_text(encoding="utf-8"))
    assert {f"{name}.md" for name in known_studies()} <= set(targets)
    assert [target for target in targets if not (Path(INDEX).parent / target).exists()] == []
