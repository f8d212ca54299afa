"""From what ended a process to how its run ended, and back to what is raised for it."""

import signal
import time
from pathlib import Path

from datamodules.errors import DataError
from experiments.errors import UserError
from experiments.runs import processes
from experiments.runs.callbacks import RunFailed, RunKilled
from experiments.runs.endings import Ending
from experiments.runs.result import RunResult
from experiments.tracking.credentials import masked

# Exceptions whose text was made to be read; where the others come from is kept in the run's log.
SAID = (RunKilled, RunFailed, UserError, DataError, KeyboardInterrupt)


def ending_of(error: BaseException, log: Path | None = None) -> Ending:
    """Return how `error` ends this process; what was not made to be read by a person stands in `log`."""
    said = isinstance(error, SAID) and str(error)
    reason = masked(str(error) if said else f"{type(error).__name__}: {error}".strip())
    if log is not None and not isinstance(error, SAID):
        reason += f" (log: {log})"
    return Ending(
        rank=processes.rank(),
        status="KILLED" if isinstance(error, RunKilled | KeyboardInterrupt) else "FAILED",
        reason=reason,
        time=time.time(),
        signal_number=error.signal_number if isinstance(error, RunKilled) else None,
        mistake=isinstance(error, UserError),
        crashed=is_crash(error),
    )


def is_crash(error: BaseException) -> bool:
    """Whether the machine may be the cause of `error`, so that the same run may go well the next time.

    A file or a connection that failed, or a data loader's process that died. Not memory that is too small, on the
    device or beside it: the same run needs as much again.
    """
    if isinstance(error, RunFailed):
        return error.crashed
    return isinstance(error, OSError) or (isinstance(error, RuntimeError) and "DataLoader worker" in str(error))


def raised_by(ending: Ending, result: RunResult | None, error: BaseException | None = None) -> BaseException:
    """Return what is raised for a run that ended so; `error` is this process's own, if it has one."""
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt()
    if isinstance(error, UserError):
        return UserError(ending.reason)
    if ending.status == "KILLED":
        killed = RunKilled(ending.signal_number or signal.SIGTERM)
        killed.result = result
        return killed
    return RunFailed(ending.reason, result, crashed=ending.crashed)
