"""What a study would still take: minutes and disk, from past runs where there are any, else from a timed probe."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from experiments.runs.probe import forecast_seconds, time_looks, time_steps
from experiments.runs.result import RunResult
from experiments.studies.job import reason_of
from experiments.studies.state import ArmState
from experiments.tracking.history import seconds_spent
from experiments.tracking.journal import FILE_NAME as JOURNAL_NAME

# Before its first record a run is built, after its last metric it draws pictures: these take this much.
PICTURE_BYTES = 400_000
RECORD_SECONDS = 2.0
# Weights and momentum of the last checkpoint, weights of the best one (and the copy of it in the artifacts).
CHECKPOINT_COPIES = 4
ENOUGH_PAST_RUNS = 20


@dataclass(frozen=True)
class Forecast:
    """What one more run of an arm takes.

    Attributes:
        seconds: from beginning to end.
        bytes: on disk.
        source: past runs of the arm, or a probe.
        failure: why the probe ended, where it did: `seconds` are 0 then, and its runs will hardly fare better.
    """

    seconds: float
    bytes: float
    source: Literal["past runs", "probe"]
    failure: str | None = None


def forecast(state: ArmState, tell: Callable[[str], None] = lambda _: None) -> Forecast:
    """Forecast a run of an arm from runs of it that are done (or were, before they became stale), else from a probe.

    Args:
        state: of the arm.
        tell: gets the arm's name where it is timed, which takes some seconds.
    """
    finished = (one.result for one in state.replicates if one.result and one.kind in ("done", "stale"))
    past = ((taken, run.run_dir) for run in finished if (taken := _seconds(run)) is not None)
    timed = list(islice(past, ENOUGH_PAST_RUNS))
    if timed:
        # Of one arm's runs the files are about as large; looking at all of thousands takes longer than the rest.
        seconds, needed = statistics.median(taken for taken, _ in timed), _bytes(timed[0][1])
        return Forecast(seconds + RECORD_SECONDS, needed, "past runs")
    assembly = state.assembly
    needed = PICTURE_BYTES + CHECKPOINT_COPIES * assembly.measures.weight_bytes
    tell(state.arm.name)
    try:
        taken = forecast_seconds(assembly, time_steps(assembly), time_looks(assembly)) + RECORD_SECONDS
    except Exception as error:  # noqa: BLE001 - a network that cannot train fails as a run, and the others go on
        return Forecast(0.0, needed, "probe", failure=reason_of(error))
    return Forecast(taken, needed, "probe")


def remaining(state: ArmState) -> int:
    """Return how many runs of an arm are still to be executed."""
    return len(state.replicates) - state.count("done")


def _seconds(result: RunResult) -> float | None:
    """Return how long a run took by its journal: over all its sessions with their looks, and none of what lay between.

    Of one without a journal, which came from a store, how long it trained and tested. The times of its files say
    neither: copying a folder changes them, and continuing a run adds the pause.
    """
    if (spent := seconds_spent(result.run_dir / JOURNAL_NAME)) is not None:
        return spent
    train = result.metrics.get("time/train_seconds")
    return None if train is None else train + result.metrics.get("time/test_seconds", 0.0)


def _bytes(run_dir: Path) -> int:
    return sum(file.stat().st_size for file in run_dir.rglob("*") if file.is_file())


def minutes(states: Sequence[ArmState], forecasts: Sequence[Forecast], workers: int) -> float:
    """Return the minutes that all runs which remain take on that many workers."""
    return spread(
        [one.seconds for state, one in zip(states, forecasts, strict=True) for _ in range(remaining(state))], workers
    )


def spread(seconds: Sequence[float], workers: int) -> float:
    """Return the minutes that runs of so many seconds take on that many workers."""
    # No schedule is shorter than its longest run.
    return max(sum(seconds) / workers, max(seconds, default=0.0)) / 60
