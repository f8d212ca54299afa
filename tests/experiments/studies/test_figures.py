"""Figures show the numbers that they should, of any number of arms and runs."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from scipy import stats

from experiments.runs.result import RunResult
from experiments.studies.claim import Claim
from experiments.studies.comparison import Replicate, compare
from experiments.studies.curves import Curves
from experiments.studies.effect_rows import claimed_effects
from experiments.studies.figures import comparison_figure, panel_figure, panels
from experiments.studies.interval_bars import drawn_ends
from experiments.studies.intervals import Estimate, estimate
from experiments.studies.learning_figure import arranged
from tests.experiments.studies.reported import ARMS, CLAIM, METRIC, RUN_IDS, Decided, comparison, curves, replicate


def decided(name: str, found: Estimate | None, reason: str = "why", outcome: str = "refuted") -> Decided:
    return Decided(name, outcome, found, None, None, reason)


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Return every text of a figure that is drawn, with where it stands, after it has laid itself out."""
    figure.draw_without_rendering()
    found = figure.findobj(Text)
    # Ticks beyond the ends of an axis are not drawn.
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            hidden = [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]
            hidden += [tick.label1 for tick in axis.get_minor_ticks()]
            found = [text for text in found if text not in hidden and axes.get_visible()]
    shown = [text for text in found if text.get_text().strip() and text.get_visible()]
    return [(text.get_text(), text.get_window_extent()) for text in shown]


@pytest.mark.filterwarnings("error")
def test_no_text_is_cut_or_covered_where_names_are_long_and_all_arms_equal() -> None:
    names = [
        f"{one}.{two}.depth{depth}" for one in ("sgd", "adamw") for two in ("plain", "residual") for depth in (8, 56)
    ]
    runs = [replace(replicate(0, seed, run_id=f"{name}{seed}"), arm=name) for name in names for seed in range(2)]
    compared = compare(names, names[0], METRIC, runs)
    everything = " + ".join(names[::2]) + " - " + " - ".join(names[1::2])
    claim = Claim.model_validate({"contrast": everything, "is": "lower", "margin": 2.0})
    claims = {"what_adamw_makes_up_for_of_what_depth_costs": claim, "second": claim}
    rows = claimed_effects(compared, claims, {name: decided(name, estimate([0.0, 0.0])) for name in claims})
    drawn = panels(compared, curves(compared), rows)
    assert {panel.name: panel.is_wide for panel in drawn} == {"seeds": True, "effects": True, "learning": True}
    figure = comparison_figure("What? " * 60, compared, drawn)
    found = boxes(figure)
    x1, y1 = figure.bbox.x1 + 1, figure.bbox.y1 + 1
    assert [text for text, box in found if box.x0 < -1 or box.y0 < -1 or box.x1 > x1 or box.y1 > y1] == []
    # By more than the room that is left around letters.
    inner = [(text, box.padded(-1)) for text, box in found]
    assert [(a, b) for (a, one), (b, other) in itertools.combinations(inner, 2) if one.overlaps(other)] == []


def test_arms_that_are_crossed_stand_in_rows_and_columns_of_their_levels() -> None:
    def crossed(first: int, second: int) -> list[str]:
        return [f"a{one}.b{two}" for one in range(first) for two in range(second)]

    assert arranged(crossed(5, 2)) == (2, 5, True)
    assert arranged(crossed(2, 4)) == (2, 4, False)
    assert arranged([f"arm{number}" for number in range(10)]) == (2, 5, False)
    assert arranged([f"arm{number}" for number in range(8)]) == (2, 4, False)
    names = crossed(5, 2)
    runs = [replace(replicate(0, seed, run_id=f"{name}{seed}"), arm=name) for name in names for seed in range(2)]
    compared = compare(names, names[0], METRIC, runs)
    (panel,) = [found for found in panels(compared, curves(compared)) if found.name == "learning"]
    titles = [axes.get_title(loc="left") for axes in panel_figure(panel, compared).axes]
    assert titles == ["a0.b0 (baseline)", *names[2::2], *names[1::2]]


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
    (effect,) = claimed_effects(compared, {"same": CLAIM}, {"same": decided("same", found)})
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
    rows = claimed_effects(compared, {"a": between, "b": between}, {"a": decided("a", estimate([1.0, 2.0, 3.0]))})
    assert [(row.name, row.contrast, row.margin, row.high) for row in rows] == [
        ("a", "x - y", True, -0.5),
        ("", "two_conv3x3 - conv5x5", False, None),
    ]


