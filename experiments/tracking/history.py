"""What an earlier session of the same run wrote in its journal, as far as the next one must know it."""

from dataclasses import dataclass, field
from pathlib import Path

from experiments.tracking.journal import read_records
from experiments.tracking.records import Ended, Metrics, Opened, Params, Record, Status, Tags, beginning, decode
from experiments.tracking.replay import Replay

_OPENED, _METRICS = beginning(Opened), beginning(Metrics)


@dataclass
class History:
    """The story of a run so far.

    Attributes:
        opened: the first session's first record; None for a new run.
        sessions: how many processes have written.
        status: how the last of them left the run; RUNNING where it did not say.
        reason: why it FAILED or was KILLED.
        last_time: seconds since the epoch of the last record.
        params: all parameters.
        tags: the last value of each tag.
        replay: the metrics.
    """

    opened: Opened | None = None
    sessions: int = 0
    status: Status = "RUNNING"
    reason: str | None = None
    last_time: float = 0.0
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str | None] = field(default_factory=dict)
    replay: Replay = field(default_factory=Replay)


def seconds_spent(journal: Path) -> float | None:
    """Return how long a run was executed until its last metric, pauses between its sessions left out.

    From the first record of each session to its last metric: what was tagged or sent later took no time of the run.
    `None` where the journal is missing or has no metric.
    """
    if not journal.exists():
        return None
    spent = 0.0
    last: Record | None = None
    # Backwards, and decoding two lines of a session: a plan asks this of thousands of runs.
    for line in reversed(journal.read_bytes().split(b"\n")[:-1]):
        if line.startswith(_METRICS) and last is None:
            last = decode(line)
        elif line.startswith(_OPENED) and (opened := decode(line)) is not None:
            spent += 0.0 if last is None else last.time - opened.time
            last = None
    return spent or None


def read_history(journal: Path) -> History:
    """Read a journal from beginning to end; a missing one gives an empty history."""
    history = History()
    if not journal.exists():
        return history
    for _, record in read_records(journal):
        history.last_time = record.time
        match record:
            case Metrics():
                history.replay.remember(record)
            case Opened():
                history.opened = history.opened or record
                history.sessions += 1
                history.status, history.reason = "RUNNING", None
            case Ended():
                history.status, history.reason = record.status, record.reason
            case Params():
                history.params.update(record.values)
            case Tags():
                history.tags.update(record.values)
            case _:
                pass
    history.replay.prepare()
    return history
