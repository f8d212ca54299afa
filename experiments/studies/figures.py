"""Figures of a comparison: errors by seed, effects with verdicts, while they learn, and against what the arms cost."""

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from experiments.runs.plotting import FAINT, LINES, new_figure, styled
from experiments.studies import wording
from experiments.studies.comparison import ArmSummary, Comparison
from experiments.studies.cost_figure import costs_said, costs_that_differ, draw_costs
from experiments.studies.curves import Curves
from experiments.studies.effect_figure import BROAD, NARROW, draw_effects, height_of, is_narrow
from experiments.studies.effect_rows import Effect, claimed_effects
from experiments.studies.learning_figure import draw_learning, learning_height
from experiments.studies.marks import FEW, ROW, broken, draw_mean, draw_spread, inches, look, widen

FULL_WIDTH, HALF_WIDTH = 10.4, 5.2  # inches of a page
LETTERS = 9.0  # points, of arms and legends
FEW_ARMS = 6  # that colour, marker and line tell apart in one picture
TITLE_LETTERS = 92  # characters of a bold title in a line


@dataclass(frozen=True)
class Panel:
    """One drawing of a comparison.

    Attributes:
        name: of the drawing.
        caption: what is seen.
        width: inches.
        height: inches.
        draw: fills a figure of that size.
        legend: whether it takes a legend to know the arms.
    """

    name: str
    caption: str
    width: float
    height: float
    draw: Callable[[FigureBase], None]
    legend: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether it takes more than half a page."""
        return self.width > HALF_WIDTH


def panels(comparison: Comparison, curves: Curves, effects: Sequence[Effect] = ()) -> list[Panel]:
    """Return the drawings of `comparison`: by seed, effects, learning curves, against what the arms cost.

    Args:
        comparison: what came out.
        curves: of some or all of its runs.
        effects: the rows of the effect plot; those of the contrasts with the baseline by default.
    """
    if all(arm.metric is None for arm in comparison.arms):
        return []
    rows = list(effects) or claimed_effects(comparison, {}, {})
    narrow = is_narrow(rows) and all(inches(name, LETTERS) <= NARROW for name in _names(comparison.arms))
    drawn = [_seeds(comparison, HALF_WIDTH if narrow else FULL_WIDTH)]
    if rows:
        drawn.append(_effects(rows, narrow=narrow))
    if learnt := _learning(comparison, curves):
        drawn.append(learnt)
    if costs_that_differ(comparison):
        name = wording.metric_name(comparison.metric)
        caption = f"Mean {name} with its 95 % interval against what the arms cost{costs_said(comparison)}."
        drawn.append(Panel("costs", caption, FULL_WIDTH, 2.9, partial(draw_costs, comparison), legend=True))
    return drawn


def _seeds(comparison: Comparison, width: float) -> Panel:
    many = max(arm.n for arm in comparison.arms) > FEW
    each = "thin lines span 90 % of the runs, thick ones half of them" if many else "a thin line joins runs of one seed"
    return Panel(
        "seeds",
        f"{wording.titled(comparison.metric)} of each run; {each}, bars are means with their 95 % intervals.",
        width,
        0.9 + ROW * len(comparison.arms),
        partial(_on_axes, partial(_draw_seeds, comparison)),
    )


def _effects(rows: Sequence[Effect], *, narrow: bool) -> Panel:
    names = NARROW if narrow else BROAD
    margins = "; grey is what a claim counts as yes" if any(row.margin for row in rows) else ""
    return Panel(
        "effects",
        f"Effects by seed (points are pairs of runs of one seed), their means and 95 % intervals{margins}.",
        HALF_WIDTH if narrow else FULL_WIDTH,
        height_of(rows, names),
        partial(draw_effects, rows, names),
    )


def _learning(comparison: Comparison, curves: Curves) -> Panel | None:
    counted = {run.label for arm in comparison.arms for run in arm.counted}
    shown = len(counted & curves.by_run.keys())
    if not shown:
        return None
    few = "" if shown == len(counted) else f" Drawn from {shown} of {len(counted)} runs, the first seeds of each arm."
    once = len({step for points in curves.by_run.values() for step, _ in points}) == 1
    parts = len(comparison.arms) > FEW_ARMS and not once
    bands = "bars are its 95 % t intervals" if once else "band the 95 % t interval of the mean"
    return Panel(
        "learning",
        f"{wording.titled(curves.metric)} while training: mean over seeds, "
        f"{bands}{', grey the baseline' if parts else ''}.{few}",
        FULL_WIDTH,
        learning_height(comparison) if parts else 2.9,
        partial(draw_learning, comparison, curves, apart=parts),
        legend=not parts,
    )


@styled
def comparison_figure(title: str, comparison: Comparison, drawn: Sequence[Panel]) -> Figure:
    """Draw panels as one figure under `title`: two to a row, wide ones alone."""
    rows: list[list[Panel]] = []
    for panel in drawn:
        if rows and not panel.is_wide and len(rows[-1]) == 1 and not rows[-1][0].is_wide:
            rows[-1].append(panel)
        else:
            rows.append([panel])
    heights = [max(panel.height for panel in row) for row in rows]
    handles = _legend(comparison) if any(panel.legend for panel in drawn) else []
    columns = _columns(handles, FULL_WIDTH)
    headline = textwrap.fill(title, TITLE_LETTERS)
    around = 0.3 + 0.2 * (headline.count("\n") + 1) + 0.22 * math.ceil(len(handles) / columns)
    figure = new_figure(FULL_WIDTH, sum(heights) + around)
    figure.suptitle(headline, x=0.01, ha="left", fontsize=12, weight="bold")
    strips = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False)[:, 0]
    for strip, row in zip(strips, rows, strict=True):
        # A panel of half a page beside none keeps its width.
        beside = 1 if row[0].is_wide else 2
        for part, panel in zip(strip.subfigures(1, beside, squeeze=False)[0], row, strict=False):
            panel.draw(part)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


@styled
def panel_figure(panel: Panel, comparison: Comparison) -> Figure:
    """Draw one panel by itself, with a legend of the arms, and room for it, where it names none."""
    handles = _legend(comparison) if panel.legend else []
    columns = _columns(handles, panel.width)
    figure = new_figure(panel.width, panel.height + 0.22 * math.ceil(len(handles) / columns))
    panel.draw(figure)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _on_axes(draw: Callable[[Axes], None], figure: FigureBase) -> None:
    draw(figure.subplots())


def _legend(comparison: Comparison) -> list[Line2D]:
    """What tells the arms apart that have something to show; the others are named where their rows are empty."""
    handles = []
    for place, arm in enumerate(comparison.arms):
        if arm.metric is None:
            continue
        label = f"{arm.name} (baseline)" if arm.is_baseline else arm.name
        handles.append(Line2D([], [], **look(place), linestyle=LINES[place % len(LINES)], label=label))
    return handles


def _columns(handles: Sequence[Line2D], width: float) -> int:
    """Return how many entries of a legend stand side by side in `width` inches."""
    widest = max((inches(str(handle.get_label()), LETTERS) for handle in handles), default=0.0)
    return max(1, min(FEW_ARMS, int(width / (widest + 0.65))))


def _names(arms: Sequence[ArmSummary]) -> list[str]:
    return [f"{arm.name}\n(baseline)" if arm.is_baseline else arm.name for arm in arms]


def _draw_seeds(comparison: Comparison, axes: Axes) -> None:
    """One row for each arm, the first on top: every seed's value, joined from row to row, and the mean below it."""
    many = max(arm.n for arm in comparison.arms) > FEW
    for seed in [] if many else sorted({replicate.seed for replicate in comparison.replicates}):
        places = [place for place, arm in enumerate(comparison.arms) if seed in arm.by_seed]
        values = [comparison.arms[place].by_seed[seed] for place in places]
        axes.plot(values, places, color=FAINT, linewidth=0.7, alpha=0.7, zorder=1)
    for place, arm in enumerate(comparison.arms):
        draw_spread(axes, list(arm.by_seed.values()), place, look(place))
        if arm.metric is None:
            axes.text(0.5, place, "no run finished", transform=axes.get_yaxis_transform(), ha="center", va="center")
            continue
        draw_mean(axes, arm.metric, place, comparison.metric)
        told = f"{wording.with_interval(arm.metric)}\nn = {wording.count(arm)}"
        axes.text(1.02, place + 0.1, told, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(range(len(comparison.arms)), [broken(name, BROAD, LETTERS) for name in _names(comparison.arms)])
    axes.set_ylim(len(comparison.arms) - 0.3, -0.35)
    widen(axes, comparison.metric)
    axes.set_title("By seed")
    axes.set_xlabel(wording.titled(comparison.metric))
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)
