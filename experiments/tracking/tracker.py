"""Recording one run: everything into its journal at once, and to MLflow in the background."""

import atexit
import contextlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import time as now

from experiments.tracking.card import CardFile
from experiments.tracking.delivery import REASON_TAG, Delivery, delivered
from experiments.tracking.entities import LONG_VALUES
from experiments.tracking.history import History
from experiments.tracking.journal import FILE_NAME as JOURNAL_NAME
from experiments.tracking.limits import PARAM_CHARACTERS, TAG_CHARACTERS, sent_name
from experiments.tracking.locks import RunLock
from experiments.tracking.parameters import flatten
from experiments.tracking.records import (
    Artifact,
    DatasetInput,
    Ended,
    FinalStatus,
    Metrics,
    Params,
    Tags,
)
from experiments.tracking.shipper import Shipper
from experiments.tracking.writer import JournalWriter

CHANGED_PARAMS_TAG = "whydeep.changed_params"

_log = logging.getLogger(__name__)


class RunTracker:
    """What a run says about itself. Made by `opening.open_run`; ``finish`` ends it.

    No method waits for the tracking store, but ``wait_for_run_id`` and ``finish``; none fails because of it.
    """

    def __init__(
        self,
        lock: RunLock,
        card_file: CardFile,
        writer: JournalWriter,
        shipper: Shipper | None,
        history: History,
        flush_seconds: float,
    ) -> None:
        self.run_dir = card_file.run_dir
        self._lock = lock
        self._card_file = card_file
        self._writer = writer
        self._shipper = shipper
        # 1 for the process that began the run, 2 for the first that continues it, and so on.
        self.session = history.sessions + 1
        self._params = history.params
        self._tags = history.tags
        self._flush_seconds = flush_seconds
        self._process = os.getpid()
        atexit.register(self._leave)

    @property
    def name(self) -> str:
        """The run's name."""
        return self._card_file.card.name

    @property
    def key(self) -> str:
        """What the run is found by before the store has given it an id; see `parents`."""
        return self._card_file.card.key

    @property
    def experiment_id(self) -> str | None:
        """The id of the MLflow experiment; None until the store has answered."""
        return self._card_file.card.experiment_id

    @property
    def run_id(self) -> str | None:
        """The MLflow run id; None until the store has answered."""
        return self._card_file.card.run_id

    def wait_for_run_id(self, seconds: float) -> str | None:
        """The MLflow run id, waited for; None if the store has not answered in time, or there is none."""
        if self._shipper is not None:
            self._shipper.answered.wait(seconds)
        return self.run_id

    def params(self, values: Mapping[str, object]) -> None:
        """Record parameters, nested ones under names joined by dots, of any length.

        MLflow shows values of up to 6000 characters; a longer one is whole among the artifacts, in ``long_values``.
        A parameter never changes: another value on resume keeps the first one and is named in a tag and a warning.
        """
        flat = dict(flatten(values))
        new = {key: value for key, value in flat.items() if key not in self._params}
        changed = {key: value for key, value in flat.items() if self._params.get(key, value) != value}
        if changed:
            text = "; ".join(f"{key}: {self._params[key]} -> {value}" for key, value in changed.items())
            _log.warning(
                "%s goes on with other settings; its parameters in MLflow stay as they were: %s", self.name, text
            )
            self.tags({CHANGED_PARAMS_TAG: text})
        if new:
            self._params.update(new)
            self._writer.put(Params(now(), new))
            self._keep_long("params", new, PARAM_CHARACTERS)

    def tags(self, values: Mapping[str, str]) -> None:
        """Record tags; a later value replaces an earlier one.

        MLflow shows values of up to 8000 characters; a longer one is whole among the artifacts, in ``long_values``.
        """
        new = {key: value for key, value in values.items() if self._tags.get(key) != value}
        if new:
            self._tags.update(new)
            self._writer.put(Tags(now(), new))
            self._keep_long("tags", new, TAG_CHARACTERS)

    def metrics(self, values: Mapping[str, float], *, step: int, time: float | None = None) -> None:
        """Record numbers of one step, in a few microseconds.

        Args:
            values: number by name; NaN and infinities are recorded as they are.
            step: the training step or epoch.
            time: seconds since the epoch; None for now.

        Raises:
            TypeError, ValueError: a value is not a number.
        """
        numbers = {key: float(value) for key, value in values.items()}
        self._writer.put(Metrics(now() if time is None else time, int(step), numbers))

    def artifact(self, path: Path, folder: str = "") -> None:
        """Record a file, or what a folder holds, of the run directory.

        Args:
            path: the file; it must stay until it has been sent, and is sent as it is then.
            folder: artifact folder to put it in, with ``/`` between levels; "" for the top.

        Raises:
            ValueError: ``path`` is not in the run directory.
            FileNotFoundError: there is no such file.
        """
        full = path.resolve()
        if not full.is_relative_to(self.run_dir):
            raise ValueError(f"{path} is not in the run's directory {self.run_dir}")
        if not full.exists():
            raise FileNotFoundError(f"no artifact at {path}")
        self._writer.put(Artifact(now(), full.relative_to(self.run_dir).as_posix(), folder))

    def dataset(
        self,
        *,
        name: str,
        digest: str,
        context: str,
        source: str,
        profile: Mapping[str, object] | None = None,
        schema: Mapping[str, object] | None = None,
    ) -> None:
        """Record a data set that the run reads.

        Args:
            name: such as ``cifar10``.
            digest: of the content. MLflow keeps 36 characters; the whole is put into the profile. MLflow knows a data
                set by name and digest together: two splits need different digests, or names, to be shown both.
            context: what it is read for: ``train``, ``val``, ``test``.
            source: folder or address that it comes from.
            profile: facts about it, such as ``{"num_rows": 45000}``.
            schema: its columns, in MLflow's notation.
        """
        profile_text = json.dumps({**(profile or {}), "digest": digest})
        schema_text = None if schema is None else json.dumps(schema)
        record = DatasetInput(now(), name, digest, context, json.dumps({"uri": source}), schema_text, profile_text)
        self._writer.put(record)

    def description(self, markdown: str) -> None:
        """Set the run's description; MLflow renders it as markdown."""
        self.tags({"mlflow.note.content": markdown})

    def flush(self) -> None:
        """Wait until all of the above is in the journal. Call it before a checkpoint is written.

        Otherwise a process killed right after would resume behind metrics that it never recorded.

        Raises:
            OSError: the journal cannot be written (a full disk).
        """
        self._writer.flush()

    def finish(self, status: FinalStatus, reason: str | None = None) -> Delivery:
        """End the run with its true status, and send what is left for at most ``flush_seconds``.

        Args:
            status: FINISHED, FAILED or KILLED.
            reason: why, in a line, with the last lines of a log after it; shown as the tag ``whydeep.reason``.

        Returns:
            What the store has and what it lacks; ``whydeep sync`` sends the rest later.
        """
        atexit.unregister(self._leave)
        error = unwritten = None
        if reason is not None:
            self._keep_long("tags", {REASON_TAG: reason}, TAG_CHARACTERS)
        self._writer.put(Ended(now(), status, reason))
        try:
            self._writer.flush()
            self._card_file.update(status=status, reason=reason)
        except OSError as refused:
            unwritten = f"{self.run_dir / JOURNAL_NAME}: {refused}"
        if self._shipper is not None:
            self._shipper.finish(self._flush_seconds)
            error = self._shipper.error
        else:
            error = "tracking.deliver=false: only the journal is kept"
        self._close()
        delivery = delivered(self._card_file, error)
        return delivery if unwritten is None else replace(delivery, pending=delivery.pending + 1, error=unwritten)

    def is_recorded(self) -> bool:
        """Whether the journal is still there: somebody may delete a run's directory while it is written."""
        return (self.run_dir / JOURNAL_NAME).exists()

    def abandon(self, status: FinalStatus, reason: str) -> None:
        """End a run whose directory was deleted: tell the store at once, if it answers, because nothing will later."""
        atexit.unregister(self._leave)
        self._card_file.close()
        if self._shipper is not None:
            self._shipper.abandon(status, reason, now())
        self._writer.close()
        self._lock.release()

    def _keep_long(self, kind: str, values: Mapping[str, str], limit: int) -> None:
        for key, value in values.items():
            if len(value) > limit:
                folder = Path(LONG_VALUES, kind, f"{sent_name(key)}.txt").parent
                path = self.run_dir / folder / f"{sent_name(key).rsplit('/', maxsplit=1)[-1]}.txt"
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(value)
                    self.artifact(path, folder.as_posix())
                except OSError as error:
                    _log.warning("the whole of %s is in the journal only: %s", key, error)

    def _leave(self) -> None:
        # The process ends and nobody said how: what was recorded stays, and the next command marks the run KILLED. In a
        # forked child that ends, nothing is to be done.
        if os.getpid() != self._process:
            return
        with contextlib.suppress(OSError):
            self._writer.flush(5.0)
        self._close()

    def _close(self) -> None:
        self._writer.close()
        self._card_file.close()
        self._lock.release()
