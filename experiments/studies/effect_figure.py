"""The effect plot: differences by seed, their mean with its interval, and the margins that claims draw around zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.runs.plotting import COLOURS, FAINT, INK, MARKERS
from experiments.studies import wording
from experiments.studies.claim import Claim
from experiments.studies.comparison import Comparison
from experiments.studies.interval_bars import bar_lengths
from experiments.studies.intervals import Estimate

FEW = 30  # values that are drawn one by one
# A difference is between arms: the colour of one of them would be read as its own.
OF_NO_ARM: Mapping[str, Any] = {"color": FAINT, "marker": "o"}


@dataclass(frozen=True)
class Effect:
    """One row: what is contrasted, by how much it differs, and the differences that a claim would count as yes.

    `low` and `high` bound them; `None` is no bound.
    """

    contrast: str
    estimate: Estimate | None
    margin: bool = False
    low: float | None = None
    high: float | None = None


def claimed_effects(
    comparison: Comparison, claims: Mapping[str, Claim], effects: Mapping[str, Estimate | None]
) -> list[Effect]:
    """Return one row for each claim on a difference in the study's metric, then one for each other arm's contrast.

    Args:
        comparison: what came out; each arm but the baseline has a contrast with it.
        claims: by name.
        effects: of the claims' contrasts, by the claims' names.
    """
    rows = []
    for name, claim in claims.items():
        found = effects.get(name)
        if found is not None and not claim.over and claim.on in (None, comparison.metric) and not claim.is_ratio:
            low, high = _bounds(claim)
            rows.append(Effect(" ".join(claim.contrast.split()), found, margin=True, low=low, high=high))
    told = {row.contrast for row in rows}
    others = [(f"{contrast.arm} - {contrast.baseline}", contrast.effect) for contrast in comparison.contrasts]
    return [*rows, *(Effect(text, effect) for text, effect in others if text not in told)]


def draw_effects(rows: Sequence[Effect], metric: str, axes: Axes) -> None:
    """One row for each effect, the first on top, around a line at zero."""
    for place, row in enumerate(rows):
        if row.estimate is None:
            continue
        draw_spread(axes, row.estimate.values, place, OF_NO_ARM)
        draw_mean(axes, row.estimate, place)
        told = f"{_signed(row.estimate)}\nn = {row.estimate.n}"
        axes.text(1.02, place + 0.1, told, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set_yticks(range(len(rows)), [row.contrast.replace(" - ", "\n− ") for row in rows])
    axes.set_ylim(len(rows) - 0.3, -0.45)
    low, high = widen(axes)
    for place, row in enumerate(rows):
        if row.margin:
            begin, end = (
                max(low, low if row.low is None else row.low),
                min(high, high if row.high is None else row.high),
            )
            if begin < end:
                axes.fill_betweenx([place - 0.35, place + 0.5], begin, end, color=FAINT, alpha=0.22, linewidth=0)
    unit = wording.metric_unit(metric)
    axes.set_title(f"Difference in {wording.metric_name(metric)} ({'points' if unit == '%' else unit})")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)


def draw_spread(axes: Axes, values: Sequence[float], place: int, how: Mapping[str, Any]) -> None:
    """Draw values in the row `place`: one by one, or, where they are many, the spans of 90 % and of half of them."""
    if len(values) <= FEW:
        axes.plot(values, [place] * len(values), **how, linestyle="", markersize=6, alpha=0.85)
        return
    outer_low, low, high, outer_high = np.percentile(values, [5, 25, 75, 95])
    axes.plot([outer_low, outer_high], [place, place], color=how["color"], linewidth=1.4)
    axes.plot([low, high], [place, place], color=how["color"], linewidth=5, solid_capstyle="butt", alpha=0.75)


def draw_mean(axes: Axes, value: Estimate, place: int, metric: str | None = None) -> None:
    """Draw a mean, of `metric` or of differences, with its interval below the values of the row `place`."""
    lengths = bar_lengths(value, metric)
    bar: dict[str, Any] = {} if lengths is None else {"xerr": [[length] for length in lengths], "capsize": 4.0}
    axes.errorbar([value.mean], [place + 0.24], fmt="|", color=INK, markersize=11, elinewidth=1.6, **bar)


def look(place: int) -> dict[str, Any]:
    """Return colour and marker of the arm at `place`: thirty-six different ones."""
    turn = place // len(COLOURS)
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[(place + turn) % len(MARKERS)]}


def widen(axes: Axes) -> tuple[float, float]:
    """Leave room beside what is drawn, and do not blow up differences that are a hundredth of the value."""
    low, high = axes.dataLim.intervalx
    if not np.isfinite([low, high]).all():
        return axes.get_xlim()
    room = max(0.12 * (high - low), 0.1 * abs(high), 0.05)
    axes.set_xlim(low - room, high + room)
    return float(low - room), float(high + room)


def _bounds(claim: Claim) -> tuple[float | None, float | None]:
    """The differences that the claim counts as yes."""
    margin = claim.margin or 0.0
    match claim.kind:
        case "lower":
            return None, -margin
        case "higher":
            return margin, None
        case "not_worse":
            return (None, margin) if claim.better == "lower" else (-margin, None)
        case "equivalent":
            return -margin, margin
    return None, None


def _signed(value: Estimate) -> str:
    if value.low is None or value.high is None:
        return f"{value.mean:+.2f} (no interval)"
    return f"{value.mean:+.2f} [{value.low:+.2f}, {value.high:+.2f}]"
