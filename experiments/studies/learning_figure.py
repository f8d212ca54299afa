"""Learning curves of a comparison: mean over the seeds of each arm, with the band of its interval."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator
from scipy import stats

from experiments.runs.plotting import COLOURS, FAINT, LINES
from experiments.studies import wording
from experiments.studies.comparison import ArmSummary, Comparison
from experiments.studies.curves import Curves
from experiments.studies.interval_bars import reach
from experiments.studies.intervals import CONFIDENCE
from experiments.studies.marks import broken, look

COLUMNS = 6  # most small pictures in a row, one for each of many arms
FEW_COLUMNS = 4  # that are taken where the arms are not crossed and do not fill rows of five
TITLE = 8.0  # points
WIDTH = 9.8  # inches of all pictures in a row
Array = npt.NDArray[np.float64]


def draw_learning(comparison: Comparison, curves: Curves, figure: FigureBase, *, apart: bool = False) -> None:
    """Draw all arms into one picture, or, `apart`, each into one of its own, over the baseline in grey."""
    if apart:
        _draw_apart(comparison, curves, figure)
        return
    axes = figure.subplots()
    steps = _steps(curves)
    axes.set_title("While training")
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel(wording.titled(curves.metric))
    if len(steps) == 1:
        _draw_only_step(axes, comparison, curves, steps[0])
        return
    tops = [
        _draw_arm(axes, arm, curves, {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place % len(LINES)]})
        for place, arm in enumerate(comparison.arms)
    ]
    _scale(axes, tops)


def _draw_only_step(axes: Axes, comparison: Comparison, curves: Curves, step: int) -> None:
    """Draw the arms side by side where their runs recorded a single step: points with their intervals, no lines."""
    tops = [0.0]
    learnt = [(place, arm) for place, arm in enumerate(comparison.arms) if arm.counted]
    for number, (place, arm) in enumerate(learnt):
        _, mean, half = mean_course(arm, curves)
        if not len(mean):
            continue
        low, high = _band(mean, half, curves.metric)
        bar: dict[str, Any] = {} if half is None else {"yerr": [mean - low, high - mean], "capsize": 3.0}
        aside = number - (len(learnt) - 1) / 2
        axes.errorbar([aside], mean, **look(place), markersize=7, linestyle="", **bar)
        tops.append(float(high.max()))
    axes.set_xlim(-len(learnt), len(learnt))
    axes.set_xticks([0], [f"{step}"])
    axes.set_ylim(0, 1.1 * max(tops) or 1.0)
    axes.grid(visible=True, axis="y")


def learning_height(comparison: Comparison) -> float:
    """Return the inches that pictures of each arm take."""
    rows, _, _ = arranged([arm.name for arm in comparison.arms])
    return 0.9 + 1.4 * rows


def arranged(names: Sequence[str]) -> tuple[int, int, bool]:
    """Return rows and columns of the pictures of these arms, and whether they go down the columns first.

    Arms that are crossed are named by their levels, the last factor's changing fastest: it becomes the rows or the
    columns, so that what is compared stands side by side.
    """
    last = [name.rpartition(".")[2] for name in names]
    levels = len(set(last))
    others, rest = divmod(len(names), levels)
    crossed = not rest and 1 < levels < len(names) and all(name == last[at % levels] for at, name in enumerate(last))
    if crossed and max(levels, others) <= COLUMNS:
        return (others, levels, False) if levels >= others else (levels, others, True)
    columns = FEW_COLUMNS if len(names) % FEW_COLUMNS == 0 else FEW_COLUMNS + 1
    return math.ceil(len(names) / columns), columns, False


def _draw_apart(comparison: Comparison, curves: Curves, figure: FigureBase) -> None:
    rows, columns, down = arranged([arm.name for arm in comparison.arms])
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    places = (grid.T if down else grid).flat
    base = next(arm for arm in comparison.arms if arm.is_baseline)
    width = 0.88 * WIDTH / columns
    tops = []
    for place, (axes, arm) in enumerate(zip(places, comparison.arms, strict=False)):
        _draw_arm(axes, base, curves, {"color": FAINT, "linestyle": LINES[1]})
        tops.append(_draw_arm(axes, arm, curves, {"color": look(place)["color"]}))
        name = f"{arm.name} (baseline)" if arm.is_baseline else arm.name
        axes.set_title(broken(name, width, TITLE, "bold"), fontsize=TITLE)
        axes.tick_params(labelsize=7)
    # All share their scales.
    _scale(grid[0, 0], tops, ticks=4)
    for axes in grid.flat[1:]:
        axes.grid(visible=True, axis="y")
    for axes in grid.flat[len(comparison.arms) :]:
        axes.set_visible(False)
    if not down and len(comparison.arms) < grid.size:
        for axes in grid[-2, len(comparison.arms) - grid.size :]:
            axes.tick_params(labelbottom=True)
    figure.suptitle("While training", x=0.01, ha="left", fontsize=10, weight="bold")
    figure.supxlabel("optimizer steps", fontsize=9)
    figure.supylabel(wording.titled(curves.metric), fontsize=9)


def _steps(curves: Curves) -> list[int]:
    """All steps that any of the runs recorded."""
    return sorted({step for points in curves.by_run.values() for step, _ in points})


def mean_course(arm: ArmSummary, curves: Curves) -> tuple[Array, Array, Array | None]:
    """Return the steps that all drawn runs of an arm recorded, the mean there, and half of its 95 % interval."""
    series = [dict(curves.by_run[run.label]) for run in arm.counted if run.label in curves.by_run]
    shared = sorted(set.intersection(*(set(one) for one in series))) if series else []
    table = np.array([[one[step] for step in shared] for one in series], dtype=float).reshape(len(series), len(shared))
    steps, mean = np.array(shared, dtype=float), table.mean(axis=0) if series else np.empty(0)
    if len(series) < 2:  # noqa: PLR2004 - one run says nothing of the spread
        return steps, mean, None
    width = stats.t.ppf((1 + CONFIDENCE) / 2, len(series) - 1) / math.sqrt(len(series))
    return steps, mean, width * table.std(axis=0, ddof=1)


def _band(mean: Array, half: Array | None, metric: str) -> tuple[Array, Array]:
    """Where the band of a course is drawn; see `interval_bars.drawn_ends`."""
    if half is None:
        return mean, mean
    least, greatest = reach(metric)
    return np.minimum(np.maximum(mean - half, least), mean), np.maximum(np.minimum(mean + half, greatest), mean)


def _draw_arm(axes: Axes, arm: ArmSummary, curves: Curves, how: dict[str, Any]) -> float:
    """Draw an arm's mean and band; return how high the picture must reach for it."""
    steps, mean, half = mean_course(arm, curves)
    if not len(steps):
        return 0.0
    marker = "o" if len(steps) <= 2 else ""  # noqa: PLR2004 - a line needs no points
    axes.plot(steps, mean, marker=marker, markersize=4, **how)
    # Untrained networks are near chance; the picture is about what comes after the first quarter of the training.
    top = float(mean[len(mean) // 4 :].max())
    if half is None:
        return top
    low, high = _band(mean, half, curves.metric)
    if len(steps) == 1:  # no band can be seen
        axes.errorbar(steps, mean, yerr=[mean - low, high - mean], capsize=3.0, **how)
    axes.fill_between(steps, low, high, color=how["color"], alpha=0.14, linewidth=0)
    axes.plot(steps, np.stack([low, high], axis=1), **how, linewidth=0.7, alpha=0.8)
    return max(top, float(high[-(len(high) // 4) - 1 :].max()))


def _scale(axes: Axes, tops: Sequence[float], ticks: int = 6) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=ticks))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=ticks))
    if tops and max(tops) > 0:
        axes.set_ylim(0, 1.1 * max(tops))
    axes.grid(visible=True, axis="y")
