"""The small file beside a journal that says what the run is called, where it is recorded and how much was sent."""

import dataclasses
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.tracking.journal import FILE_NAME as JOURNAL_NAME
from experiments.tracking.journal import read_records
from experiments.tracking.records import Ended, Opened, Status

FILE_NAME = "tracking.json"
_SKIPPED_FOLDERS = {"artifacts"}
_DEEPEST = 6


@dataclass(frozen=True)
class RunCard:
    """What is known of a run without reading its journal.

    Attributes:
        key: the run's own key, a tag in the store.
        name: the run's name.
        status: as the journal tells it.
        reason: why it is FAILED or KILLED.
        uri: the store that the run is recorded in, without a password; None until it has one.
        artifact_root: where that store was told to keep artifacts; None for the store's own choice.
        experiment: the MLflow experiment's name.
        experiment_id: its id, once the store has answered.
        run_id: the MLflow run id, once the store has answered.
        sent: bytes of the journal that the store has.
        deferred: artifacts that the store would not take when their turn came, as (path, folder).
        parent: key of the run that this one is to nest under, while the store does not have that run.
    """

    key: str
    name: str
    experiment: str
    status: Status = "RUNNING"
    reason: str | None = None
    uri: str | None = None
    artifact_root: str | None = None
    experiment_id: str | None = None
    run_id: str | None = None
    sent: int = 0
    deferred: tuple[tuple[str, str], ...] = ()
    parent: str | None = None


class CardFile:
    """The card of one run directory, written as a whole each time: a reader sees the old one or the new one."""

    def __init__(self, run_dir: Path, card: RunCard) -> None:
        self.run_dir = run_dir
        self.card = card
        self._lock = threading.Lock()
        self._closed = False

    def update(self, **changes: object) -> None:
        """Change fields and write the card.

        A full disk must not end a training, and the journal can tell everything again, so a write that fails is let go.
        """
        with self._lock:
            if self._closed:
                return
            self.card = dataclasses.replace(self.card, **changes)  # type: ignore[arg-type]
            path = self.run_dir / FILE_NAME
            draft = path.with_suffix(f".{os.getpid()}.tmp")
            try:
                draft.write_text(json.dumps(dataclasses.asdict(self.card), indent=1) + "\n")
                draft.replace(path)
            except OSError:
                draft.unlink(missing_ok=True)

    def send_again(self, **changes: object) -> None:
        """Note that the store has nothing of the run, whatever it had: all of the journal is to be sent."""
        self.update(experiment_id=None, run_id=None, sent=0, deferred=(), parent=None, **changes)

    def close(self) -> None:
        """Change nothing any more: from here on the file may be another process's."""
        with self._lock:
            self._closed = True


def read_card(run_dir: Path) -> RunCard | None:
    """The card of a run directory; told by its journal where the file is missing or damaged; None without either."""
    try:
        fields = json.loads((run_dir / FILE_NAME).read_text())
        deferred = tuple((path, folder) for path, folder in fields.pop("deferred"))
        return RunCard(**fields, deferred=deferred)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return _card_from_journal(run_dir / JOURNAL_NAME)


def continued_card(run_dir: Path, opened: Opened, journal_bytes: int) -> RunCard:
    """The card of a run that goes on; made anew from its first record where the file has none of this run."""
    known = read_card(run_dir)
    if known is None or known.key != opened.key:
        return RunCard(key=opened.key, name=opened.name, experiment=opened.experiment)
    # After a power cut the journal may have lost lines that the store has.
    return dataclasses.replace(known, sent=min(known.sent, journal_bytes))


def run_dirs(runs_dir: Path) -> Iterator[Path]:
    """Every run directory under ``runs_dir``, in the order of their names."""
    yield from _walk(runs_dir, 0)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    if any(entry.name in {FILE_NAME, JOURNAL_NAME} for entry in entries):
        yield folder
    elif depth < _DEEPEST:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and entry.name not in _SKIPPED_FOLDERS:
                yield from _walk(Path(entry.path), depth + 1)


def _card_from_journal(journal: Path) -> RunCard | None:
    card: RunCard | None = None
    try:
        for _, record in read_records(journal):
            if isinstance(record, Opened):
                if card is None:
                    card = RunCard(key=record.key, name=record.name, experiment=record.experiment)
                card = dataclasses.replace(card, status="RUNNING", reason=None)
            elif isinstance(record, Ended) and card is not None:
                card = dataclasses.replace(card, status=record.status, reason=record.reason)
    except OSError:
        return None
    return card
