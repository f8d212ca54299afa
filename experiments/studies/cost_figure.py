"""Errors against what the arms cost: one picture for each measure in which they differ, all with the same errors."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from experiments.runs.plotting import thousands
from experiments.studies import wording
from experiments.studies.comparison import ArmSummary, Comparison
from experiments.studies.interval_bars import bar_lengths, drawn_ends
from experiments.studies.intervals import Estimate
from experiments.studies.marks import look

DECADE = 10


def costs_that_differ(comparison: Comparison) -> dict[str, str]:
    """Return the name of each measure in which arms differ and that all have, by its key."""
    arms = [arm for arm in comparison.arms if arm.metric is not None]
    return {
        measure: label
        for measure, label in _costs(comparison).items()
        if all(measure in arm.measures for arm in arms) and len({arm.measures[measure] for arm in arms}) > 1
    }


def costs_said(comparison: Comparison) -> str:
    """Say what a reader must know of the drawings: which arms stand aside, and in what all arms are equal."""
    arms = [arm for arm in comparison.arms if arm.metric is not None]
    drawn = costs_that_differ(comparison)
    tied = any(len({arm.measures[measure] for arm in arms}) < len(arms) for measure in drawn)
    same = [
        f"{label.removesuffix(' (px)')} ({thousands(arms[0].measures[measure])}{' px' if '(px)' in label else ''})"
        for measure, label in _costs(comparison).items()
        if measure not in drawn and all(measure in arm.measures for arm in arms)
    ]
    aside = "; arms of equal cost stand side by side" if tied else ""
    equal = f". Equal in all arms: {', '.join(same)}" if same else ""
    return aside + equal


def draw_costs(comparison: Comparison, figure: FigureBase) -> None:
    """Draw the mean error of each arm with its interval against each of the costs in which arms differ."""
    costs = costs_that_differ(comparison)
    row = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    arms = [(place, arm, arm.metric) for place, arm in enumerate(comparison.arms) if arm.metric is not None]
    for axes, (measure, label) in zip(row, costs.items(), strict=True):
        _draw(axes, comparison.metric, arms, measure)
        axes.set_xlabel(label)
        axes.grid(visible=True, axis="y")
    drawn = [drawn_ends(metric, comparison.metric) or (metric.mean, metric.mean) for _, _, metric in arms]
    ends = [0.0, *(end for both in drawn for end in both)]
    margin = 0.08 * (max(ends) - min(ends)) or 1.0
    row[0].set_ylim(min(ends) - (margin if min(ends) < 0 else 0), max(ends) + margin)
    row[0].set_ylabel(wording.titled(comparison.metric))
    row[0].set_title("Errors and costs" if wording.metric_unit(comparison.metric) == "%" else "Results and costs")


def _costs(comparison: Comparison) -> Mapping[str, str]:
    return {
        "parameters": "parameters",
        "macs": wording.macs_title(comparison),
        "receptive_field": "receptive field (px)",
    }


def _draw(axes: Axes, name: str, arms: Sequence[tuple[int, ArmSummary, Estimate]], measure: str) -> None:
    costs = [arm.measures[measure] for _, arm, _ in arms]
    low, high = min(costs), max(costs)
    wide = high > DECADE * low > 0
    room = 0.25 * (high - low)
    for number, (place, _, metric) in enumerate(arms):
        # Arms that cost the same stand side by side instead of on each other.
        twins = [other for other, cost in enumerate(costs) if cost == costs[number]]
        aside = min(0.06, 0.3 / len(twins)) * (twins.index(number) - (len(twins) - 1) / 2)
        x = costs[number] * (high / low) ** aside if wide else costs[number] + aside * (high - low + 2 * room)
        lengths = bar_lengths(metric, name)
        bar: dict[str, Any] = {} if lengths is None else {"yerr": [[length] for length in lengths], "capsize": 3.0}
        axes.errorbar([x], [metric.mean], **look(place), markersize=7, linestyle="", **bar)
    if wide:
        axes.set_xscale("log")
        axes.set_xlim(low / 2, high * 2)
    else:
        axes.set_xlim(low - room, high + room)
        exact = sorted(set(costs))
        apart = min(b - a for a, b in itertools.pairwise(exact)) > 0.5 * room
        axes.xaxis.set_major_locator(FixedLocator(exact) if apart else MaxNLocator(nbins=4, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: thousands(value)))