def test_claims_on_other_metrics_have_axes_of_their_own_and_exact_ones_are_told() -> None:
    compared = comparison()
    claims = {
        "loss": {"contrast": "x - y", "on": "test/loss", "is": "lower"},
        "ratio": {"contrast": "x / y", "on": "gradient/initial_front_to_back", "is": "equivalent", "margin": 0.5},
        "exact": {"contrast": "x / y", "on": "measure/parameters", "is": "equal", "to": "18/25"},
        "lost": {"contrast": "x - y", "is": "lower"},
    }
    verdicts = {
        "loss": decided("loss", estimate([1.0, 2.0])),
        "ratio": decided("ratio", Estimate((0.5, 2.0), 1.0, 0.2, 5.0, "t")),
        "exact": decided("exact", Estimate((0.72,), 0.72, None, None, "exact"), "exactly 18/25, as claimed"),
        "lost": decided("lost", None),
    }
    rows = claimed_effects(compared, {name: Claim.model_validate(claim) for name, claim in claims.items()}, verdicts)
    assert [(row.name, row.axis, row.low, row.high, row.numbers) for row in rows] == [
        ("loss", "difference in loss (nats)", None, 0.0, rows[0].numbers),
        ("ratio", "ratio of gradient initial front to back", 0.5, 1.5, "1 [0.2, 5]"),
        ("exact", "", None, None, "exactly 18/25, as claimed"),
        ("lost", "", None, None, "nothing to compare"),
        ("", "difference in top-1 error (points)", None, None, rows[4].numbers),
    ]
    (panel,) = [found for found in panels(compared, curves(compared), rows) if found.name == "effects"]
    loss, ratio, error, told = panel_figure(panel, compared).axes
    assert [axes.get_xlabel() for axes in (loss, ratio, error)] == [rows[place].axis for place in (0, 1, 4)]
    assert (loss.get_xscale(), ratio.get_xscale()) == ("linear", "log")
    assert {"lost", "nothing to compare", "exact", "exactly 18/25, as claimed"} <= set(texts(told))


@pytest.mark.parametrize(("low", "high"), [(0.97, 1.02), (0.77, 1.11), (0.2, 5.0), (0.01, 3.0)])
def test_an_axis_of_ratios_is_marked_at_least_three_times(low: float, high: float) -> None:
    compared = comparison()
    claims = {"ratio": {"contrast": "x / y", "on": "time/latency_seconds", "is": "lower"}}
    verdicts = {"ratio": decided("ratio", Estimate((low, high), 1.0, low, high, "t"))}
    rows = claimed_effects(compared, {name: Claim.model_validate(claim) for name, claim in claims.items()}, verdicts)
    assert rows[0].axis == "ratio of seconds of a forward pass"
    (panel,) = [found for found in panels(compared, curves(compared), rows[:1]) if found.name == "effects"]
    (axes,) = panel_figure(panel, compared).axes
    least, greatest = axes.get_xlim()
    assert sum(least <= tick <= greatest for tick in axes.get_xticks()) >= 3


