"""Sending what a journal holds to an MLflow store: in order, in few large calls, and as often as need be.

The journal is the queue: what the store has is a position in it. A record that is sent twice (a crash between the
store's answer and the writing down of the position) changes nothing, because MLflow takes a metric of equal name, step,
time and value, a parameter of equal value, a tag and a data set for the one that it has.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from experiments.tracking.card import CardFile, RunCard
from experiments.tracking.entities import Batch, entities_of
from experiments.tracking.journal import FILE_NAME as JOURNAL_NAME
from experiments.tracking.journal import count_lines, read_records
from experiments.tracking.parents import PARENT_TAG, parents_key
from experiments.tracking.records import Artifact, DatasetInput, Ended, Metrics, Opened, Params, Tags
from experiments.tracking.store import Store
from experiments.tracking.store_errors import RefusedError, RunGoneError, StoreAwayError

REASON_TAG = "whydeep.reason"
REFUSED_TAG = "whydeep.refused"

_ARTIFACT_WAIT_SECONDS = (10.0, 600.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """What the store has of a run.

    Attributes:
        sent: records that it has.
        pending: records that it does not have yet; ``whydeep sync`` sends them.
        error: why not, in one line; None when nothing is pending.
    """

    sent: int
    pending: int
    error: str | None


def delivered(card_file: CardFile, error: str | None) -> Delivery:
    """Count what was sent and what was not."""
    card, journal = card_file.card, card_file.run_dir / JOURNAL_NAME
    after = count_lines(journal, card.sent)
    pending = after + len(card.deferred) + (card.parent is not None)
    return Delivery(
        sent=count_lines(journal) - pending,
        pending=pending,
        error=(error or _why_pending(card, after)) if pending else None,
    )


def _why_pending(card: RunCard, after: int) -> str:
    if card.parent is not None and not after and not card.deferred:
        return "the store does not have the run that it nests under yet"
    return "the time to send it was over"


class Sender:
    """Sends one run's journal to one store.

    Args:
        card_file: the run's card; its ``sent`` follows what the store has.
        store: where to.
    """

    def __init__(self, card_file: CardFile, store: Store) -> None:
        self._card_file = card_file
        self._store = store
        self._journal = card_file.run_dir / JOURNAL_NAME
        self._creation_in_doubt = False
        self._artifact_wait, self._next_artifacts = _ARTIFACT_WAIT_SECONDS[0], 0.0
        shown = store.destination.shown_uri
        if card_file.card.uri != shown:
            # Another store, or the same one at another address: what it has is found out by the run's key.
            if card_file.card.run_id is not None:
                _log.warning(
                    "%s was recorded in %s until now, and is sent to %s from its beginning",
                    card_file.run_dir,
                    card_file.card.uri,
                    shown,
                )
            card_file.send_again(uri=shown, artifact_root=store.destination.artifact_root)

    def send(self, may_go_on: Callable[[], bool] = lambda: True) -> None:
        """Send what the journal holds now.

        Args:
            may_go_on: asked before each record; False leaves the rest for later.

        Raises:
            StoreAwayError: the store did not take all; nothing is lost, and the next call goes on from there.
        """
        try:
            self._send(may_go_on)
        except RunGoneError:
            # Somebody emptied the store, or put another one in its place: the journal can tell it everything again.
            self._card_file.send_again()
            try:
                self._send(may_go_on)
            except (RunGoneError, RefusedError) as error:
                raise StoreAwayError(str(error)) from error
        except RefusedError as error:
            # Not a record, but the run itself, such as an experiment's name: what is kept can go to another store.
            raise StoreAwayError(str(error)) from error

    def retry_artifacts_now(self) -> None:
        """Try artifacts that were put off at the next ``send``, however lately they failed."""
        self._next_artifacts = 0.0

    def _send(self, may_go_on: Callable[[], bool]) -> None:
        run_id = self._run_id()
        batch, position = Batch(), self._card_file.card.sent
        for end, record in read_records(self._journal, position):
            if not may_go_on():
                break
            if isinstance(record, Metrics | Params) or (
                isinstance(record, Tags) and None not in record.values.values()
            ):
                for entity in entities_of(self._without_key(record) if isinstance(record, Tags) else record):
                    batch.add(entity)
                    if batch.is_full():
                        self._send_batch(run_id, batch)
                        batch = Batch()
                        self._card_file.update(sent=position)
            else:
                self._send_batch(run_id, batch)
                batch = Batch()
                self._card_file.update(sent=position)
                self._send_single(run_id, record)
                self._card_file.update(sent=end)
            position = end
        self._send_batch(run_id, batch)
        if position != self._card_file.card.sent:
            self._card_file.update(sent=position)
        self._send_deferred(run_id, may_go_on)
        self._send_parent(run_id)

    def _run_id(self) -> str:
        card = self._card_file.card
        if card.run_id is not None:
            return card.run_id
        opened = next((record for _, record in read_records(self._journal) if isinstance(record, Opened)), None)
        if opened is None:
            raise StoreAwayError(f"{self._journal}: nothing is written yet")
        experiment_id = self._store.experiment_id(card.experiment)
        found = self._store.runs_with_key(experiment_id, card.key)
        if found:
            run_id = found[0]
            self._creation_in_doubt = len(found) > 1
        else:
            try:
                run_id = self._store.create_run(experiment_id, card.key, card.name, opened.time)
            except StoreAwayError:
                self._creation_in_doubt = True
                raise
        self._card_file.update(experiment_id=experiment_id, run_id=run_id)
        return run_id

    def _send_batch(self, run_id: str, batch: Batch) -> None:
        halves = batch.halves()
        if halves is None:
            return
        try:
            self._store.log_batch(run_id, batch)
        except RefusedError as error:
            self._store.check_writable(run_id)
            if isinstance(halves, tuple):
                for half in halves:
                    self._send_batch(run_id, half)
            else:
                self._report_refusal(run_id, halves.key, error)

    def _without_key(self, record: Tags) -> Tags:
        """Take a parent's key out of a record, to be sent as a run id after all else."""
        if PARENT_TAG not in record.values:
            return record
        key = parents_key(record.values[PARENT_TAG])
        self._card_file.update(parent=key)
        if key is None:
            return record
        return Tags(record.time, {name: value for name, value in record.values.items() if name != PARENT_TAG})

    def _send_parent(self, run_id: str) -> None:
        card = self._card_file.card
        if card.parent is None or card.experiment_id is None:
            return
        found = self._store.runs_with_key(card.experiment_id, card.parent)
        if found:
            self._send_batch(run_id, batch_of(Tags(0.0, {PARENT_TAG: found[0]})))
            self._card_file.update(parent=None)

    def _send_single(self, run_id: str, record: Opened | Tags | Artifact | DatasetInput | Ended) -> None:
        match record:
            case Opened():
                if record.session > 1:
                    self._store.set_running(run_id)
                    self._store.delete_tag(run_id, REASON_TAG)
            case Tags():
                self._send_batch(run_id, batch_of(record))
                for name in (name for name, value in record.values.items() if value is None):
                    self._store.delete_tag(run_id, name)
            case Artifact():
                self._send_artifact(run_id, record)
            case DatasetInput():
                self._send_dataset(run_id, record)
            case Ended():
                if record.reason is not None:
                    self._send_batch(run_id, batch_of(Tags(record.time, {REASON_TAG: record.reason})))
                self._store.set_ended(run_id, record.status, record.time)
                self._remove_doubles(run_id)

    def _send_dataset(self, run_id: str, record: DatasetInput) -> None:
        try:
            self._store.log_dataset(run_id, record)
        except RefusedError as error:
            self._store.check_writable(run_id)
            self._report_refusal(run_id, record.name, error)

    def _send_artifact(self, run_id: str, record: Artifact) -> None:
        artifact = (record.path, record.folder)
        if not self._upload(run_id, *artifact):
            others = tuple(pair for pair in self._card_file.card.deferred if pair != artifact)
            self._card_file.update(deferred=(*others, artifact))

    def _upload(self, run_id: str, path: str, folder: str) -> bool:
        try:
            self._store.log_artifact(run_id, self._card_file.run_dir / path, folder)
        except StoreAwayError as error:
            # Artifacts often go elsewhere than numbers (an object store): one that fails must not hold the rest back.
            _log.warning("artifact %s waits: %s", path, error)
            self._next_artifacts = time.monotonic() + self._artifact_wait
            self._artifact_wait = min(2 * self._artifact_wait, _ARTIFACT_WAIT_SECONDS[1])
            return False
        except RefusedError as error:
            self._report_refusal(run_id, path, error)
        return True

    def _send_deferred(self, run_id: str, may_go_on: Callable[[], bool]) -> None:
        waiting = self._card_file.card.deferred
        if waiting and time.monotonic() >= self._next_artifacts:
            left = tuple(pair for pair in waiting if not (may_go_on() and self._upload(run_id, *pair)))
            self._card_file.update(deferred=left)

    def _report_refusal(self, run_id: str, what: str, error: RefusedError) -> None:
        _log.warning("MLflow refuses %s, which is in %s only: %s", what, self._journal, error)
        with contextlib.suppress(RefusedError):
            self._store.log_batch(run_id, batch_of(Tags(0.0, {REFUSED_TAG: f"{what}: {error}"})))

    def _remove_doubles(self, run_id: str) -> None:
        # A run whose creation was answered too late, or never, exists twice: the other one is empty.
        card = self._card_file.card
        if not self._creation_in_doubt or card.experiment_id is None:
            return
        for other in self._store.runs_with_key(card.experiment_id, card.key):
            if other != run_id:
                self._store.delete_run(other)
        self._creation_in_doubt = False


def batch_of(tags: Tags) -> Batch:
    """Tags as one call takes them."""
    batch = Batch()
    for entity in entities_of(tags):
        batch.add(entity)
    return batch
