"""Figures of a comparison: errors by seed, against what the arms cost, and while they learn."""

import itertools
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from scipy import stats

from experiments.runs.plotting import COLOURS, FAINT, INK, LINES, MARKERS, new_figure, styled, thousands
from experiments.studies import wording
from experiments.studies.comparison import ArmSummary, Comparison, Replicate
from experiments.studies.intervals import CONFIDENCE, Estimate

# Metrics of each replicate as `read_metrics` returns them: columns key, step, value.
Curves = Sequence[tuple[Replicate, pd.DataFrame]]
DECADE = 10


@dataclass(frozen=True)
class Panel:
    """One drawing of a comparison: `draw` fills the axes, `caption` says what is seen, `width` is in inches."""

    name: str
    caption: str
    width: float
    draw: Callable[[Axes], None]


def panels(comparison: Comparison, curves: Curves) -> list[Panel]:
    """Return the drawings of `comparison`: by seed, learning curves, against each measure that all arms have."""
    name, title = wording.metric_name(comparison.metric), wording.titled(comparison.metric)
    arms = [arm for arm in comparison.arms if arm.metric is not None]
    drawn = [
        Panel(
            "seeds",
            f"{title} of each run; a thin line joins runs of one seed, bars are means with their 95 % intervals.",
            5.2,
            partial(_draw_seeds, comparison),
        )
    ]
    key = _while_learning(comparison.metric)
    if any((frame["key"] == key).any() for _, frame in curves):
        drawn.append(
            Panel(
                "learning",
                f"{wording.titled(key)} while training: mean over seeds, band the 95 % t interval of the mean.",
                5.2,
                partial(_draw_learning, comparison, curves, key),
            )
        )
    against = {
        "parameters": "parameters",
        "macs": wording.macs_title(comparison),
        "receptive_field": "receptive field (px)",
    }
    for measure, label in against.items():
        if arms and all(measure in arm.measures for arm in arms):
            drawn.append(
                Panel(
                    measure,
                    f"Mean {name} with its 95 % interval against {label}{_note_on_ties(arms, measure)}.",
                    3.5,
                    partial(_draw_against, comparison, measure, label),
                )
            )
    return drawn


@styled
def comparison_figure(title: str, comparison: Comparison, curves: Curves) -> Figure:
    """Draw all panels as one figure under `title`."""
    drawn = panels(comparison, curves)
    wide = [panel for panel in drawn if panel.width > 4]  # noqa: PLR2004 - half the figure or a third
    narrow = [panel for panel in drawn if panel not in wide]
    seeds_height = 2.4 + 0.3 * len(comparison.arms)
    figure = new_figure(10.4, seeds_height + (3.1 if narrow else 0.4))
    figure.suptitle(textwrap.fill(title, 100), x=0.01, ha="left", fontsize=12, weight="bold")
    rows = figure.subfigures(
        2 if narrow else 1, 1, height_ratios=[seeds_height, 3.0][: 2 if narrow else 1], squeeze=False
    )
    for row, members in zip(rows[:, 0], (wide, narrow), strict=False):
        for axes, panel in zip(row.subplots(1, len(members), squeeze=False)[0], members, strict=True):
            panel.draw(axes)
    figure.legend(handles=_legend(comparison), loc="outside lower center", ncols=6)
    return figure


@styled
def panel_figure(panel: Panel, comparison: Comparison) -> Figure:
    """Draw one panel by itself, with a legend of the arms, and room for it, where it names none."""
    figure = new_figure(panel.width, 2.4 + 0.3 * len(comparison.arms) if panel.name == "seeds" else 2.9)
    axes = figure.subplots()
    panel.draw(axes)
    if panel.name != "seeds":
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.25 * (high - low))
        axes.legend(handles=_legend(comparison), loc="best", fontsize=8)
    return figure


def _note_on_ties(arms: Sequence[ArmSummary], measure: str) -> str:
    tied = len({arm.measures[measure] for arm in arms}) < len(arms)
    return "; arms of equal cost stand side by side" if tied else ""


def _while_learning(metric: str) -> str:
    """Return the metric that is recorded epoch by epoch: the validation split's twin of a test metric."""
    return metric.replace("test/", "val/", 1)


def _legend(comparison: Comparison) -> list[Line2D]:
    handles = []
    for place, arm in enumerate(comparison.arms):
        label = f"{arm.name} (baseline)" if arm.is_baseline else arm.name
        handles.append(Line2D([], [], **_look(place), linestyle=LINES[place % len(LINES)], label=label))
    return handles


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}


