"""What is found out about a run after it has ended: said in its journal, and to its store."""

from collections.abc import Mapping
from pathlib import Path
from time import time

from experiments.tracking.card import RunCard, read_card
from experiments.tracking.journal import FILE_NAME as JOURNAL_NAME
from experiments.tracking.journal import Journal
from experiments.tracking.leftovers import send_leftover
from experiments.tracking.locks import AlreadyLockedError, RunLock
from experiments.tracking.options import TrackingOptions
from experiments.tracking.records import Tags, encode
from experiments.tracking.store import Store


def tag_ended_run(run_dir: Path, options: TrackingOptions, tags: Mapping[str, str]) -> RunCard | None:
    """Give a run that has ended further tags; its status stays as it is.

    Returns:
        The run's card; None when it has no journal, or a living process writes it.
    """
    if not (run_dir / JOURNAL_NAME).exists():
        return None
    try:
        lock = RunLock(run_dir)
    except (AlreadyLockedError, OSError):
        return None
    try:
        journal = Journal(run_dir / JOURNAL_NAME)
        journal.append(encode(Tags(time(), dict(tags))))
        journal.sync()
        journal.close()
    finally:
        lock.release()
    if options.deliver:
        send_leftover(run_dir, Store(options.destination(), options.timeout_seconds))
    return read_card(run_dir)
