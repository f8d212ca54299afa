"""How a recorded run stands, without asking any store."""

from dataclasses import dataclass
from pathlib import Path

from experiments.tracking.history import read_history
from experiments.tracking.journal import FILE_NAME as JOURNAL_NAME
from experiments.tracking.locks import is_locked
from experiments.tracking.records import Status


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        status: RUNNING, FINISHED, FAILED or KILLED, as its journal tells.
        reason: why it FAILED or was KILLED.
        alive: whether a process is writing it now; a RUNNING one that is not alive was killed.
        sessions: how many processes have written it.
    """

    status: Status
    reason: str | None
    alive: bool
    sessions: int


def read_status(run_dir: Path) -> RunStatus | None:
    """How the run in a directory stands; None where no run was ever recorded."""
    history = read_history(run_dir / JOURNAL_NAME)
    if history.opened is None:
        return None
    return RunStatus(history.status, history.reason, is_locked(run_dir), history.sessions)
