"""The thread that writes the journal, so that a training step pays no more than one ``append`` to a queue."""

import math
import threading
from collections import deque
from time import time

from experiments.tracking.journal import Journal
from experiments.tracking.records import Metrics, Record, Tags, encode
from experiments.tracking.replay import Replay

INFINITE_TAG = "whydeep.infinite"
REPLAY_DIFFERS_TAG = "whydeep.replay_differs"

# A process that is killed loses at most the metrics of this long; a resumed one records them again.
_INTERVAL_SECONDS = 0.2


class JournalWriter:
    """Writes records in the order in which they were put.

    Args:
        journal: where to; closed with the writer.
        replay: the metrics of earlier sessions.
        noted: tags that the journal has; each of the writer's own remarks is made once in the life of a run.
    """

    def __init__(self, journal: Journal, replay: Replay, noted: set[str]) -> None:
        self._journal = journal
        self._replay = replay
        self._noted = noted
        self._queue: deque[Record | threading.Event] = deque()
        self._unwritten = b""
        self._unsynced = False
        self._error: OSError | None = None
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="whydeep-journal", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Hand a record over; returns at once.

        Raises:
            RuntimeError: the run has ended.
        """
        if self._closing:
            raise RuntimeError("this run has ended: nothing more can be recorded")
        self._queue.append(record)

    def flush(self, seconds: float = 30.0) -> None:
        """Wait until all that was put is in the file: from then on it survives this process.

        Raises:
            OSError: the file system refuses (a full disk); what was put is kept and tried again.
            TimeoutError: it did not answer in time.
        """
        written = threading.Event()
        self._queue.append(written)
        self._wake.set()
        if not written.wait(seconds):
            raise TimeoutError(f"the journal was not written within {seconds:g} seconds")
        if self._error is not None:
            raise self._error

    def close(self, seconds: float = 5.0) -> None:
        """Write what is left and let go of the file."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(_INTERVAL_SECONDS)
            self._wake.clear()
            self._write()
        self._write()
        self._journal.close()

    def _write(self) -> None:
        waiting: list[threading.Event] = []
        lines = [self._unwritten]
        while self._queue:
            record = self._queue.popleft()
            if isinstance(record, threading.Event):
                waiting.append(record)
            elif isinstance(record, Metrics):
                lines.extend(self._metric_lines(record))
            else:
                lines.append(encode(record))
                self._unsynced = True
        self._unwritten = b"".join(lines)
        try:
            if self._unwritten:
                self._journal.append(self._unwritten)
                self._unwritten = b""
            if self._unsynced:
                self._journal.sync()
                self._unsynced = False
            self._error = None
        except OSError as error:
            self._error = error
        for event in waiting:
            event.set()

    def _metric_lines(self, record: Metrics) -> list[bytes]:
        values = self._replay.news(record.step, record.values)
        if not values:
            return []
        lines = [encode(Metrics(record.time, record.step, values))]
        if INFINITE_TAG not in self._noted:
            infinite = next((f"{key} at step {record.step}: {v}" for key, v in values.items() if math.isinf(v)), None)
            lines += self._note(INFINITE_TAG, infinite and f"{infinite} (MLflow shows NaN)")
        if REPLAY_DIFFERS_TAG not in self._noted:
            lines += self._note(REPLAY_DIFFERS_TAG, self._replay.first_difference)
        return lines

    def _note(self, tag: str, text: str | None) -> list[bytes]:
        if text is None:
            return []
        self._noted.add(tag)
        return [encode(Tags(time(), {tag: text}))]
