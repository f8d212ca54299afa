"""Reports stand alone, name every run, and say what is missing."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from experiments.runs.pages import inline_svg
from experiments.studies import report
from experiments.studies.comparison import Comparison, Replicate, compare
from experiments.studies.figures import panel_figure, panels
from experiments.studies.study import Study
from tests.experiments.studies.reported import (
    ARMS,
    CLAIM,
    METRIC,
    REFUTED,
    RUN_IDS,
    Decided,
    comparison,
    curves,
    gathered,
    replicate,
    study,
)

Write = Callable[..., report.Report]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes the report of a comparison, with made-up curves."""
    monkeypatch.setattr(report, "DOTS_PER_INCH", 30)

    def written(
        compared: Comparison, asked: Study | None = None, verdicts: dict[str, Decided] | None = None, **more: str
    ) -> report.Report:
        return report.write_report(tmp_path / "demo", gathered(compared, asked), verdicts or {}, **more)

    return written


class Page(HTMLParser):
    """Collects the tags, ids and text of a page; complains about what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._note(attrs)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "xlink:href"):
                self.links.append(str(value))
            elif name in ("src", "srcset", "data", "action"):
                self.loads.append(str(value))
            elif name == "id":
                self.ids.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_needs_nothing_from_elsewhere(write: Write) -> None:
    html = write(comparison()).html.read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == []
    assert page.loads == []
    assert not {"script", "link", "iframe", "object", "img"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", html))
    # Names of XML vocabularies, which nothing fetches.
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in html
    assert "url(http" not in html
    assert page.tags.count("svg") == 4


def test_links_lead_somewhere_and_ids_are_used_once(write: Write) -> None:
    page = Page(write(comparison()).html.read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)


def test_every_run_id_and_how_to_run_it_again_are_there(write: Write) -> None:
    written = write(comparison())
    for file in (written.html, written.files["md"]):
        text = file.read_text(encoding="utf-8")
        assert all(run_id in text for run_id in RUN_IDS)
        assert "whydeep demo trainer.max_epochs=3" in text
        assert "whydeep train a=1 model=two_conv3x3 seed=" in text
        assert "Do two 3x3 layers replace one 5x5?" in text


def test_the_numbers_are_there(write: Write) -> None:
    written = write(comparison(lost="it broke"))
    half = stats.t.ppf(0.975, 2) * 0.25 / np.sqrt(3)
    numbers = {f"1.25 ± {half:.2f}", "78,250", "2.10 M", "MACs at 1x8x8", "34 px", "2 of 3", "+1.00", "n = 2 pairs"}
    for file in (written.html, written.files["md"]):
        text = file.read_text(encoding="utf-8")
        assert {said for said in (*numbers, "it broke", "failed") if said not in text} == set()


def test_the_table_of_arms_says_why_runs_are_missing(write: Write) -> None:
    reason = "it broke " + "here and there " * 20 + "at last"
    runs = [replicate(arm, seed, run_id=RUN_IDS[3 * arm + seed]) for arm in range(2) for seed in range(3)]
    runs[4:] = [Replicate(ARMS[1], seed, "FAILED", None, reason, ()) for seed in (1, 2)]
    html = write(compare(ARMS, ARMS[0], METRIC, runs)).html.read_text(encoding="utf-8")
    table = html[html.index("<h2>Arms</h2>") : html.index("</table>")]
    assert table.count('<span class="bad">failed</span>') == 1
    assert f'title="{reason}">it broke here and there' in table
    assert "…</span>" in table
    assert table.count("at last") == 1
    assert 'href="#run-two_conv3x3-1"' in table
    assert 'href="#run-two_conv3x3-2"' in table


def test_many_runs_that_are_missing_are_counted_in_the_table_of_arms(write: Write) -> None:
    runs = [replicate(arm, seed, run_id=f"{arm}x{seed:030d}") for arm in range(2) for seed in range(50)]
    runs[:20] = [Replicate(ARMS[0], seed, "FAILED", None, f"it broke in way {seed // 3}", ()) for seed in range(20)]
    html = write(compare(ARMS, ARMS[0], METRIC, runs)).html.read_text(encoding="utf-8")
    table = html[html.index("<h2>Arms</h2>") : html.index("</table>")]
    assert "it broke in way 0" in table
    assert '<a href="#arm-conv5x5">3 runs</a>' in table
    assert table.count('<span class="bad">failed</span>') == report.MOST_REASONS
    assert "other reasons" in table
    assert Page(html).open == []


def test_each_number_of_an_arm_names_its_runs(write: Write) -> None:
    lines = write(comparison()).files["md"].read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if line.startswith("| two_conv3x3 |"))
    assert all(f"`{run_id[:8]}`" in row for run_id in RUN_IDS[3:])
    assert not any(run_id[:8] in row for run_id in RUN_IDS[:3])


def test_names_and_reasons_cannot_break_the_page(write: Write) -> None:
    written = write(comparison(lost="<script>alert(1)</script> | a\nb"), study("Is a<b & |c|?"))
    html = written.html.read_text(encoding="utf-8")
    assert "<script>" not in html
    assert "Is a&lt;b &amp; |c|?" in html
    assert Page(html).open == []
    rows = [line for line in written.files["md"].read_text(encoding="utf-8").splitlines() if "script" in line]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 6


def test_a_run_that_the_store_does_not_know_yet_is_named_by_its_identity(write: Write) -> None:
    runs = [replicate(arm, 0, run_id=None) for arm in range(2)]
    html = write(compare(ARMS, ARMS[0], METRIC, runs)).html.read_text(encoding="utf-8")
    assert "identity " + "10" * 32 in html
    assert "None" not in Page(html).texts


def test_a_study_without_a_finished_run_has_a_report_without_figures(write: Write, tmp_path: Path) -> None:
    write(comparison())
    runs = [Replicate(arm, 0, "FAILED", None, "it broke", ()) for arm in ARMS]
    written = write(compare(ARMS, ARMS[0], METRIC, runs))
    assert not (tmp_path / "demo" / "comparison.png").exists()
    html = written.html.read_text(encoding="utf-8")
    assert "<svg" not in html
    assert "Undecided: there is nothing to compare." in html
    assert "comparison.png" not in written.files["md"].read_text(encoding="utf-8")


def test_the_environment_is_told(write: Write) -> None:
    html = write(comparison()).html.read_text(encoding="utf-8")
    said = "1 run at commit c0ffee with uncommitted changes, which are recorded with each run"
    assert f"{said}; Python 3.11.7, torch 2.15.0; x, 2 threads." in html


def test_verdicts_stand_on_top_in_every_format(write: Write) -> None:
    written = write(comparison(), study(claims={"same": CLAIM}), {"same": REFUTED})
    for kind in ("html", "md", "tex"):
        text = written.files[kind].read_text(encoding="utf-8")
        assert "refuted" in text
        assert "less than 1 point worse" in text
        assert "n = 3" in text
    html = written.html.read_text(encoding="utf-8")
    assert html.index('class="answer refuted"') < html.index("<h2>Arms</h2>")
    assert "The whole interval is above 1." in html
    assert "Undecided" not in html


def test_run_ids_link_to_the_pages_of_a_server(write: Write) -> None:
    assert "/runs/" not in write(comparison()).html.read_text(encoding="utf-8")


def test_latex_is_a_whole_table_with_nothing_unescaped(write: Write) -> None:
    lines = write(comparison(lost="50 % & more")).files["tex"].read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if not line.startswith("%")]
    assert code.count("\\toprule") == code.count("\\bottomrule") == 1
    rows = [line for line in code if line.endswith("\\\\")]
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [5, 5, 5]
    assert "two\\_conv3x3" in rows[2]
    assert not re.search(r"(?<!\\)[%_]", "".join(code))
    assert all(any(run_id in line for line in lines) for run_id in RUN_IDS[:5])


def test_a_large_study_folds_its_runs_and_draws_spans(write: Write) -> None:
    runs = [replicate(arm, seed, run_id=f"{arm}x{seed:030d}") for arm in range(2) for seed in range(100)]
    written = write(compare(ARMS, ARMS[0], METRIC, runs))
    html = written.html.read_text(encoding="utf-8")
    assert "<details open" not in html
    assert html.count("<details") == 2
    assert all(str(run.label) in html for run in runs)
    markdown = written.files["md"].read_text(encoding="utf-8")
    assert "and 90 more" in markdown
    assert len(markdown.splitlines()) < 60
    panel = panels(compare(ARMS, ARMS[0], METRIC, runs), curves(comparison()))[0]
    (axes,) = panel_figure(panel, compare(ARMS, ARMS[0], METRIC, runs)).axes
    low, high = np.percentile([1.0 + 0.25 * seed for seed in range(100)], [5, 95])
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [low, high]
    assert len(axes.lines) < 12


def test_only_the_asked_for_formats_are_written(write: Write, tmp_path: Path) -> None:
    written = write(comparison(), formats=["tex"])
    assert list(written.files) == ["tex"]
    assert [file.name for file in (tmp_path / "demo").iterdir()] == ["report.tex"]


def test_svgs_take_the_colour_and_width_of_the_page() -> None:
    compared = comparison()
    panel = panels(compared, curves(compared))[0]
    svg = str(inline_svg(panel_figure(panel, compared), "demo-seeds", 'what "it" shows'))
    assert svg.startswith('<svg role="img" aria-label="what &#34;it&#34; shows"')
    head = svg[: svg.index(">")]
    assert "viewBox" in head
    assert "width=" not in head
    assert "currentColor" in svg
    assert "#1b1f24" not in svg
    assert svg == str(inline_svg(panel_figure(panel, compared), "demo-seeds", 'what "it" shows'))


def test_svgs_are_compact_and_what_they_refer_to_is_there() -> None:
    compared = comparison()
    panel = panels(compared, curves(compared))[0]
    svg = str(inline_svg(panel_figure(panel, compared), "demo-seeds", "it"))
    assert "\n" not in svg.strip()
    assert "<!--" not in svg
    assert "xlink" not in svg
    # Only what scales a glyph needs more than a hundredth of a point.
    assert set(re.findall(r"[\w(]*\d+\.\d{3,}", svg)) == {"scale(0.015625"}
    used = {*re.findall(r'href="#([^"]+)"', svg), *re.findall(r"url\(#([^)]+)\)", svg)}
    assert used == set(re.findall(r'\sid="([^"]+)"', svg))
    assert all(name.startswith("demo-seeds-") for name in used)
