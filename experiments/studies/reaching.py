"""What it takes to reach an error: how many samples, or whatever else the levels of a factor count, or how many epochs.

**Over a factor** (`over: samples`), whose levels are numbers such as samples per class: under each seed the smallest
level at which the error is at most `reach`, interpolated between it and the level before, the error taken as linear in
the logarithm of the level. Without interpolation a few levels give a few different numbers, and all seeds the same one.

**Over epochs** (`over: epochs`): the first epoch after which the validation error is at most `reach`, as it is.

Both count what is reached first; that a later level or epoch loses it again changes nothing.

**Censored** is what the runs do not tell: an error that even the largest level did not reach needs more than that
level, one that the smallest level reached already needs at most that level. A need is therefore two numbers between
which it lies, and a contrast of needs lies between two ends. A claim is tested with the end that speaks least for it,
its contrary with the end that speaks least for that (`verdict.py`). Where no arm of a difference reached the error,
nothing is known of it: no mean of such seeds is shown to be anything, and the claim is undecided. Seeds like that are
not left out, or an arm would be judged by the seeds that went well.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.errors import StudyError
from experiments.runs.configuration import nearest
from experiments.studies.claim import EPOCHS, Claim
from experiments.studies.contrasts import Contrast, Ratio
from experiments.studies.curves import Curves, Points, while_learning
from experiments.studies.factors import cross
from experiments.studies.study import Study

if TYPE_CHECKING:  # a study is checked before SciPy is imported
    from experiments.studies.comparison import Replicate

SPENT_EPOCHS, SPENT_STEPS = "spent/epochs", "spent/steps"
_LOWER_IS_BETTER = ("_error", "/loss")
_ROUNDING = 1e-6  # of an epoch


@dataclass(frozen=True)
class Need:
    """What one arm needs under one seed: `low` at least, `high` at most; one number where it is known."""

    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether it is not censored."""
        return self.low == self.high

    def __str__(self) -> str:
        if self.known:
            return rounded(self.low)
        return f"more than {rounded(self.low)}" if self.high == math.inf else f"at most {rounded(self.high)}"