def test_every_claim_is_drawn_with_its_name_its_contrast_and_its_verdict() -> None:
    compared = comparison()
    claims = {"first": CLAIM, "second": CLAIM}
    found = compared.contrasts[0].effect
    verdicts = {"first": decided("first", found, outcome="supported"), "second": decided("second", found)}
    rows = claimed_effects(compared, claims, verdicts)
    (panel,) = [found for found in panels(compared, curves(compared), rows) if found.name == "effects"]
    (axes,) = panel_figure(panel, compared).axes
    written = texts(axes)
    assert {"first", "second", "✓", "✗", "supported, n = 3", "refuted, n = 3"} <= set(written)
    assert [text.replace("\n", " ") for text in written].count("two_conv3x3 − conv5x5") == 2


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


def test_a_single_epoch_of_many_arms_is_one_picture() -> None:
    names = [f"arm{number}" for number in range(8)]
    runs = [
        replace(replicate(0, seed, run_id=f"{name}{seed}"), arm=name, seed=seed) for name in names for seed in range(3)
    ]
    compared = compare(names, "arm0", METRIC, runs)
    one = Curves("val/top1_error", {run.label: [(18, 5.0 + run.seed)] for run in runs})
    learning = next(panel for panel in panels(compared, one) if panel.name == "learning")
    (axes,) = panel_figure(learning, compared).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["18"]
    assert len([bar for bar in axes.containers if isinstance(bar, ErrorbarContainer) and bar.has_yerr]) == 8


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


def test_measures_in_which_all_arms_are_equal_or_that_one_lacks_are_not_drawn() -> None:
    compared = comparison()
    drawn = {panel.name: panel for panel in panels(compared, curves(compared))}
    assert list(drawn) == ["seeds", "effects", "learning", "costs"]
    assert "Equal in all arms: receptive field (34 px)." in drawn["costs"].caption
    costs = panel_figure(drawn["costs"], compared).axes
    assert [axes.get_xlabel() for axes in costs] == ["parameters", "MACs at 1x8x8"]
    assert costs[0].get_ylabel() == "top-1 error (%)"
    first, second = compared.arms
    without = replace(first, measures={"parameters": second.measures["parameters"]})
    names = [panel.name for panel in panels(replace(compared, arms=(without, second)), Curves("val/top1_error"))]
    assert names == ["seeds", "effects"]


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


@pytest.mark.parametrize(("errors", "end"), [((0.0, 0.1, 2.0), 0.0), ((100.0, 99.9, 98.0), 100.0)])
def test_no_bar_reaches_where_no_error_can_be(errors: tuple[float, ...], end: float) -> None:
    runs = [replicate(arm, seed, run_id=RUN_IDS[3 * arm + seed]) for arm in range(2) for seed in range(3)]
    for run in runs:
        assert isinstance(run.result, RunResult)
        run.result.metrics[METRIC] = errors[run.seed]
    compared = compare(ARMS, ARMS[0], METRIC, runs)
    told = compared.arms[0].metric
    assert told is not None
    assert told.low is not None
    assert told.high is not None
    # The interval itself reaches beyond, and is told so.
    assert told.low < 0 or told.high > 100
    learnt = Curves("val/top1_error", {run.label: [(18, errors[run.seed])] for run in runs})
    drawn = {panel.name: panel_figure(panel, compared).axes[0] for panel in panels(compared, learnt)}
    for name, along in (("seeds", 0), ("learning", 1), ("costs", 1)):
        bars = [bar for bar in drawn[name].containers if isinstance(bar, ErrorbarContainer)]
        ends = [bar.lines[2][0].get_segments()[0][:, along] for bar in bars]
        inner = told.high if end == 0 else told.low
        for found in ends:
            np.testing.assert_allclose(sorted(found), sorted([end, inner]), atol=1e-9)


def test_a_loss_has_no_greatest_value_and_an_unknown_metric_no_least() -> None:
    value = Estimate((1.0, 2.0), 150.0, -3.0, 400.0, "t")
    assert drawn_ends(value, "test/loss") == (0.0, 400.0)
    assert drawn_ends(value, "test/score") == drawn_ends(value) == (-3.0, 400.0)
    # An error beyond 100 % is none; its mean is drawn where it is.
    assert drawn_ends(value, METRIC) == (0.0, 150.0)
