"""Claims and verdicts in words, the same in HTML, Markdown, LaTeX and MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from experiments.studies import wording
from experiments.studies.claim import EPOCHS, Claim
from experiments.studies.curves import while_learning
from experiments.studies.intervals import Estimate


class Judged(Protocol):
    """A verdict on a claim, as far as it is said."""

    @property
    def claim(self) -> str:
        """The claim's name."""

    @property
    def outcome(self) -> str:
        """`supported`, `refuted` or `undecided`."""

    @property
    def effect(self) -> Estimate | None:
        """Of the contrast; `None` when there is nothing to compare."""

    @property
    def p_value(self) -> float | None:
        """Of the claim's own test, uncorrected."""

    @property
    def adjusted(self) -> float | None:
        """After Holm."""

    @property
    def reason(self) -> str:
        """One sentence."""

    @property
    def left_out(self) -> tuple[int, ...]:
        """Seeds that lack one of the arms."""


@dataclass(frozen=True)
class SaidVerdict:
    """A verdict in words.

    Attributes:
        name: of the claim; empty for the only one of a study.
        outcome: `supported`, `refuted` or `undecided`.
        claim: what was claimed.
        numbers: the effect with interval and n.
        reason: why the outcome is what it is.
    """

    name: str
    outcome: str
    claim: str
    numbers: str
    reason: str


def said(claims: Mapping[str, Claim], verdicts: Mapping[str, Judged], metric: str) -> list[SaidVerdict]:
    """Say all verdicts; `metric` is the study's, for claims that name none."""
    return [
        SaidVerdict(
            name="" if len(claims) == 1 and name == "claim" else name,
            outcome=verdicts[name].outcome,
            claim=claim_said(claim, metric),
            numbers=_numbers(claim, verdicts[name], metric),
            reason=verdicts[name].reason,
        )
        for name, claim in claims.items()
        if name in verdicts
    ]


def claim_said(claim: Claim, metric: str) -> str:
    """Say a claim: `two_conv3x3 - conv5x5 in top-1 error: less than 1 point worse`."""
    on = claim.on or metric
    unit = "" if claim.is_ratio else f" {claim.over}" if claim.over else _unit(on, claim.margin or 0.0)
    margin = "" if claim.margin is None else f"{claim.margin:g}{unit}"
    what = {
        "lower": "lower" + (f" by more than {margin}" if claim.margin else ""),
        "higher": "higher" + (f" by more than {margin}" if claim.margin else ""),
        "not_worse": f"less than {margin} worse",
        "equivalent": f"equal within ±{margin}",
        "equal": f"exactly {claim.target}",
    }[claim.kind]
    layers = f" of the layers {claim.layers}" if claim.layers else ""
    return f"{claim.contrast} in {reached(claim, metric) if claim.over else _named(on)}{layers}: {what}"


def reached(claim: Claim, metric: str) -> str:
    """Say what a claim with `reach` is on: `samples to reach 20 % top-1 error`; over epochs it is the validation's."""
    on = claim.on or metric
    on = while_learning(on) if claim.over == EPOCHS else on
    return f"{claim.over} to reach {claim.reach:g} {wording.metric_unit(on)} {wording.metric_name(on)}"


def _numbers(claim: Claim, verdict: Judged, metric: str) -> str:
    effect = verdict.effect
    if effect is None:
        return "" if claim.over else "nothing to compare"
    unit = "" if claim.is_ratio else f" {claim.over}" if claim.over else _unit(claim.on or metric)
    if claim.kind == "equal" or (claim.on or metric).startswith("measure/"):
        # It is the same for every seed. Its reason says the number exactly; of a ratio a decimal is easier to read.
        return f"{effect.mean:.3g}" if claim.is_ratio else ""
    number = (lambda value: f"{value:.3g}") if claim.is_ratio else _signed
    return wording.effect_numbers(effect, unit, verdict.left_out, number)


def _named(metric: str) -> str:
    return (
        metric.removeprefix("measure/").replace("_", " ")
        if metric.startswith("measure/")
        else wording.metric_name(metric)
    )


def _unit(metric: str, value: float = 0.0) -> str:
    unit = wording.metric_unit(metric)
    return (" point" if value == 1 else " points") if unit == "%" else f" {unit}" if unit else ""


def _signed(value: float) -> str:
    return f"{value:+.2f}" if abs(value) < 1000 else f"{value:+,.0f}"  # noqa: PLR2004 - parameters and the like
