"""Figures of a comparison: errors by seed, against what the arms cost, and while they learn."""

import itertools
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from experiments.runs.plotting import FAINT, LINES, new_figure, styled, thousands
from experiments.studies import wording
from experiments.studies.comparison import ArmSummary, Comparison
from experiments.studies.curves import Curves
from experiments.studies.effect_figure import (
    Effect,
    claimed_effects,
    draw_effects,
    draw_mean,
    draw_spread,
    look,
    widen,
)
from experiments.studies.interval_bars import bar_lengths, drawn_ends
from experiments.studies.learning_figure import GRID, draw_learning, draw_learning_grid

DECADE = 10
FULL_WIDTH, WIDE = 10.4, 6.0  # inches of a page, and of what takes more than half of it
FEW_SEEDS = 30  # beyond, single points and the lines between them say nothing
FEW_ARMS = 6  # that colour, marker and line tell apart in one picture


@dataclass(frozen=True)
class Panel:
    """One drawing of a comparison: `draw` fills a figure of `width` by `height` inches; `caption` says what is seen."""

    name: str
    caption: str
    width: float
    height: float
    draw: Callable[[FigureBase], None]


def panels(comparison: Comparison, curves: Curves, effects: Sequence[Effect] = ()) -> list[Panel]:
    """Return the drawings of `comparison`: by seed, effects, learning curves, against each measure that all arms have.

    Args:
        comparison: what came out.
        curves: of some or all of its runs.
        effects: the rows of the effect plot; those of the contrasts with the baseline by default.
    """
    name, title = wording.metric_name(comparison.metric), wording.titled(comparison.metric)
    arms = [arm for arm in comparison.arms if arm.metric is not None]
    if not arms:
        return []
    many = max(arm.n for arm in arms) > FEW_SEEDS
    each = "thin lines span 90 % of the runs, thick ones half of them" if many else "a thin line joins runs of one seed"
    drawn = [
        Panel(
            "seeds",
            f"{title} of each run; {each}, bars are means with their 95 % intervals.",
            5.2,
            1.1 + 0.42 * len(comparison.arms),
            partial(_on_axes, partial(_draw_seeds, comparison)),
        )
    ]
    rows = [effect for effect in effects or claimed_effects(comparison, {}, {}) if effect.estimate is not None]
    if rows:
        margins = "; grey is what a claim counts as yes" if any(row.margin for row in rows) else ""
        drawn.append(
            Panel(
                "effects",
                f"Difference in {name} by seed (points are pairs of runs of one seed), its mean and 95 % "
                f"interval{margins}.",
                5.2,
                1.1 + 0.42 * len(rows),
                partial(_on_axes, partial(draw_effects, rows, comparison.metric)),
            )
        )
    counted = {run.label for arm in arms for run in arm.counted}
    shown = len(counted & curves.by_run.keys())
    if shown:
        few = (
            "" if shown == len(counted) else f" Drawn from {shown} of {len(counted)} runs, the first seeds of each arm."
        )
        parts = len(comparison.arms) > FEW_ARMS
        drawn.append(
            Panel(
                "learning",
                f"{wording.titled(curves.metric)} while training: mean over seeds, band the 95 % t interval of the "
                f"mean{', grey the baseline' if parts else ''}.{few}",
                10.4 if parts else 5.2,
                0.5 + 1.5 * math.ceil(len(comparison.arms) / GRID) if parts else 2.9,
                partial(draw_learning_grid if parts else draw_learning, comparison, curves),
            )
        )
    against = {
        "parameters": "parameters",
        "macs": wording.macs_title(comparison),
        "receptive_field": "receptive field (px)",
    }
    for measure, label in against.items():
        if all(measure in arm.measures for arm in arms):
            drawn.append(
                Panel(
                    measure,
                    f"Mean {name} with its 95 % interval against {label}{_note_on_ties(arms, measure)}.",
                    5.2,
                    2.9,
                    partial(_on_axes, partial(_draw_against, comparison, measure, label)),
                )
            )
    return drawn


@styled
def comparison_figure(title: str, comparison: Comparison, drawn: Sequence[Panel]) -> Figure:
    """Draw panels as one figure under `title`: two to a row, wide ones alone."""
    rows: list[list[Panel]] = []
    for panel in drawn:
        beside = round(FULL_WIDTH / panel.width)
        if rows and rows[-1][0].width == panel.width and len(rows[-1]) < beside:
            rows[-1].append(panel)
        else:
            rows.append([panel])
    heights = [max(panel.height for panel in row) for row in rows]
    handles = _legend(comparison)
    legend = 0.3 * math.ceil(len(handles) / FEW_ARMS)
    figure = new_figure(FULL_WIDTH, sum(heights) + 0.5 + legend)
    figure.suptitle(textwrap.fill(title, 100), x=0.01, ha="left", fontsize=12, weight="bold")
    strips = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for strip, row in zip(strips, rows, strict=True):
        for part, panel in zip(strip.subfigures(1, len(row), squeeze=False)[0], row, strict=True):
            panel.draw(part)
    figure.legend(handles=handles, loc="outside lower center", ncols=FEW_ARMS)
    return figure


