"""What it takes to reach an error stands in terminal, report and figure, with bounds that are seen to be bounds."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from experiments.studies import report
from experiments.studies.comparison import compare
from experiments.studies.curves import Curves
from experiments.studies.gather import Gathered
from experiments.studies.judging import judged
from experiments.studies.reached_said import SaidNeeds, needs_said, said
from experiments.studies.reaching import Need
from experiments.studies.reaching_figure import need_panels
from experiments.studies.table import print_answer
from experiments.studies.written import WrittenArm, WrittenReplicate, WrittenStudy
from tests.experiments.studies.test_answers import ERROR
from tests.experiments.studies.test_reaching import FEWER, runs, study

TITLE = "samples to reach 20 % top-1 error"


@pytest.fixture
def gathered() -> Gathered:
    asked = study(
        {
            "fewer": FEWER,
            "far_fewer": {**FEWER, "margin": 50},
            "error": {"contrast": "deep.samples10 - shallow.samples10", "is": "lower"},
        }
    )
    replicates = runs({"shallow": (60, 40, 25, 19.9), "deep": (50, 22, 15, 5)})
    written = WrittenStudy(
        name="learning",
        variation="as written",
        command=("whydeep", "study", "learning"),
        study=asked,
        arms=tuple(WrittenArm(name, ()) for name in asked.arm_names),
        replicates=tuple(WrittenReplicate(run.arm, run.seed, "id") for run in replicates),
    )
    return Gathered(written, compare(asked.arm_names, asked.baseline, ERROR, replicates), Curves("val/top1_error"), ())


def test_one_table_for_all_claims_on_one_error(gathered: Gathered) -> None:
    (table,) = needs_said(gathered)
    assert table.title == TITLE
    assert list(table.by_arm) == ["shallow", "deep"]
    assert (table.median("shallow"), table.count("shallow")) == ("> 500", "4")
    assert table.seeds("shallow").endswith("> 500, > 500")
    assert table.seeds("deep") == "61, 67.3, 74.3, 82"


@pytest.mark.parametrize(
    ("own", "median", "seeds", "count"),
    [
        ([], "-", "", "0 of 3"),
        ([(5, 5), (7, 7), (500, math.inf)], "7", "5, 7, > 500", "3"),
        ([(0, 10), (0, 10), (12, 12)], "≤ 10", "≤ 10, ≤ 10, 12", "3"),
        ([(400, 400), (500, math.inf)], "> 450", "400, > 500", "2 of 3"),
        ([(0, 10), (20, 20)], "10 to 15", "≤ 10, 20", "2 of 3"),
    ],
)
def test_medians_are_bounds_where_bounds_are_in_the_middle(
    own: list[tuple[float, float]], median: str, seeds: str, count: str
) -> None:
    table = SaidNeeds(TITLE, "samples", {"a": {seed: Need(*ends) for seed, ends in enumerate(own)}}, 3)
    assert (table.median("a"), table.seeds("a"), table.count("a")) == (median, seeds, count)


def test_many_seeds_are_told_from_the_least_to_the_most() -> None:
    table = SaidNeeds(TITLE, "samples", {"a": {seed: Need(seed + 1, seed + 1) for seed in range(20)}}, 20)
    assert table.seeds("a") == f"{said(Need(1, 1))} to {said(Need(20, 20))}"


def test_terminal_and_report_hold_the_table(
    gathered: Gathered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "DOTS_PER_INCH", 30)
    verdicts = judged(gathered)
    assert verdicts["fewer"].outcome == "supported"
    written = report.write_report(tmp_path, gathered, verdicts)
    console = Console(file=io.StringIO(), width=200)
    print_answer(console, gathered, verdicts)
    assert isinstance(console.file, io.StringIO)
    texts = {
        "terminal": console.file.getvalue(),
        **{kind: written.files[kind].read_text() for kind in ("html", "md", "tex")},
    }
    bound = {"terminal": "> 500", "html": "&gt; 500", "md": "> 500", "tex": r"\ensuremath{>} 500"}
    for kind, text in texts.items():
        assert text.count(TITLE.replace("%", r"\%") if kind == "tex" else TITLE) >= 3, kind
        assert bound[kind] in text, kind
    assert "needs more than 500 at seeds" in texts["md"]
    assert "<figcaption>Samples to reach 20 % top-1 error, by seed" in texts["html"]


def test_the_figure_marks_what_is_a_bound(gathered: Gathered) -> None:
    (panel,) = need_panels(needs_said(gathered))
    figure = Figure()
    panel.draw(figure)
    (axes,) = figure.axes
    points = [
        (str(line.get_marker()), np.asarray(line.get_ydata()), np.asarray(line.get_xdata())) for line in axes.lines
    ]
    drawn = {(marker, float(y[0])): x.tolist() for marker, y, x in points if len(y) and marker in ("o", ">", "<")}
    (table,) = needs_said(gathered)
    assert drawn[">", 0.0] == [500, 500, 500]
    assert drawn["o", 1.0] == [need.low for need in table.by_arm["deep"].values()]
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == [10, 50, 100, 500]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["shallow", "deep"]
    assert need_panels([SaidNeeds(TITLE, "samples", {"a": {}}, 3)]) == []
