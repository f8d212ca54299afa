"""The marks of a study's figures: of an arm, of single values, of a mean with its interval; and names in lines."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from experiments.runs.plotting import COLOURS, FAINT, INK, MARKERS
from experiments.studies.interval_bars import bar_lengths, reach
from experiments.studies.intervals import Estimate

FEW = 30  # values that are drawn one by one
ROW = 0.42  # inches between two rows of values
# A difference is between arms: the colour of one of them would be read as its own.
OF_NO_ARM: Mapping[str, Any] = {"color": FAINT, "marker": "o"}
KEPT = 4096  # widths of lines: a figure is laid out several times
_POINTS_PER_INCH = 72


def look(place: int) -> dict[str, Any]:
    """Return colour and marker of the arm at `place`: thirty-six different ones."""
    turn = place // len(COLOURS)
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[(place + turn) % len(MARKERS)]}


def draw_spread(axes: Axes, values: Sequence[float], place: float, how: Mapping[str, Any]) -> None:
    """Draw values in the row `place`: one by one, or, where they are many, the spans of 90 % and of half of them."""
    if len(values) <= FEW:
        axes.plot(values, [place] * len(values), **how, linestyle="", markersize=6, alpha=0.85)
        return
    outer_low, low, high, outer_high = np.percentile(values, [5, 25, 75, 95])
    axes.plot([outer_low, outer_high], [place, place], color=how["color"], linewidth=1.4)
    axes.plot([low, high], [place, place], color=how["color"], linewidth=5, solid_capstyle="butt", alpha=0.75)


def draw_mean(axes: Axes, value: Estimate, place: float, metric: str | None = None) -> None:
    """Draw a mean, of `metric` or of differences, with its interval below the values of the row `place`."""
    lengths = bar_lengths(value, metric)
    bar: dict[str, Any] = {} if lengths is None else {"xerr": [[length] for length in lengths], "capsize": 4.0}
    axes.errorbar([value.mean], [place + 0.24], fmt="|", color=INK, markersize=11, elinewidth=1.6, **bar)


def widen(axes: Axes, metric: str | None = None) -> tuple[float, float]:
    """Leave room beside what is drawn, and do not blow up differences that are a hundredth of the value.

    Args:
        axes: with everything drawn.
        metric: what is drawn; little room is left where it has no values. `None` for differences.
    """
    low, high = axes.dataLim.intervalx
    if not np.isfinite([low, high]).all():
        return axes.get_xlim()
    room = max(0.12 * (high - low), 0.1 * abs(high), 0.05)
    least, greatest = (-np.inf, np.inf) if metric is None else reach(metric)
    edge = 0.02 * (high - low + 2 * room)
    low, high = max(low - room, min(low, least) - edge), min(high + room, max(high, greatest) + edge)
    axes.set_xlim(low, high)
    return float(low), float(high)


def inches(text: str, size: float, weight: str = "normal") -> float:
    """Return how wide the widest line of `text` is in letters of `size` points."""
    return max((_points(line, size, weight) for line in text.split("\n")), default=0.0) / _POINTS_PER_INCH


@lru_cache(KEPT)
def _points(line: str, size: float, weight: str) -> float:
    font = FontProperties(size=size, weight=weight)
    return float(text_to_path.get_text_width_height_descent(line.strip(), font, ismath=False)[0])


def broken(text: str, width: float, size: float, weight: str = "normal") -> str:
    """Break a name into lines of `width` inches: between the terms of a contrast, else behind a dot or underscore."""
    parts = re.split(r" (?=[-+−/] )", text)
    gap = " "
    if len(parts) == 1:
        parts, gap = re.findall(r"[^._]*[._]?", text), ""
    lines: list[str] = []
    for part in filter(None, parts):
        longer = f"{lines[-1]}{gap}{part}" if lines else part
        if lines and inches(longer, size, weight) > width:
            lines.append(part)
        else:
            lines[-1:] = [longer]
    return "\n".join(lines)
