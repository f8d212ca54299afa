"""Figures show the numbers that they should, of any number of arms and runs."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from scipy import stats

from experiments.runs.result import RunResult
from experiments.studies.claim import Claim
from experiments.studies.comparison import Replicate, compare
from experiments.studies.curves import Curves
from experiments.studies.effect_figure import claimed_effects
from experiments.studies.figures import comparison_figure, panel_figure, panels
from experiments.studies.interval_bars import drawn_ends
from experiments.studies.intervals import Estimate, estimate
from tests.experiments.studies.reported import ARMS, CLAIM, METRIC, RUN_IDS, comparison, curves, replicate


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
    for name, along in (("seeds", 0), ("learning", 1), ("parameters", 1)):
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