@styled
def panel_figure(panel: Panel, comparison: Comparison) -> Figure:
    """Draw one panel by itself, with a legend of the arms, and room for it, where it names none."""
    named = panel.name.startswith(("seeds", "effects", "reach")) or panel.width > WIDE
    handles = [] if named else _legend(comparison)
    ncols = max(1, round(panel.width / 1.7))
    figure = new_figure(panel.width, panel.height + 0.2 * math.ceil(len(handles) / ncols))
    panel.draw(figure)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", fontsize=8, ncols=ncols)
    return figure


def _on_axes(draw: Callable[[Axes], None], figure: FigureBase) -> None:
    draw(figure.subplots())


def _note_on_ties(arms: Sequence[ArmSummary], measure: str) -> str:
    tied = len({arm.measures[measure] for arm in arms}) < len(arms)
    return "; arms of equal cost stand side by side" if tied else ""


def _legend(comparison: Comparison) -> list[Line2D]:
    """What tells the arms apart that have something to show; the others are named where their rows are empty."""
    handles = []
    for place, arm in enumerate(comparison.arms):
        if arm.metric is None:
            continue
        label = f"{arm.name} (baseline)" if arm.is_baseline else arm.name
        handles.append(Line2D([], [], **look(place), linestyle=LINES[place % len(LINES)], label=label))
    return handles


def _draw_seeds(comparison: Comparison, axes: Axes) -> None:
    """One row for each arm, the first on top: every seed's value, joined from row to row, and the mean below it."""
    many = max(arm.n for arm in comparison.arms) > FEW_SEEDS
    for seed in [] if many else sorted({replicate.seed for replicate in comparison.replicates}):
        places = [place for place, arm in enumerate(comparison.arms) if seed in arm.by_seed]
        values = [comparison.arms[place].by_seed[seed] for place in places]
        axes.plot(values, places, color=FAINT, linewidth=0.9, zorder=1)
    for place, arm in enumerate(comparison.arms):
        draw_spread(axes, list(arm.by_seed.values()), place, look(place))
        if arm.metric is None:
            axes.text(0.5, place, "no run finished", transform=axes.get_yaxis_transform(), ha="center", va="center")
            continue
        draw_mean(axes, arm.metric, place, comparison.metric)
        told = f"{wording.with_interval(arm.metric)}\nn = {wording.count(arm)}"
        axes.text(1.02, place + 0.1, told, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    names = [f"{arm.name}\n(baseline)" if arm.is_baseline else arm.name for arm in comparison.arms]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.3, -0.35)
    widen(axes)
    axes.set_title(f"{wording.titled(comparison.metric)} by seed")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)


def _draw_against(comparison: Comparison, measure: str, label: str, axes: Axes) -> None:
    arms = [(place, arm.metric) for place, arm in enumerate(comparison.arms) if arm.metric is not None]
    costs = [comparison.arms[place].measures[measure] for place, _ in arms]
    low, high = min(costs), max(costs)
    wide = high > DECADE * low > 0
    room = 0.25 * (high - low) or 0.5 * high or 1.0
    for number, (place, metric) in enumerate(arms):
        # Arms that cost the same stand side by side instead of on each other.
        twins = [other for other, cost in enumerate(costs) if cost == costs[number]]
        aside = 0.06 * (twins.index(number) - (len(twins) - 1) / 2)
        x = costs[number] * (high / low) ** aside if wide else costs[number] + aside * (high - low + 2 * room)
        lengths = bar_lengths(metric, comparison.metric)
        bar: dict[str, Any] = {} if lengths is None else {"yerr": [[length] for length in lengths], "capsize": 3.0}
        axes.errorbar([x], [metric.mean], **look(place), markersize=7, linestyle="", **bar)
    if wide:
        axes.set_xscale("log")
        axes.set_xlim(low / 2, high * 2)
    else:
        axes.set_xlim(low - room, high + room)
        exact = sorted(set(costs))
        apart = min((b - a for a, b in itertools.pairwise(exact)), default=room) > 0.5 * room
        axes.xaxis.set_major_locator(FixedLocator(exact) if apart else MaxNLocator(nbins=4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: thousands(value)))
    axes.set_xlabel(label)
    axes.set_title(wording.titled(comparison.metric))
    drawn = [drawn_ends(metric, comparison.metric) or (metric.mean, metric.mean) for _, metric in arms]
    ends = [0.0, *(end for both in drawn for end in both)]
    margin = 0.08 * (max(ends) - min(ends)) or 1.0
    axes.set_ylim(min(ends) - (margin if min(ends) < 0 else 0), max(ends) + margin)
    axes.grid(visible=True, axis="y")
