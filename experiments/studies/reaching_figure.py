"""What it takes to reach an error as a picture: a point for each seed, a triangle where only a bound is known."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments.runs.plotting import INK, thousands
from experiments.studies.figures import HALF_WIDTH, Panel
from experiments.studies.marks import OF_NO_ARM, ROW
from experiments.studies.reached_said import SaidNeeds
from experiments.studies.reaching import Need


def need_panels(tables: Sequence[SaidNeeds]) -> list[Panel]:
    """Return one drawing for each table that holds anything."""
    return [
        Panel(
            f"reach-{number}",
            f"{table.title[:1].upper()}{table.title[1:]}, by seed; the bar is the median. Triangles are "
            "bounds: to the right what needs more than all there was, to the left what needs at most the least.",
            HALF_WIDTH,
            1.1 + ROW * len(table.by_arm),
            partial(_draw, table),
        )
        for number, table in enumerate(tables, start=1)
        if any(table.by_arm.values())
    ]


def _draw(table: SaidNeeds, figure: FigureBase) -> None:
    axes = figure.subplots()
    for place, (arm, own) in enumerate(table.by_arm.items()):
        for kind, marker in (("known", "o"), ("more", ">"), ("at most", "<")):
            values = [_shown(need) for need in own.values() if _kind(need) == kind]
            axes.plot(
                values,
                [place] * len(values),
                color=OF_NO_ARM["color"],
                marker=marker,
                linestyle="",
                markersize=6,
                alpha=0.85,
                fillstyle="full" if kind == "known" else "none",
            )
        if own:
            axes.plot(
                [np.median([_shown(need) for need in own.values()])], [place + 0.24], "|", color=INK, markersize=11
            )
        told = f"{table.median(arm)}\nn = {table.count(arm)}"
        axes.text(1.02, place + 0.1, told, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(range(len(table.by_arm)), list(table.by_arm))
    axes.set_ylim(len(table.by_arm) - 0.3, -0.35)
    _scale(axes, table)
    axes.set_title(f"{table.title[:1].upper()}{table.title[1:]}")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)


def _scale(axes: Axes, table: SaidNeeds) -> None:
    if table.levels:
        # Levels are factors apart, and what lies between them is interpolated so.
        axes.set_xscale("log")
        axes.set_xlim(min(table.levels) / 1.5, max(table.levels) * 1.5)
        axes.xaxis.set_major_locator(FixedLocator(table.levels))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: thousands(value)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.set_xlim(0, 1.1 * axes.dataLim.intervalx[1])
    axes.set_xlabel(table.counted)


def _kind(need: Need) -> str:
    if need.known:
        return "known"
    return "more" if need.high == math.inf else "at most"


def _shown(need: Need) -> float:
    return need.low if need.high == math.inf else need.high
