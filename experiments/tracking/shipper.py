"""The thread that sends a run's journal to its MLflow store while the run goes on."""

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from experiments.tracking.card import CardFile, read_card
from experiments.tracking.credentials import masked
from experiments.tracking.delivery import REASON_TAG, Sender, batch_of
from experiments.tracking.leftovers import send_leftover
from experiments.tracking.options import TrackingOptions
from experiments.tracking.records import FinalStatus, Tags
from experiments.tracking.store import Store
from experiments.tracking.store_errors import RefusedError, RunGoneError, StoreAwayError

_BACKOFF_SECONDS = (1.0, 60.0)
_FINISHING_WAIT_SECONDS = 0.5

_log = logging.getLogger(__name__)


class Shipper:
    """Sends what the journal holds, again and again, and waits longer each time that the store is away.

    Args:
        card_file: the run's card.
        store: where to.
        options: how often.
        leftovers: directories of dead runs of the same store, whose rest is sent too, after this run's first delivery.

    Attributes:
        answered: set once the store has given the run its id.
        error: why the last delivery failed; None while all is well.
    """

    def __init__(
        self, card_file: CardFile, store: Store, options: TrackingOptions, leftovers: Sequence[Path] = ()
    ) -> None:
        self.answered = threading.Event()
        self.error: str | None = None
        self._card_file = card_file
        self._store = store
        self._interval = options.interval_seconds
        self._leftovers = list(leftovers)
        self._wake = threading.Event()
        self._deadline: float | None = None
        self._sender = Sender(card_file, store)
        if card_file.card.run_id is not None:
            self.answered.set()
        self._thread = threading.Thread(target=self._run, name="whydeep-delivery", daemon=True)
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Send the rest, for at most so many seconds; what remains stays in the journal."""
        self._deadline = time.monotonic() + seconds
        self._wake.set()
        self._thread.join(seconds + _FINISHING_WAIT_SECONDS)

    def abandon(self, status: FinalStatus, reason: str, end: float) -> None:
        """Send no more of a journal that is gone, but how the run ended, if the store answers."""
        self.finish(0.0)
        run_id = self._card_file.card.run_id
        if run_id is None:
            return
        with contextlib.suppress(StoreAwayError, RefusedError, RunGoneError):
            self._store.log_batch(run_id, batch_of(Tags(end, {REASON_TAG: reason})))
            self._store.set_ended(run_id, status, end)

    def _may_go_on(self) -> bool:
        return self._deadline is None or time.monotonic() < self._deadline

    def _send_leftover(self, run_dir: Path) -> None:
        card = read_card(run_dir)
        if card is not None and card.uri == self._store.destination.shown_uri:
            send_leftover(run_dir, self._store)

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:  # noqa: BLE001 - a fault in here must not end a training, nor stay unseen
            self.error = masked(repr(error))
            _log.error(  # the trace may quote an address with its password
                "nothing more of %s is sent; `whydeep sync` may send it later\n%s",
                self._card_file.run_dir,
                masked(traceback.format_exc()),
            )

    def _loop(self) -> None:
        wait = 0.0
        while True:
            self._wake.wait(wait)
            self._wake.clear()
            finishing = self._deadline is not None
            if finishing:
                self._sender.retry_artifacts_now()
            wait = self._deliver(wait)
            if finishing and (self.error is None or not self._may_go_on()):
                return

    def _deliver(self, waited: float) -> float:
        try:
            self._sender.send(self._may_go_on)
            self.answered.set()
            # Out of time, nothing was tried: what went wrong before still does.
            if self.error is not None and self._may_go_on():
                _log.warning("%s takes records again", self._store.destination.shown_uri)
                self.error = None
            while self._leftovers and self._deadline is None:
                self._send_leftover(self._leftovers.pop())
        except (StoreAwayError, OSError) as error:
            if self.error is None:
                _log.warning(
                    "%s does not take records now (%s): they are kept in %s, and sent when it does",
                    self._store.destination.shown_uri,
                    error,
                    self._card_file.run_dir,
                )
            self.error = masked(str(error))
            if self._deadline is not None:
                return _FINISHING_WAIT_SECONDS
            return min(max(_BACKOFF_SECONDS[0], 2 * waited), _BACKOFF_SECONDS[1])
        return self._interval