def _draw_seeds(comparison: Comparison, axes: Axes) -> None:
    """One row for each arm, the first on top: every seed's value, joined from row to row, and the mean below it."""
    seeds = sorted({replicate.seed for replicate in comparison.replicates})
    for seed in seeds:
        places = [place for place, arm in enumerate(comparison.arms) if seed in arm.by_seed]
        values = [comparison.arms[place].by_seed[seed] for place in places]
        axes.plot(values, places, color=FAINT, linewidth=0.9, zorder=1)
    for place, arm in enumerate(comparison.arms):
        axes.plot(list(arm.by_seed.values()), [place] * arm.n, **_look(place), linestyle="", markersize=6, alpha=0.85)
        if arm.metric is None:
            axes.text(0.5, place, "no run finished", transform=axes.get_yaxis_transform(), ha="center", va="center")
            continue
        bar = _bar("xerr", arm.metric, 4.0)
        axes.errorbar([arm.metric.mean], [place + 0.24], fmt="|", color=INK, markersize=11, elinewidth=1.6, **bar)
        told = f"{wording.with_interval(arm.metric)}\nn = {wording.count(arm)}"
        axes.text(1.02, place + 0.1, told, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    names = [f"{arm.name}\n(baseline)" if arm.is_baseline else arm.name for arm in comparison.arms]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.3, -0.35)
    _widen(axes)
    axes.set_title(f"{wording.titled(comparison.metric)} by seed")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)


def _bar(direction: str, value: Estimate, capsize: float) -> dict[str, Any]:
    """Return how matplotlib draws the interval; nothing where there is none."""
    return {} if value.errors is None else {direction: [[end] for end in value.errors], "capsize": capsize}


def _draw_learning(comparison: Comparison, curves: Curves, key: str, axes: Axes) -> None:
    """Mean over the seeds of each arm at the steps that all of them recorded."""
    highest = []
    for place, arm in enumerate(comparison.arms):
        counted = {replicate.seed for replicate in arm.counted}
        series = [_by_step(frame, key) for run, frame in curves if run.arm == arm.name and run.seed in counted]
        table = pd.concat(series, axis=1, join="inner") if series else pd.DataFrame()
        if table.empty:
            continue
        steps, mean = table.index.to_numpy(), table.mean(axis=1).to_numpy()
        look: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place % len(LINES)]}
        marker = MARKERS[place % len(MARKERS)] if len(steps) <= 2 else ""  # noqa: PLR2004 - a line needs no points
        axes.plot(steps, mean, marker=marker, **look)
        # Untrained networks are near chance; the picture is about what comes after the first quarter of the training.
        highest.append(float(mean[len(mean) // 4 :].max()))
        if table.shape[1] > 1:
            width = stats.t.ppf((1 + CONFIDENCE) / 2, table.shape[1] - 1) / np.sqrt(table.shape[1])
            half = width * table.std(axis=1, ddof=1).to_numpy()
            low, high = np.maximum(mean - half, 0), mean + half
            axes.fill_between(steps, low, high, color=look["color"], alpha=0.14, linewidth=0)
            axes.plot(steps, np.stack([low, high], axis=1), **look, linewidth=0.7, alpha=0.8)
            highest.append(float(high[-(len(high) // 4) - 1 :].max()))
    axes.set_title(wording.titled(key))
    axes.set_xlabel("optimizer steps")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if highest and max(highest) > 0:
        axes.set_ylim(0, 1.1 * max(highest))
    axes.grid(visible=True, axis="y")


def _by_step(frame: pd.DataFrame, key: str) -> "pd.Series[float]":
    chosen = frame[frame["key"] == key]
    values = pd.Series(chosen["value"].to_numpy(dtype=float), index=chosen["step"].to_numpy(dtype=int))
    last: pd.Series[float] = values[~values.index.duplicated(keep="last")].sort_index()
    return last


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
        bar = _bar("yerr", metric, 3.0)
        axes.errorbar([x], [metric.mean], **_look(place), markersize=7, linestyle="", **bar)
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
    ends = [end for _, metric in arms for end in (0.0, metric.mean, metric.low, metric.high) if end is not None]
    margin = 0.08 * (max(ends) - min(ends)) or 1.0
    axes.set_ylim(min(ends) - (margin if min(ends) < 0 else 0), max(ends) + margin)
    axes.grid(visible=True, axis="y")


def _widen(axes: Axes) -> None:
    """Leave room beside what is drawn, and do not blow up differences that are a hundredth of the value."""
    low, high = axes.dataLim.intervalx
    room = max(0.12 * (high - low), 0.1 * abs(high), 0.05) if np.isfinite([low, high]).all() else 0.0
    if room:
        axes.set_xlim(low - room, high + room)
