"""Beginning to record a run, or going on with one."""

import contextlib
import getpass
import re
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time as now

from experiments.errors import UserError
from experiments.tracking.card import CardFile, RunCard, continued_card
from experiments.tracking.history import read_history
from experiments.tracking.journal import FILE_NAME as JOURNAL_NAME
from experiments.tracking.journal import Journal
from experiments.tracking.locks import AlreadyLockedError, RunLock, this_process
from experiments.tracking.options import TrackingOptions
from experiments.tracking.records import Opened, encode
from experiments.tracking.shipper import Shipper
from experiments.tracking.store import Store
from experiments.tracking.tracker import RunTracker
from experiments.tracking.writer import JournalWriter

SESSIONS_TAG = "whydeep.sessions"


def open_run(
    run_dir: Path, options: TrackingOptions, *, name: str, tags: Mapping[str, str], leftovers: Sequence[Path] = ()
) -> RunTracker:
    """Begin to record a run, or go on with the one that ``run_dir`` holds: under the same MLflow run id.

    Returns at once; the store is made, and the run created in it, in the background.

    Args:
        run_dir: the run's own directory, made if need be.
        options: where and how to record.
        name: the run's name; a run that goes on keeps the one that it has.
        tags: the run's first tags; ``mlflow.parentRunId`` makes it a child, see `parents`.
        leftovers: directories of dead runs (what ``reconcile`` returned); the rest of those that are recorded in the
            same store is sent in the background too.

    Raises:
        UserError: another process writes this run, or the store's address cannot be used.
    """
    destination = options.destination() if options.deliver else None
    run_dir = run_dir.resolve()
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        lock = RunLock(run_dir)
    except AlreadyLockedError as error:
        raise written_by(run_dir, str(error)) from None
    try:
        journal = Journal(run_dir / JOURNAL_NAME)
        history = read_history(run_dir / JOURNAL_NAME)
        card = RunCard(key=uuid.uuid4().hex, name=name, experiment=options.experiment)
        if history.opened is not None:
            card = continued_card(run_dir, history.opened, journal.size)
        card_file = CardFile(run_dir, card)
        card_file.update(status="RUNNING", reason=None)
        session = history.sessions + 1
        journal.append(encode(Opened(now(), card.key, card.name, card.experiment, session, this_process())))
        journal.sync()
    except BaseException:
        lock.release()
        raise
    writer = JournalWriter(journal, history.replay, {tag for tag, value in history.tags.items() if value})
    store = None if destination is None else Store(destination, options.timeout_seconds)
    shipper = None if store is None else Shipper(card_file, store, options, leftovers)
    tracker = RunTracker(lock, card_file, writer, shipper, history, options.flush_seconds)
    tracker.tags({**_origin(), **({SESSIONS_TAG: str(session)} if session > 1 else {}), **tags})
    return tracker


class BusyError(UserError):
    """Another process writes the run."""


def written_by(run_dir: Path, holder: str) -> BusyError:
    """Return what is said to whoever wants to write a run that another process writes."""
    return BusyError(
        f"run_dir={run_dir}: another process ({holder}) is writing this run; wait until it has ended, "
        "or choose another directory"
    )


def _origin() -> dict[str, str]:
    command = re.sub(r"\.py$", "", Path(sys.argv[0]).name) or "python"
    origin = {"mlflow.source.type": "LOCAL", "mlflow.source.name": command}
    # A container may run under a user id that has no name.
    with contextlib.suppress(OSError, KeyError, ImportError):
        origin["mlflow.user"] = getpass.getuser()
    return origin
