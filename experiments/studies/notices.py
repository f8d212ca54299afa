"""What may mislead in a study though nothing is wrong with it: said in the plan, in one line each."""

from collections.abc import Iterator, Sequence

from omegaconf import OmegaConf

from experiments.runs.overrides import override_key
from experiments.studies.measured import PREFIX
from experiments.studies.plan import PlannedArm
from experiments.studies.study import Study


def unjudged(study: Study) -> list[str]:
    """Say what a study leaves open by the way it is written: nothing is compared, or nothing is judged."""
    if len(study.arm_names) == 1:
        return [f"{study.arm_names[0]} is the only arm: nothing is compared, and nothing is judged"]
    return [] if study.claims else ["no claims: the arms are compared, and nothing is judged"]


def notices(study: Study, arms: Sequence[PlannedArm]) -> list[str]:
    """Say what has no effect, or another one than it seems to have.

    Args:
        study: what is asked.
        arms: of the study, as it was prepared.
    """
    return [*unjudged(study), *_seeds(study), *_margins(study), *_unused_overrides(study), *_undiffering(study, arms)]


def _seeds(study: Study) -> Iterator[str]:
    # Where a claim is tested, the plan says with its smallest effect that one seed shows nothing.
    tested = [claim for claim in study.claims.values() if not (claim.on or study.metric).startswith(PREFIX)]
    if len(study.seeds) == 1 and not tested:
        yield f"one seed: {study.metric} has no interval; at least two show how much it varies"


def _margins(study: Study) -> Iterator[str]:
    """A margin is a number without unit: of points it is what everyone thinks, of ratios and measures it may not be."""
    for name, claim in study.claims.items():
        on = claim.on or study.metric
        if not claim.margin:
            continue
        if claim.is_ratio:
            if claim.margin >= 1:
                yield f"claims.{name}: margin={claim.margin:g}: of a ratio it is a share, here {claim.margin:.0%}"
        elif claim.over or on.startswith(PREFIX):
            yield f"claims.{name}: margin={claim.margin:g}: in the unit of {claim.over or on}, not in percent"


def _unused_overrides(study: Study) -> Iterator[str]:
    for override in study.overrides:
        key = override_key(override)
        if all(key in map(override_key, cell.overrides) for cell in study.cells):
            yield f"overrides: {override}: without effect, every arm sets {key} itself"


def _undiffering(study: Study, arms: Sequence[PlannedArm]) -> Iterator[str]:
    for key in study.declared:
        values = [OmegaConf.select(arm.cfg, key, default=None) for arm in arms]
        # What is recorded of runs, such as threads, is not known before.
        if any(value is not None for value in values) and all(value == values[0] for value in values):
            yield f"declared: {key}: the arms do not differ in it"
