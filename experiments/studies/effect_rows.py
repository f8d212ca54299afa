"""What the effect plot shows: a row for each claim with its verdict, then one for each other arm."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.studies import wording
from experiments.studies.claim import Claim
from experiments.studies.claims_said import Judged, said
from experiments.studies.comparison import Comparison
from experiments.studies.intervals import Estimate

LONGEST = 110  # characters that are told of a claim without an interval


@dataclass(frozen=True)
class Effect:
    """One row.

    Attributes:
        contrast: what is contrasted.
        estimate: by how much it differs; `None` where that has no spread, or is no single number.
        margin: whether a claim draws a margin.
        low: the least that the claim would count as yes; `None` is no bound.
        high: the greatest.
        name: of the claim; empty where nothing is claimed, and for the only claim of a study.
        outcome: of the verdict; empty where nothing is claimed.
        axis: along what it is drawn; rows of one axis share it.
        is_ratio: whether arms are divided: 1 is no effect, and the axis is logarithmic.
        told: in words, where there is no `estimate`.
    """

    contrast: str
    estimate: Estimate | None
    margin: bool = False
    low: float | None = None
    high: float | None = None
    name: str = ""
    outcome: str = ""
    axis: str = ""
    is_ratio: bool = False
    told: str = ""

    @property
    def numbers(self) -> str:
        """The mean with its interval."""
        value = self.estimate
        if value is None:
            return self.told
        form = "{:.3g}" if self.is_ratio else "{:+.2f}"
        mean = form.format(value.mean)
        if value.low is None or value.high is None:
            return f"{mean} (no interval)"
        return f"{mean} [{form.format(value.low)}, {form.format(value.high)}]"


def claimed_effects(
    comparison: Comparison, claims: Mapping[str, Claim], verdicts: Mapping[str, Judged]
) -> list[Effect]:
    """Return one row for each claim that was judged, then one for each other arm's contrast with the baseline.

    Args:
        comparison: what came out; each arm but the baseline has a contrast with it.
        claims: by name.
        verdicts: by the name of the claim.
    """
    numbers = {one.name or "claim": one.numbers for one in said(claims, verdicts, comparison.metric)}
    rows = [
        _claimed(name if len(claims) > 1 or name != "claim" else "", claim, verdicts[name], comparison, numbers[name])
        for name, claim in claims.items()
        if name in verdicts
    ]
    axis = _axis(comparison.metric, "a - b", is_ratio=False)
    told = {row.contrast for row in rows if row.axis == axis}
    others = [(f"{contrast.arm} - {contrast.baseline}", contrast.effect) for contrast in comparison.contrasts]
    return [
        *rows,
        *(Effect(text, effect, axis=axis) for text, effect in others if text not in told and effect is not None),
    ]


def _claimed(name: str, claim: Claim, verdict: Judged, comparison: Comparison, numbers: str) -> Effect:
    contrast, on, found = " ".join(claim.contrast.split()), claim.on or comparison.metric, verdict.effect
    if found is None or found.method == "exact" or claim.over:
        exact = found is not None and found.method == "exact"
        told = textwrap.shorten(verdict.reason if exact else numbers or verdict.reason, LONGEST, placeholder=" …")
        return Effect(contrast, None, name=name, outcome=verdict.outcome, told=told)
    low, high = _bounds(claim)
    axis = _axis(on, contrast, is_ratio=claim.is_ratio)
    return Effect(contrast, found, True, low, high, name, verdict.outcome, axis, claim.is_ratio)


def _axis(metric: str, contrast: str, *, is_ratio: bool) -> str:
    """Name what is drawn along an axis, with its unit."""
    name, unit = wording.metric_name(metric).replace("_", " "), wording.metric_unit(metric)
    if is_ratio:
        return f"ratio of {name}"
    if " - " not in contrast:
        return f"{name} ({unit})" if unit else name
    unit = "points" if unit == "%" else unit
    return f"difference in {name} ({unit})" if unit else f"difference in {name}"


def _bounds(claim: Claim) -> tuple[float | None, float | None]:
    """The effects that the claim counts as yes."""
    none = 1.0 if claim.is_ratio else 0.0
    low, high = none - (claim.margin or 0.0), none + (claim.margin or 0.0)
    match claim.kind:
        case "lower":
            return None, low
        case "higher":
            return high, None
        case "not_worse":
            return (None, high) if claim.better == "lower" else (low, None)
        case "equivalent":
            return low, high
    return None, None
