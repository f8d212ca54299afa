"""Runs whose process is gone: telling them from living ones, and sending what they left behind."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import time

from experiments.tracking.card import CardFile, RunCard, read_card, run_dirs
from experiments.tracking.delivery import REASON_TAG, Delivery, Sender, delivered
from experiments.tracking.history import read_history
from experiments.tracking.journal import FILE_NAME as JOURNAL_NAME
from experiments.tracking.journal import Journal, read_records, whole_size
from experiments.tracking.locks import AlreadyLockedError, RunLock
from experiments.tracking.options import TrackingOptions
from experiments.tracking.records import Artifact, Ended, FinalStatus, Record, Tags, encode
from experiments.tracking.store import Store
from experiments.tracking.store_errors import StoreAwayError


@dataclass(frozen=True)
class Proof:
    """How a run ended whose process died before it could end the record; `file` is its last artifact, if it has one."""

    status: FinalStatus
    reason: str | None
    file: Path | None


def _none(_: Path) -> Proof | None:
    return None


def reconcile(runs_dir: Path, proof: Callable[[Path], Proof | None] = _none) -> list[Path]:
    """Mark runs that say RUNNING but whose process is dead as KILLED, in their journals; living runs are not touched.

    Args:
        runs_dir: the folder of all runs.
        proof: how a run shows that it had ended before its process died; such a run is marked as it ended.

    Returns:
        The directories of the runs that were marked, for ``open_run(leftovers=...)`` or ``whydeep sync`` to send.
    """
    return [
        run_dir
        for run_dir in run_dirs(runs_dir)
        if (card := read_card(run_dir)) is not None
        and card.status == "RUNNING"
        and (run_dir / JOURNAL_NAME).exists()
        and _bury(run_dir, card, proof)
    ]


def has_pending(run_dir: Path) -> bool:
    """Whether a run has something that its store does not have; cheap enough for ten thousand runs."""
    card = read_card(run_dir)
    return card is not None and (
        card.sent < whole_size(run_dir / JOURNAL_NAME) or bool(card.deferred) or card.parent is not None
    )


def began(run_dir: Path) -> float:
    """When a run's first process began it, in seconds since the epoch; 0 where its journal does not say."""
    _, first = next(read_records(run_dir / JOURNAL_NAME), (0, None))
    return 0.0 if first is None else first.time


def has_journal(run_dir: Path) -> bool:
    """Whether a run can be told again from its beginning; one that was fetched from a store cannot."""
    return (run_dir / JOURNAL_NAME).exists()


def send_leftover(run_dir: Path, store: Store, *, lost: bool = False) -> Delivery | None:
    """Send the rest of a run that nobody writes any more.

    Args:
        run_dir: of the run.
        store: where to.
        lost: the store does not have what it was sent before, so that all is sent again.

    Returns:
        What the store has now; None when a living process has the run.
    """
    try:
        lock = RunLock(run_dir)
    except AlreadyLockedError:
        return None
    try:
        card = read_card(run_dir)
        if card is None:
            return None
        error = None
        card_file = CardFile(run_dir, card)
        if lost:
            card_file.send_again()
        try:
            Sender(card_file, store).send()
        except StoreAwayError as away:
            error = str(away)
        return delivered(card_file, error)
    finally:
        lock.release()


def end_left_run(
    run_dir: Path, options: TrackingOptions, status: FinalStatus, reason: str | None, *, proof: Path | None = None
) -> RunCard | None:
    """Say how a run ended whose process could not say so, or did not know; and send it.

    Args:
        run_dir: of the run.
        options: where it is sent.
        status: how it ended.
        reason: why, where it did not finish.
        proof: its last artifact, where it has one.

    Returns:
        The run's card; None when nothing was ever recorded, or a living process has the run.
    """
    try:
        lock = RunLock(run_dir)
    except (AlreadyLockedError, OSError):
        return None
    try:
        path = run_dir / JOURNAL_NAME
        history = read_history(path)
        card = read_card(run_dir)
        if card is None or history.opened is None:
            return None
        if (history.status, history.reason) != (status, reason):
            # Somebody may have given a reason since, who took it for dead.
            before: list[Record] = [Tags(time(), {REASON_TAG: None})] if reason is None else []
            if proof is not None:
                before.append(Artifact(time(), proof.name, ""))
            _append(path, *before, Ended(time(), status, reason))
        if (card.status, card.reason) != (status, reason):
            # Also of a run whose process died between its last record and its card.
            CardFile(run_dir, replace(card, status=status, reason=reason)).update()
    finally:
        lock.release()
    if options.deliver:
        send_leftover(run_dir, Store(options.destination(), options.timeout_seconds))
    return read_card(run_dir)


def _bury(run_dir: Path, card: RunCard, proof: Callable[[Path], Proof | None]) -> bool:
    try:
        lock = RunLock(run_dir)
    except (AlreadyLockedError, OSError):
        # Alive, or somebody else's: either way not ours to end.
        return False
    try:
        path = run_dir / JOURNAL_NAME
        history = read_history(path)
        status, reason = history.status, history.reason
        killed = status == "RUNNING"
        if killed and history.opened is None:
            status, reason = "KILLED", "the process died before it recorded anything"
        elif killed and (shown := proof(run_dir)) is not None:
            end, status, reason = history.last_time or time(), shown.status, shown.reason
            last = [] if shown.file is None else [Artifact(end, shown.file.name, "")]
            _append(path, *last, Ended(end, shown.status, reason))
        elif killed:
            end = history.last_time or time()
            said = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            status, reason = "KILLED", f"the process died without a word; the last that it recorded was at {said}"
            _append(path, Ended(end, status, reason))
        CardFile(run_dir, replace(card, status=status, reason=reason)).update()
    except OSError:
        # A full disk: the next command finds the run as it is.
        return False
    else:
        return killed
    finally:
        lock.release()


def _append(path: Path, *records: Record) -> None:
    journal = Journal(path)
    try:
        journal.append(b"".join(map(encode, records)))
        journal.sync()
    finally:
        journal.close()
