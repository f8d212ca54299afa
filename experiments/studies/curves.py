"""What the runs of a study recorded while they learned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments.studies.claim import EPOCHS, Claim

if TYPE_CHECKING:  # a study is checked before SciPy is imported
    from experiments.studies.comparison import Comparison, Replicate

Points = Sequence[tuple[int, float]]
MOST_RUNS = 400
"""Of whose curves a figure is made: the band of some hundred runs is that of all of them."""


@dataclass(frozen=True)
class Curves:
    """The course of one metric.

    Attributes:
        metric: its name.
        by_run: of each run (by what `Replicate.label` says), as (step, value) in the order of the steps.
    """

    metric: str
    by_run: Mapping[str, Points] = field(default_factory=dict)


def while_learning(metric: str) -> str:
    """Return the metric that is recorded epoch by epoch: the validation split's twin of a test metric."""
    return metric.replace("test/", "val/", 1)


def chosen_for_curves(
    comparison: "Comparison", claims: Mapping[str, Claim] | None = None, most: int = MOST_RUNS
) -> "list[Replicate]":
    """Return the runs whose curves are drawn: all that count, or the first seeds of each arm where there are many.

    Where a claim counts epochs it is about all of them, and all are returned.
    """
    if any(claim.over == EPOCHS for claim in (claims or {}).values()):
        return [run for arm in comparison.arms for run in arm.counted]
    each = max(2, most // max(1, len(comparison.arms)))
    return [run for arm in comparison.arms for run in arm.counted[:each]]
