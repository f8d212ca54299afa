"""What it takes to reach an error in words, arm by arm, the same in the terminal, in figures and in reports."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.studies.claims_said import reached
from experiments.studies.gather import Gathered
from experiments.studies.reaching import Need, check_reach, needs, rounded

FEW = 10  # seeds that are told one by one
HOW = (
    "The median over the seeds that tell it; > and ≤ are bounds: not reached with all there was, or with the least "
    "already."
)


@dataclass(frozen=True)
class SaidNeeds:
    """One table: what each arm needs to reach one error.

    Attributes:
        title: `samples to reach 20 % top-1 error`.
        counted: what is counted: `samples`.
        by_arm: by seed; arms without any seed stand in it too.
        planned: seeds of the study.
        levels: of the factor, where one is counted.
    """

    title: str
    counted: str
    by_arm: Mapping[str, Mapping[int, Need]]
    planned: int
    levels: Sequence[float] = ()

    def median(self, arm: str) -> str:
        """Say the median of an arm; a bound where one is in the middle."""
        found = list(self.by_arm[arm].values())
        if not found:
            return "-"
        low, high = _median([need.low for need in found]), _median([need.high for need in found])
        return said(Need(low, high))

    def seeds(self, arm: str) -> str:
        """Say what an arm needs seed by seed, or from where to where if there are many."""
        found = sorted(self.by_arm[arm].values(), key=lambda need: (need.low, need.high))
        if len(found) <= FEW:
            return ", ".join(said(need) for need in self.by_arm[arm].values())
        return f"{said(found[0])} to {said(found[-1])}"

    def count(self, arm: str) -> str:
        """Say of how many seeds this is, and of how many where some are missing."""
        n = len(self.by_arm[arm])
        return f"{n}" if n == self.planned else f"{n} of {self.planned}"


def needs_said(gathered: Gathered) -> list[SaidNeeds]:
    """Return one table for each error that the study's claims want reached, and for what is counted until it is.

    Raises:
        UserError: a claim that cannot be, as `claims.claims_of`.
    """
    study = gathered.written.study
    found: dict[str, SaidNeeds] = {}
    for name, claim in study.claims.items():
        title = reached(claim, study.metric) if claim.over else ""
        if claim.over and title not in found:
            own = needs(study, claim, gathered.comparison.replicates, gathered.curves)
            by_arm = {arm: own.get(arm, {}) for arm in check_reach(study, name, claim)}
            levels = tuple(map(float, study.factors.get(claim.over, ())))
            found[title] = SaidNeeds(title, claim.over, by_arm, len(study.seeds), levels)
    return list(found.values())


def said(need: Need) -> str:
    """Say one need: `63.1`, `> 500`, `≤ 10`; `10 to > 500` where the median falls between the two kinds."""
    if need.known:
        return rounded(need.low)
    if need.high == math.inf:
        return f"> {rounded(need.low)}"
    return f"≤ {rounded(need.high)}" if need.low == 0 else f"{rounded(need.low)} to {rounded(need.high)}"


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
