"""The book of a chapter: an index of all verdicts and the report of every study, one HTML file that needs no other."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from experiments.studies import membership, wording
from experiments.studies.chapter import CHAPTER, Chapter
from experiments.studies.chapter_entries import Entry
from experiments.studies.chapter_index import counted, indexed
from experiments.studies.environments import Environment
from experiments.studies.held import seconds_by_run
from experiments.studies.report import render, report_section

FILE = "book.html"
# Where matplotlib defines a letter of a figure, and where it uses one; the figure's name comes first.
_DEFINED = re.compile(
    r'<path id="[^"]*?-(?P<glyph>DejaVu[^"]*)"(?P<drawn>(?: d="[^"]*")? transform="scale\([\d.]+\)")/>'
)
_USED = re.compile(r'href="#[^"]*?-(?P<glyph>DejaVu[^"]*)"')
LEVEL = 3  # of the headings of the studies: above them are those of the parts and the title


def book_folder(runs_dir: Path, varied: str) -> Path:
    """Return the folder of the book among the runs, one for each variation."""
    return membership.study_folder(runs_dir, CHAPTER, varied)


def write_book(
    folder: Path, chapter: Chapter, entries: Mapping[str, Entry], varied: str, *, address: str | None = None
) -> Path:
    """Write `book.html` into `folder`, which is made when it is not there; return its path.

    Args:
        folder: of the book.
        chapter: its title, parts and order.
        entries: by the name of the study, one for each.
        varied: which of the studies' variations these are.
        address: of an MLflow server whose pages the run ids link to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    fresh = path.with_name(f"{FILE}.new")
    html = with_shared_glyphs(render("book.html.jinja", _context(chapter, entries, varied, address)))
    fresh.write_text(html, encoding="utf-8")
    fresh.replace(path)
    return path


def with_shared_glyphs(html: str) -> str:
    """Return the page with each letter of its figures drawn once: in every figure again, they are half of its bytes."""
    drawn: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        drawn.setdefault(found["glyph"], found["drawn"])
        return ""

    html = _DEFINED.sub(number, html).replace("<defs></defs>", "")
    numbers = {glyph: place for place, glyph in enumerate(drawn)}
    html = _USED.sub(lambda found: f'href="#glyph{numbers[found["glyph"]]}"', html)
    paths = "".join(f'<path id="glyph{numbers[glyph]}"{path}/>' for glyph, path in drawn.items())
    # Not `display: none`: some browsers draw nothing of what is in there.
    hidden = f'<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>{paths}</defs></svg>'
    return html.replace("<body>", f"<body>\n{hidden}", 1) if drawn else html


def _context(chapter: Chapter, entries: Mapping[str, Entry], varied: str, address: str | None) -> dict[str, object]:
    index = {name: indexed(entries[name]) for name in chapter.studies}
    there = [entry.gathered for entry in entries.values() if entry.gathered is not None]
    # A run that several studies share was trained once.
    seconds = {run: spent for gathered in there for run, spent in seconds_by_run(gathered).items()}
    return {
        "title": chapter.title,
        "parts": chapter.parts,
        "variation": "" if varied == membership.AS_WRITTEN else varied,
        "index": index,
        "entries": entries,
        "counts": counted(list(index.values())),
        "unfinished": [one.name for one in index.values() if one.missing],
        "training": wording.duration(sum(seconds.values())),
        "environments": merged(found for gathered in there for found in gathered.environments),
        "sections": {
            name: report_section(entry.gathered, entry.verdicts, level=LEVEL, drawings=entry.drawings, address=address)
            for name, entry in entries.items()
            if entry.gathered is not None
        },
        "when": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def merged(environments: Iterable[Environment]) -> list[Environment]:
    """Put environments together that are the same in several studies, those of most runs first.

    A run that several studies share is counted once.
    """
    found: dict[tuple[object, str], Environment] = {}
    for one in environments:
        key = (one.origin, one.versions)
        found[key] = replace(one, members=one.members | found[key].members) if key in found else one
    return sorted(found.values(), key=lambda one: -one.runs)
