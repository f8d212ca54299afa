"""What a study holds equal between its arms, and what its trainings took: as far as the store tells it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from experiments.runs.overrides import override_key
from experiments.studies import wording
from experiments.studies.gather import TRAIN_SECONDS, Gathered
from experiments.studies.study_parts import Budget
from experiments.studies.written import WrittenArm, WrittenStudy


@dataclass(frozen=True)
class Held:
    """What is equal between the arms of a study.

    Attributes:
        budget: what the budget rule holds equal, in words.
        differing: keys of the configuration in which the arms differ: they set them, or the budget rule did.
        declared: further keys in which they may differ.
    """

    budget: str
    differing: tuple[str, ...]
    declared: tuple[str, ...]


def held_equal(written: WrittenStudy) -> Held | None:
    """Return what the study holds equal; `None` for one arm alone, which is compared with nothing."""
    if len(written.arms) == 1:
        return None
    keys = differing_keys(written.arms)
    return Held(_budget(written.study.budget), keys, tuple(key for key in written.study.declared if key not in keys))


def differing_keys(arms: Iterable[WrittenArm]) -> tuple[str, ...]:
    """Return the keys that some arm has another override of than others, or alone has one of; sorted."""
    own: list[Mapping[str, str]] = [{override_key(each): each for each in arm.overrides} for arm in arms]
    keys = {key for overrides in own for key in overrides}
    return tuple(sorted(key for key in keys if len({overrides.get(key) for overrides in own}) > 1))


def seconds_by_run(gathered: Gathered) -> dict[str, float]:
    """Return how long each run of a study has trained, by its identity; whether it counts or not, or is of no arm."""
    runs = (*gathered.comparison.replicates, *gathered.pretrained)
    results = [run.result for run in runs if run.result is not None]
    return {own.identity: own.metrics[TRAIN_SECONDS] for own in results if TRAIN_SECONDS in own.metrics}


def training_said(gathered: Gathered) -> str:
    """Say how long all runs trained together, and on what: `1.7 minutes, summed over 20 runs, on AMD EPYC, 1 thread`.

    The day on which the study was begun follows where the store has told it.
    """
    seconds = list(seconds_by_run(gathered).values())
    if not seconds:
        return ""
    runs = "1 run" if len(seconds) == 1 else f"{len(seconds)} runs"
    machines = " and ".join(dict.fromkeys(found.origin.hardware for found in gathered.environments))
    begun = ""
    if gathered.study_run is not None:
        begun = f"; begun on {datetime.fromtimestamp(gathered.study_run.start, UTC):%Y-%m-%d}"
    return f"{wording.duration(sum(seconds))}, summed over {runs}{f', on {machines}' if machines else ''}{begun}"


def _budget(budget: Budget) -> str:
    if budget.equal in ("parameters", "macs"):
        what = "parameters" if budget.equal == "parameters" else "MACs"
        return f"epochs, and {what} to {100 * budget.tolerance:g} %, solved for by {budget.by}"
    if budget.equal == "wall_time":
        return f"time of training, {budget.minutes:g} minutes"
    if budget.equal == "samples":
        return "samples seen in training" if budget.samples is None else f"{budget.samples:,} samples seen in training"
    return "epochs"
