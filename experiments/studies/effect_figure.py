"""The effect plot: effects by seed, their means with intervals, what claims count as yes, and the verdicts on these."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator

from experiments.runs.plotting import COLOURS, FAINT, INK
from experiments.studies.effect_rows import Effect
from experiments.studies.marks import OF_NO_ARM, ROW, broken, draw_mean, draw_spread, inches, widen

NAME, SMALL = 8.5, 7.0  # points of a row's name, and of the contrast below it
NARROW_RATIOS = 8  # the largest ratio by the smallest, up to which an axis of ratios is marked in equal steps
NARROW, BROAD = 1.45, 3.0  # inches for the names in half the width of a page, and in all of it
# What half a page has room for: inches of what is told instead of drawn, axes, lines of a contrast.
MOST_TOLD, MOST_AXES, MOST_LINES = 1.6, 2, 2
POINTS = 72  # in an inch
FOOT = 0.5  # inches of the ticks of an axis and its name
# Told apart without colour, too.
OUTCOMES: Mapping[str, tuple[str, str]] = {
    "supported": ("✓", COLOURS[2]),
    "refuted": ("✗", COLOURS[1]),
    "undecided": ("?", FAINT),
}


def is_narrow(rows: Sequence[Effect]) -> bool:
    """Whether half a page has room for the rows."""
    labels = [(row, *_label(row, NARROW)) for row in rows]
    return (
        len(_groups(rows)) <= MOST_AXES
        and all(inches(name, NAME) <= NARROW and not (row.name and "\n" in name) for row, name, _ in labels)
        and all(inches(text, SMALL) <= NARROW and text.count("\n") < MOST_LINES for _, _, text in labels)
        and all(inches(row.told, SMALL + 1) <= MOST_TOLD for row in rows)
    )


def height_of(rows: Sequence[Effect], width: float) -> float:
    """Return the inches that the rows take with `width` inches for their names."""
    return 0.4 + sum(_axis_height(group, width) for group in _groups(rows))


def draw_effects(rows: Sequence[Effect], width: float, figure: FigureBase) -> None:
    """Draw one row for each effect, those that share an axis together, the first on top.

    Args:
        rows: what is drawn.
        width: inches for their names.
        figure: what they are drawn into.
    """
    groups = _groups(rows)
    heights = [_axis_height(group, width) for group in groups]
    column = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, group in zip(column, groups, strict=True):
        _draw_group(axes, group, width)
    column[0].set_title("Effects and verdicts" if any(row.outcome for row in rows) else "Effects")


def _groups(rows: Sequence[Effect]) -> list[list[Effect]]:
    """Put rows of one axis together; those without one come last."""
    found: dict[tuple[bool, str], list[Effect]] = {}
    for row in sorted(rows, key=lambda row: not row.axis):
        found.setdefault((row.is_ratio, row.axis), []).append(row)
    return list(found.values())


def _label(row: Effect, width: float) -> tuple[str, str]:
    """Return a row's name and what stands below it in small letters, in lines of `width` inches."""
    contrast = row.contrast.replace(" - ", " − ")
    if not row.name:
        return broken(contrast, width, NAME), ""
    return broken(row.name, width, NAME), broken(contrast, width, SMALL)


def _label_height(name: str, contrast: str) -> float:
    """Return the inches of a label's lines."""
    return 0.145 * (name.count("\n") + 1) + (0.125 * (contrast.count("\n") + 1) if contrast else 0)


def _row_height(row: Effect, width: float) -> float:
    return max(ROW, 0.12 + _label_height(*_label(row, width)))


def _axis_height(group: Sequence[Effect], width: float) -> float:
    return sum(_row_height(row, width) for row in group) + (FOOT if group[0].axis else 0.1)


def _draw_group(axes: Axes, group: Sequence[Effect], width: float) -> None:
    """Draw rows that share an axis; a unit of height is `ROW`."""
    ends = np.cumsum([0.0, *(_row_height(row, width) / ROW for row in group)])
    middles = (ends[:-1] + ends[1:]) / 2
    for row, middle in zip(group, middles, strict=True):
        _write(axes, row, float(middle), width)
        if row.estimate is not None:
            draw_spread(axes, row.estimate.values, float(middle) - 0.14, OF_NO_ARM)
            draw_mean(axes, row.estimate, float(middle) - 0.04)
    axes.set_ylim(ends[-1] + 0.02, -0.02)
    axes.set_yticks([])
    if not group[0].axis:
        axes.set_xlim(0, 1)
        axes.set_axis_off()
        return
    low, high = _scale(axes, group)
    for row, begin, end in zip(group, ends[:-1], ends[1:], strict=True):
        if row.margin:
            sides = max(low, low if row.low is None else row.low), min(high, high if row.high is None else row.high)
            if sides[0] < sides[1]:
                axes.fill_betweenx([begin + 0.06, end - 0.06], *sides, color=FAINT, alpha=0.22, linewidth=0)
    claimed = sum(bool(row.outcome) for row in group)
    if 0 < claimed < len(group):
        axes.axhline(float(ends[claimed]), color=FAINT, linewidth=0.8)
    axes.set_xlabel(group[0].axis)
    axes.grid(visible=True, axis="x")


def _scale(axes: Axes, group: Sequence[Effect]) -> tuple[float, float]:
    """Scale the axis to what is drawn and to no effect, where a line stands; return its ends."""
    if not group[0].is_ratio:
        axes.axvline(0, color=INK, linewidth=0.9)
        return widen(axes)
    axes.axvline(1, color=INK, linewidth=0.9)
    low, high = axes.dataLim.intervalx
    low, high = min(float(low), 1.0) / 1.4, max(float(high), 1.0) * 1.4
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(_ratio_ticks(low, high))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return low, high


def _ratio_ticks(low: float, high: float) -> Locator:
    """Return where an axis of ratios is marked: three times at least, as each of 1, 2, 5, 10 … may lie outside."""
    if high < NARROW_RATIOS * low:
        return MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3)
    return LogLocator(subs=(1.0, 2.0, 5.0) if high < 50 * low else (1.0,))


def _write(axes: Axes, row: Effect, middle: float, width: float) -> None:
    """Write the name of a row at its left, its numbers and its verdict at its right."""
    across = axes.get_yaxis_transform()

    def beside(text: str, x: float, offset: tuple[float, float], how: Mapping[str, Any]) -> None:
        near: Any = {"xycoords": across, "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(text, (x, middle), offset, **near, **how)

    name, contrast = _label(row, width)
    top = _label_height(name, contrast) / 2 * POINTS
    left = {"ha": "right", "va": "top"}
    beside(name, 0, (-6, top), {**left, "fontsize": NAME})
    if contrast:
        beside(contrast, 0, (-6, top - _label_height(name, "") * POINTS), {**left, "fontsize": SMALL, "alpha": 0.7})
    drawn = row.estimate is not None
    up, n = (5.5, f"n = {row.estimate.n}") if row.estimate is not None else (0.0, "")
    right = {"ha": "left", "va": "center", "fontsize": SMALL + 1}
    beside(row.numbers, 1 if drawn else 0, (6, up), right)
    if row.outcome:
        mark, colour = OUTCOMES[row.outcome]
        beside(mark, 1, (6, -up), {**right, "color": colour, "weight": "bold"})
    beside(", ".join(filter(None, (row.outcome, n))), 1, (17 if row.outcome else 6, -up), right)
