"""Executing the runs of a study in this process, one after the other: what fails is noted, the rest goes on."""

import signal
import time
from collections.abc import Callable, Sequence

from experiments.errors import UserError
from experiments.runs.execute import RunFailed, RunKilled
from experiments.runs.result import RunResult
from experiments.studies import wording
from experiments.studies.comparison import Replicate
from experiments.studies.plan import PlannedRun

Execute = Callable[[PlannedRun], RunResult]
Say = Callable[[str], None]


def run_all(
    planned: Sequence[PlannedRun], execute: Execute, metric: str, say: Say
) -> tuple[list[Replicate], int | None]:
    """Execute `planned` in order; an exception ends one run, Ctrl-C or SIGTERM all of them.

    Args:
        planned: the runs.
        execute: runs one of them.
        metric: told of each finished run.
        say: gets one line when a run ends.

    Returns:
        One replicate for each planned run, and the number of the signal that stopped them (`None`: none did).
    """
    replicates: list[Replicate] = []
    for number, run in enumerate(planned, start=1):
        head = f"[{number}/{len(planned)}] {run.arm} seed {run.seed}"
        began = time.perf_counter()
        try:
            result = execute(run)
        except (RunKilled, KeyboardInterrupt) as killed:
            reason = str(killed) or "stopped"
            say(f"{head}: {reason}; the same command continues it")
            signal_number = killed.signal_number if isinstance(killed, RunKilled) else signal.SIGINT
            recorded = killed.result if isinstance(killed, RunKilled) else None
            replicates.append(Replicate(run.arm, run.seed, "KILLED", recorded, reason, tuple(run.command)))
            replicates += [
                Replicate(rest.arm, rest.seed, "NOT RUN", None, "stopped before its turn", tuple(rest.command))
                for rest in planned[number:]
            ]
            return replicates, signal_number
        except Exception as error:  # noqa: BLE001 - whatever ends one run, the others go on
            reason = _reason(error)
            recorded = error.result if isinstance(error, RunFailed) else None
            say(f"{head}: failed: {reason}{'' if recorded is None else f', run {_label(recorded)}'}")
            replicates.append(Replicate(run.arm, run.seed, "FAILED", recorded, reason, tuple(run.command)))
            continue
        say(f"{head}: {_told(result, metric, time.perf_counter() - began)}")
        replicates.append(Replicate(run.arm, run.seed, result.status, result, result.reason, tuple(run.command)))
    return replicates, None


def _reason(error: Exception) -> str:
    """Say in one line what ended a run; the class of an exception that was not made to be read by a person, too."""
    text = " ".join(str(error).split())
    if isinstance(error, RunFailed | UserError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _label(result: RunResult) -> str:
    return result.run_id or result.run_dir.name


def _told(result: RunResult, metric: str, seconds: float) -> str:
    value = result.metrics.get(metric)
    number = "not recorded" if value is None else f"{value:.2f} {wording.metric_unit(metric)}".strip()
    how = "finished before" if result.skipped else f"{seconds:.1f} s"
    return f"{wording.metric_name(metric)} {number}, {how}, run {_label(result)}"
