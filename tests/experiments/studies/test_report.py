"""Reports stand alone, name every run, and say what is missing; figures show the numbers that they should."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from scipy import stats

from experiments.runs.pages import inline_svg
from experiments.runs.result import RunResult
from experiments.studies import report
from experiments.studies.claim import Claim
from experiments.studies.comparison import Comparison, Replicate, compare
from experiments.studies.curves import Curves
from experiments.studies.effect_figure import claimed_effects
from experiments.studies.environments import Environment, Origin
from experiments.studies.figures import comparison_figure, panel_figure, panels
from experiments.studies.gather import Gathered
from experiments.studies.intervals import Estimate, estimate
from experiments.studies.study import Study
from experiments.studies.study_parts import Arm
from experiments.studies.written import WrittenArm, WrittenReplicate, WrittenStudy

METRIC = "test/top1_error"
ARMS = ("conv5x5", "two_conv3x3")
COMMAND = ["whydeep", "demo", "trainer.max_epochs=3"]
RUN_IDS = [f"{arm:02d}{seed:02d}" + "0123456789abcdef0123456789ab" for arm in range(2) for seed in range(3)]


def replicate(arm: int, seed: int, *, run_id: str | None) -> Replicate:
    costs = {"parameters": 78_250.0 - 20_000 * arm, "macs": 2.1e6 - 6e5 * arm, "receptive_field": 34.0}
    metrics = {METRIC: 1.0 + arm + 0.25 * seed, "time/train_seconds": 4.0}
    result = RunResult(
        run_dir=Path("runs") / f"{arm}-{seed}",
        run_id=run_id,
        identity=f"{arm}{seed}" * 32,
        name="run",
        status="FINISHED",
        seed=seed,
        choices={},
        input_shape=(1, 8, 8),
        metrics=metrics,
        measures=costs,
    )
    return Replicate(ARMS[arm], seed, "FINISHED", result, None, ("whydeep", "train", f"model={ARMS[arm]}"))


def comparison(*, lost: str | None = None) -> Comparison:
    """Three seeds of two arms; with `lost` the last replicate failed for that reason."""
    runs = [replicate(arm, seed, run_id=RUN_IDS[3 * arm + seed]) for arm in range(2) for seed in range(3)]
    if lost is not None:
        runs[-1] = Replicate(ARMS[1], 2, "FAILED", None, lost, ("whydeep", "train", "seed=2"))
    return compare(ARMS, ARMS[0], METRIC, runs)


def curves(compared: Comparison) -> Curves:
    steps = [18 * epoch for epoch in range(1, 9)]
    by_run = {
        run.label: [(step, 90 / step + run.seed) for step in steps] for arm in compared.arms for run in arm.counted
    }
    return Curves("val/top1_error", by_run)


def study(question: str = "Do two 3x3 layers replace one 5x5?", claims: dict[str, Claim] | None = None) -> Study:
    arms = {name: Arm(overrides=[f"model={name}"], role="baseline" if name == ARMS[0] else None) for name in ARMS}
    return Study(question=question, source="A paper", arms=arms, seeds=[0, 1, 2], metric=METRIC, claims=claims or {})


def gathered(compared: Comparison, asked: Study | None = None) -> Gathered:
    """What a report is made of, with made-up curves and one environment."""
    written = WrittenStudy(
        name="demo",
        variation="as written",
        command=tuple(COMMAND),
        study=asked or study(),
        arms=tuple(WrittenArm(name, ("a=1", f"model={name}")) for name in ARMS),
        replicates=tuple(WrittenReplicate(run.arm, run.seed, "id") for run in compared.replicates),
    )
    origin = Origin("c0ffee", uncommitted=True, packages="abc", hardware="x, 2 threads")
    environment = Environment(origin, "Python 3.11.7, torch 2.15.0", {}, 1)
    return Gathered(written, compared, curves(compared), (environment,))


@dataclass(frozen=True)
class Decided:
    claim: str
    outcome: str
    effect: Estimate | None
    p_value: float | None
    adjusted: float | None
    reason: str
    left_out: tuple[int, ...] = ()


CLAIM = Claim.model_validate({"contrast": "two_conv3x3 - conv5x5", "is": "not_worse", "margin": 1.0})
REFUTED = Decided("same", "refuted", estimate([1.0, 1.2, 1.1]), 0.5, 0.75, "the whole interval is above 1")

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
    assert page.tags.count("svg") == 6


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


def test_the_seeds_of_both_arms_are_joined_and_the_interval_is_drawn() -> None:
    compared = comparison(lost="it broke")
    (panel,) = [panel for panel in panels(compared, curves(compared)) if panel.name == "seeds"]
    (axes,) = panel_figure(panel, compared).axes
    joins = [np.asarray(line.get_xdata()).tolist() for line in axes.lines[:3]]
    assert joins == [[1.0, 2.0], [1.25, 2.25], [1.5]]
    points = [np.asarray(line.get_xdata()).tolist() for line in axes.lines if line.get_markersize() == 6]
    assert [1.0, 1.25, 1.5] in points
    assert [2.0, 2.25] in points
    half = stats.t.ppf(0.975, 2) * 0.25 / np.sqrt(3)
    ends = axes.collections[0].get_segments()[0][:, 0]  # type: ignore[attr-defined]
    np.testing.assert_allclose(ends, [1.25 - half, 1.25 + half])


def test_learning_curves_are_means_with_their_interval() -> None:
    compared = comparison()
    (panel,) = [panel for panel in panels(compared, curves(compared)) if panel.name == "learning"]
    (axes,) = panel_figure(panel, compared).axes
    steps = np.arange(1, 9) * 18
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_xdata(), dtype=float), steps)
    np.testing.assert_allclose(np.asarray(axes.lines[0].get_ydata(), dtype=float), 90 / steps + 1)
    half = stats.t.ppf(0.975, 2) / np.sqrt(3)
    np.testing.assert_allclose(np.asarray(axes.lines[2].get_ydata(), dtype=float), 90 / steps + 1 + half)
    np.testing.assert_allclose(np.asarray(axes.lines[1].get_ydata(), dtype=float), np.maximum(90 / steps + 1 - half, 0))


def test_the_effect_plot_shows_differences_and_the_margin_of_the_claim() -> None:
    compared = comparison(lost="it broke")
    found = compared.contrasts[0].effect
    (effect,) = claimed_effects(compared, {"same": CLAIM}, {"same": found})
    assert (effect.contrast, effect.margin, effect.low, effect.high) == ("two_conv3x3 - conv5x5", True, None, 1.0)
    (panel,) = [found for found in panels(compared, curves(compared), [effect]) if found.name == "effects"]
    assert "grey is what a claim counts as yes" in panel.caption
    (axes,) = panel_figure(panel, compared).axes
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [1.0, 1.0]
    (band,) = [found for found in axes.collections if type(found).__name__ == "FillBetweenPolyCollection"]
    assert band.get_paths()[0].get_extents().x1 == 1.0
    assert claimed_effects(compared, {}, {})[0].margin is False


def test_the_effect_plot_shows_claims_on_any_two_arms_before_the_other_contrasts() -> None:
    compared = comparison()
    between = Claim.model_validate({"contrast": "x - y", "is": "lower", "margin": 0.5})
    other = Claim.model_validate({"contrast": "x - y", "on": "test/loss", "is": "lower"})
    rows = claimed_effects(
        compared, {"a": between, "b": other}, {"a": estimate([1.0, 2.0, 3.0]), "b": estimate([1.0, 2.0])}
    )
    assert [(row.contrast, row.margin, row.high) for row in rows] == [
        ("x - y", True, -0.5),
        ("two_conv3x3 - conv5x5", False, None),
    ]


def test_a_single_epoch_is_points_with_their_intervals_side_by_side() -> None:
    compared = comparison()
    one = Curves("val/top1_error", {run: points[:1] for run, points in curves(compared).by_run.items()})
    learning = next(panel for panel in panels(compared, one) if panel.name == "learning")
    (axes,) = panel_figure(learning, compared).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["18"]
    bars = [bar for bar in axes.containers if isinstance(bar, ErrorbarContainer)]
    places = [float(np.asarray(bar.lines[0].get_xdata())[0]) for bar in bars]
    low, high = axes.get_xlim()
    assert low < places[0] < 0 < places[1] < high
    assert [bar.has_yerr for bar in bars] == [True, True]


def test_a_single_epoch_of_many_arms_has_its_step_and_intervals() -> None:
    names = [f"arm{number}" for number in range(8)]
    runs = [
        replace(replicate(0, seed, run_id=f"{name}{seed}"), arm=name, seed=seed) for name in names for seed in range(3)
    ]
    compared = compare(names, "arm0", METRIC, runs)
    one = Curves("val/top1_error", {run.label: [(18, 5.0 + run.seed)] for run in runs})
    learning = next(panel for panel in panels(compared, one) if panel.name == "learning")
    figure = panel_figure(learning, compared)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [list(axes.get_xticks()) for axes in shown] == [[18]] * 8
    assert all(any(isinstance(bar, ErrorbarContainer) for bar in axes.containers) for axes in shown)


def test_the_legend_names_the_arms_that_have_points() -> None:
    runs = [replicate(arm, seed, run_id=RUN_IDS[3 * arm + seed]) for arm in range(2) for seed in range(3)]
    runs[3:] = [Replicate(ARMS[1], seed, "FAILED", None, "it broke", ()) for seed in range(3)]
    compared = compare(ARMS, ARMS[0], METRIC, runs)
    drawn = panels(compared, curves(compared))
    learning = next(panel for panel in drawn if panel.name == "learning")
    for figure in (panel_figure(learning, compared), comparison_figure("?", compared, drawn)):
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == ["conv5x5 (baseline)"]


def test_many_arms_learn_in_pictures_of_their_own() -> None:
    names = [f"arm{number}" for number in range(8)]
    runs = [replace(replicate(0, seed, run_id=f"{name}{seed}"), arm=name) for name in names for seed in range(2)]
    compared = compare(names, names[0], METRIC, runs)
    (panel,) = [found for found in panels(compared, curves(compared)) if found.name == "learning"]
    shown = [axes for axes in panel_figure(panel, compared).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["arm0 (baseline)", *names[1:]]


def test_the_caption_says_how_many_curves_were_drawn() -> None:
    compared = comparison()
    few = Curves("val/top1_error", dict(list(curves(compared).by_run.items())[:4]))
    captions = {panel.name: panel.caption for panel in panels(compared, few)}
    assert "Drawn from 4 of 6 runs" in captions["learning"]


def test_measures_that_an_arm_lacks_have_no_panel() -> None:
    compared = comparison()
    names = [panel.name for panel in panels(compared, curves(compared))]
    assert names == ["seeds", "effects", "learning", "parameters", "macs", "receptive_field"]
    first, second = compared.arms
    without = replace(first, measures={name: 1.0 for name in first.measures if name != "receptive_field"})
    names = [panel.name for panel in panels(replace(compared, arms=(without, second)), Curves("val/top1_error"))]
    assert names == ["seeds", "effects", "parameters", "macs"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("value", [0.0, 50.0])
def test_the_figure_can_be_drawn_whatever_the_values(seeds: int, value: float) -> None:
    runs = [replicate(arm, seed, run_id="x") for arm in range(2) for seed in range(seeds)]
    for run in runs:
        assert isinstance(run.result, RunResult)
        run.result.metrics[METRIC] = value
    compared = compare(ARMS, ARMS[0], METRIC, runs)
    figure = comparison_figure("A question", compared, panels(compared, curves(compared)))
    assert isinstance(figure, Figure)
    figure.savefig("/dev/null", format="png", dpi=40)
