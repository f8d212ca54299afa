"""Why the processes of a run ended: each writes it down, and what ended the first of them is what ended the run."""

import contextlib
import json
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from datamodules.errors import DataError
from experiments.errors import UserError
from experiments.runs import processes
from experiments.runs.callbacks import RunFailed, RunKilled
from experiments.runs.result import RunResult, Status
from experiments.tracking.credentials import masked

FOLDER = "endings"


@dataclass(frozen=True)
class Ending:
    """How one process of a run ended before the run was complete.

    `time` is in seconds since the epoch; `signal_number` is that of the signal that stopped it; `mistake` says that
    nothing was run, because what was asked cannot be; `crashed` that it may go well the next time.
    """

    rank: int
    status: Status
    reason: str
    time: float
    signal_number: int | None = None
    mistake: bool = False
    crashed: bool = False


class Endings:
    """The endings of the processes that run one session of a run.

    Args:
        run_dir: of the run; all processes must see it.
        session: tells these processes from those of other sessions.
    """

    def __init__(self, run_dir: Path, session: str) -> None:
        self.session = session
        self._folder = run_dir / FOLDER

    def write(self, ending: Ending) -> None:
        """Write down how this process ended, whole or not at all. Call it before it leaves the others alone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self.session}-{ending.rank}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(ending)) + "\n", encoding="utf-8")
        fresh.replace(path)

    def first(self) -> Ending | None:
        """Return the ending that the others followed from; `None` when none was written."""
        endings = [Ending(**json.loads(path.read_text(encoding="utf-8"))) for path in self._files()]
        return min(endings, key=lambda ending: ending.time, default=None)

    def forget(self) -> None:
        """Remove what the processes of this session have written."""
        _remove(self._folder, self._files())

    def forget_others(self) -> None:
        """Remove what earlier sessions have left; call it where no other session can be."""
        _remove(self._folder, sorted(set(self._folder.glob("*.json")) - set(self._files())))

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self.session}-*.json"))


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


def _remove(folder: Path, files: list[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
    # What is not empty stays.
    with contextlib.suppress(OSError):
        folder.rmdir()
