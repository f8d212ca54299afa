"""The book of a chapter: one file, an index that leads to every study, and numbers that lead to runs."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.studies import report
from experiments.studies.book import book_folder, merged, write_book
from experiments.studies.chapter import Chapter, Part
from experiments.studies.chapter_entries import Entry, not_there
from experiments.studies.chapter_index import counted, indexed
from experiments.studies.claims_said import Judged
from experiments.studies.confound import Confound
from experiments.studies.environments import Environment, Origin
from experiments.studies.intervals import Estimate
from experiments.studies.report import report_section
from tests.experiments.studies.reported import CLAIM, REFUTED, RUN_IDS, Decided, comparison, gathered, study
from tests.experiments.studies.test_report import Page

CHAPTER = Chapter("Why & how?", (Part("First part", ("two", "one")), Part("Second part", ("stacked_filters",))))
EXACT = Decided("exact", "supported", Estimate((0.0,), 0.0, None, None, "exact"), None, None, "exactly 0, as claimed")
VERDICTS: dict[str, Judged] = {"same": REFUTED, "exact": EXACT}
DRAWING = {"svg": "the drawing", "caption": "what it shows", "size": ""}
EQUAL = CLAIM.model_validate({"contrast": "two_conv3x3 - conv5x5", "on": "measure/receptive_field", "is": "equal"})


def entry(name: str, *, lost: str | None = None, claims: bool = True) -> Entry:
    asked = study(f"Is {name} so?", {"same": CLAIM, "exact": EQUAL} if claims else None)
    told = gathered(comparison(lost=lost), asked)
    told = replace(told, written=replace(told.written, name=name))
    return Entry(name, asked, told, VERDICTS if claims else {})


def entries() -> dict[str, Entry]:
    return {
        "one": entry("one"),
        "two": entry("two", lost="it broke", claims=False),
        "stacked_filters": not_there("stacked_filters", "laptop", "no such study is recorded"),
    }


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs") / "chapter"
    return write_book(folder, CHAPTER, entries(), "as written").read_text(encoding="utf-8")


def test_it_needs_nothing_from_elsewhere_and_all_links_lead_somewhere(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert page.loads == []
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert all(link.startswith("#") for link in page.links)
    assert page.tags.count("svg") == 1 + 8


def test_the_index_comes_first_in_the_order_of_the_chapter(html: str) -> None:
    assert '<h1 id="index">Why &amp; how?</h1>' in html
    index, studies = html[html.index("<table") : html.index("<section")], html[html.index("<section") :]
    places = [index.index(text) for text in ("First part", "#two", "#one", "Second part", "#stacked_filters")]
    assert places == sorted(places)
    assert re.findall(r'<section class="study" id="(\w+)">', studies) == ["two", "one", "stacked_filters"]
    assert index.count("First part") == index.count("Second part") == 1


def test_the_index_says_verdicts_in_words_with_effect_runs_and_time(html: str) -> None:
    index = html[html.index("<table") : html.index("</table>")]
    row = index[index.index("#one") : index.index("</tbody>", index.index("#one"))]
    assert '<span class="refuted"><span class="outcome">refuted</span></span>' in row
    assert re.search(r'href="#one-runs">\+1\.10 points, 95 % interval \[\+0\.85, \+1\.35\], n = 3</a>', row)
    assert '<a class="quiet" href="#one-runs">Exactly 0, as claimed</a>' in row
    assert '<a class="quiet" href="#one-runs">6</a>' in row
    assert ">24 seconds</td>" in row
    head = html[: html.index("<table")]
    assert re.findall(r"<span>(\d) <span class=\"(\w+)\">", head) == [("1", "supported"), ("1", "refuted")]
    # The two studies share their runs, which were trained once.
    assert "24 seconds of training" in head


def test_what_is_unfinished_is_said_in_the_index_and_at_the_study(html: str) -> None:
    index, studies = html[: html.index("<section")], html[html.index("<section") :]
    assert 'Unfinished: <a href="#two">two</a>, <a href="#stacked_filters">stacked_filters</a>.' in index
    assert '<td colspan="4" class="bad">1 of 6 runs are missing (1 failed).</td>' in index
    assert '<td colspan="4" class="bad">No such study is recorded.</td>' in index
    assert '<a class="quiet" href="#two-runs">5 of 6</a>' in index
    # Its question is that of its file, and nothing is claimed of it.
    last = studies[studies.index('id="stacked_filters"') :]
    assert "<h3>Do stacked 3×3 layers replace one larger filter?</h3>" in last
    assert '<p class="bad">No such study is recorded.</p>' in last
    assert "outcome" not in last
    assert "<h3>Is two so?</h3>" in studies
    assert "it broke" in studies


def test_every_run_id_stands_at_its_study(html: str) -> None:
    one = html[html.index('<section class="study" id="one">') :]
    one = one[: one.index("</section>")]
    assert all(run_id in one for run_id in RUN_IDS)
    assert 'href="#one-run-conv5x5-0"' in one
    assert 'id="one-run-conv5x5-0"' in one


def test_the_versions_behind_all_studies_are_told_once() -> None:
    def found(commit: str, runs: str, versions: str = "torch 2") -> Environment:
        origin = Origin(commit, uncommitted=False, packages="p", hardware="x")
        return Environment(origin, versions, {}, frozenset(runs))

    # A run that two studies share is one run.
    both = merged([found("a", "pq"), found("b", "rst"), found("a", "quvw"), found("b", "ghijk", "torch 3")])
    assert [(one.origin.commit, one.runs) for one in both] == [("a", 5), ("b", 5), ("b", 3)]


def test_a_study_that_failed_keeps_what_is_recorded_and_says_why(tmp_path: Path) -> None:
    one = replace(entry("one"), reason="failed: another process executes it", drawings=[DRAWING])
    assert indexed(one).missing == "failed: another process executes it"
    alone = CHAPTER.only(["one"])
    html = write_book(tmp_path, alone, {"one": one}, "scale=toy").read_text(encoding="utf-8")
    assert html.count("Failed: another process executes it.") == 2
    assert "with <code>scale=toy</code>" in html


def test_what_makes_verdicts_less_than_they_seem_is_said_in_the_index(tmp_path: Path) -> None:
    one = entry("one")
    assert one.gathered is not None
    confounds = (Confound("optimizer.lr", {"a": "1", "b": "2"}),)
    written = replace(one.gathered.written, confounds=confounds, claimed_later=("claim same was changed",))
    one = replace(one, gathered=replace(one.gathered, written=written), drawings=[DRAWING])
    html = write_book(tmp_path, CHAPTER.only(["one"]), {"one": one}, "as written").read_text(encoding="utf-8")
    index = html[html.index("<table") : html.index("</table>")]
    assert "Confounded: 1 thing differs undeclared." in index
    assert "Not all of this was claimed before anything ran." in index
    assert "Unfinished" not in html


def test_letters_of_all_figures_are_drawn_once(html: str) -> None:
    drawn = re.findall(r'<path id="glyph\d+" d="([^"]*)"', html)
    assert len(drawn) == len(set(drawn)) > 30
    assert "DejaVu" not in html
    assert len(html) < 300_000


def test_verdicts_are_counted_in_a_fixed_order() -> None:
    index = [indexed(each) for each in entries().values()]
    assert counted([*index, *index]) == [("supported", 2), ("refuted", 2)]


def test_figures_that_were_drawn_are_not_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(report, "panel_figure", drawn)
    one = entry("one")
    assert one.gathered is not None
    assert "the drawing" in report_section(one.gathered, one.verdicts, level=3, drawings=[DRAWING])


def test_each_variation_has_a_book_of_its_own() -> None:
    folders = {book_folder(Path("runs"), varied) for varied in ("as written", "scale=toy", "scale=full")}
    assert len(folders) == 3
    assert Path("runs/chapter") in folders
