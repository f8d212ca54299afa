"""Ctrl-C and SIGTERM that come while no training listens to them: between runs, and before and after a training."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from experiments.runs.callbacks import RunKilled

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Asked:
    """What this process was told while it was `listening`.

    Attributes:
        number: of the first signal; `None`: nothing came.
        count: of all signals.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.count = 0
        self._may_raise = False

    def note(self, number: int) -> None:
        """Note a signal.

        Raises:
            RunKilled: it is not the first one, and a run that can be ended at once is under way.
        """
        self.number = self.number or number
        self.count += 1
        if self._may_raise and self.count > 1:
            raise RunKilled(number)

    @contextlib.contextmanager
    def impatient(self) -> Iterator[None]:
        """Let a second signal end what is inside at once."""
        self._may_raise = True
        try:
            yield
        finally:
            self._may_raise = False


_listeners: list[Asked] = []


def stopped_by() -> int | None:
    """Return the signal that came outside of a training; what is about to train ends at once, as if it came then."""
    return _listeners[-1].number if _listeners else None


def tell(number: int) -> None:
    """Pass a signal on that a training took to who listens around it; never raises, the training ends by itself."""
    if _listeners:
        listener = _listeners[-1]
        listener.number = listener.number or number
        listener.count += 1


@contextlib.contextmanager
def listening() -> Iterator[Asked]:
    """Note the signals while inside, instead of ending; only the main thread can."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
        asked.note(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    _listeners.append(asked)
    try:
        yield asked
    finally:
        _listeners.remove(asked)
        for number, handler in before.items():
            signal.signal(number, handler)