def rounded(number: float) -> str:
    """Say a number by three digits, or all that it has before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"  # noqa: PLR2004 - three digits


NeedsByArm = Mapping[str, Mapping[int, Need]]


def check_reach(study: Study, name: str, claim: Claim) -> tuple[str, ...]:
    """Return the arms that a claim on what it takes to reach an error can contrast.

    Raises:
        StudyError: one line: no such factor, levels that are no numbers, or a metric that is not learnt downwards.
    """
    on, key = claim.on or study.metric, f"claims.{name}"
    if not on.endswith(_LOWER_IS_BETTER):
        raise StudyError(f"{key}.reach: goes with errors and losses, which fall; not with on: {on}")
    if claim.over == EPOCHS:
        if EPOCHS in study.factors:
            raise StudyError(f"{key}.over={EPOCHS}: is also the name of a factor; rename the factor")
        if while_learning(on) != while_learning(study.metric):
            raise StudyError(
                f"{key}.over={EPOCHS}: goes with the study's metric {study.metric} alone, not with on: {on}"
            )
        return tuple(study.arm_names)
    return tuple(_levels_by_arm(study, f"{key}.over={claim.over}", str(claim.over)))


def needs(study: Study, claim: Claim, replicates: "Sequence[Replicate]", curves: Curves) -> NeedsByArm:
    """Return what each arm needs to reach the error of a claim, under each seed whose runs tell it.

    Args:
        study: what was asked.
        claim: one with `reach`.
        replicates: that finished or not.
        curves: of the study's metric while learning, for claims over epochs.
    """
    finished = {(run.arm, run.seed): run for run in replicates if run.status == "FINISHED" and run.result is not None}
    found: dict[str, dict[int, Need]] = {}
    error = float(claim.reach or 0.0)
    if claim.over == EPOCHS:
        for (arm, seed), run in finished.items():
            spent = {} if run.result is None else run.result.metrics
            course = curves.by_run.get(run.label, ())
            epochs, steps = spent.get(SPENT_EPOCHS, 0.0), spent.get(SPENT_STEPS, 0.0)
            if course and epochs and steps:
                found.setdefault(arm, {})[seed] = epochs_needed(course, error, epochs=epochs, steps=steps)
        return found
    on = claim.on or study.metric
    for arm, levels in _levels_by_arm(study, "over", str(claim.over)).items():
        for seed in study.seeds:
            runs = {level: finished.get((own, seed)) for level, own in levels.items()}
            errors = {
                level: math.nan if run is None or run.result is None else run.result.metrics.get(on, math.nan)
                for level, run in runs.items()
            }
            if (need := level_needed(errors, error)) is not None:
                found.setdefault(arm, {})[seed] = need
    return found


def level_needed(errors: Mapping[float, float], reach: float) -> Need | None:
    """Return the level that is needed for an error of at most `reach`.

    Args:
        errors: by level, in percent; nan where the run is missing.
        reach: in percent.

    Returns:
        None where a run is missing that could have been the first to reach it.
    """
    before: tuple[float, float] | None = None
    for level, error in sorted(errors.items()):
        if math.isnan(error):
            return None
        if error <= reach:
            if before is None:
                return Need(0.0, level)
            share = (before[1] - reach) / (before[1] - error) if math.isfinite(before[1]) else 1.0
            need = before[0] * (level / before[0]) ** share
            return Need(need, need)
        before = level, error
    return None if before is None else Need(before[0], math.inf)


def epochs_needed(course: Points, reach: float, *, epochs: float, steps: float) -> Need:
    """Return the epochs that are needed for an error of at most `reach`.

    Args:
        course: (step, error) of each validation; at least one.
        reach: in the unit of the errors.
        epochs: that the run has trained; the last one may have ended early.
        steps: that it took.
    """
    for step, error in sorted(course):
        if error <= reach:
            # An early end makes epochs look shorter than they are: what is cut off is that.
            need = max(1, math.floor(step * epochs / steps + _ROUNDING))
            return Need(need, need)
    return Need(epochs, math.inf)


def ends(contrast: Contrast, own: Mapping[str, Need]) -> tuple[float, float]:
    """Return between which two numbers a contrast of needs lies; the ends may be infinite, and of ratios 0."""
    if isinstance(contrast, Ratio):
        over, under = own[contrast.numerator], own[contrast.denominator]
        return over.low / under.high, over.high / under.low if under.low else math.inf
    terms = [(float(factor), own[arm]) for arm, factor in contrast.coefficients.items()]
    return (
        sum(factor * (need.low if factor > 0 else need.high) for factor, need in terms),
        sum(factor * (need.high if factor > 0 else need.low) for factor, need in terms),
    )


def _levels_by_arm(study: Study, key: str, over: str) -> dict[str, dict[float, str]]:
    """Return the arms by the level of the factor `over`, below the name that they have without it."""
    if over not in study.factors:
        raise StudyError(f"{key}: no such factor; {nearest(over, [EPOCHS, *study.factors])}")
    together = next((group for group in study.zip if over in group), [over])
    conditional = [name for name, needed in study.when.items() if {name, *needed} & set(together)]
    if conditional:
        raise StudyError(f"{key}: it must vary in every arm, and 'when' ties it to {', '.join(conditional)}")
    for level in study.factors[over]:
        if not _is_number(level):
            raise StudyError(f"{key}: its levels must be numbers above 0, and {level!r} is none")
    others = {name: levels for name, levels in study.crossed.items() if name not in together}
    zipped = [group for group in study.zip if group != together]
    found: dict[str, dict[float, str]] = {}
    for whole in cross(others, zipped=zipped, when=study.when):
        found[whole.name] = {
            float(cell.levels[over]): cell.name
            for cell in study.cells
            if all(cell.levels[factor] == level for factor, level in whole.levels.items())
        }
    return found


def _is_number(level: str) -> bool:
    try:
        return 0 < float(level) < math.inf
    except ValueError:
        return False
