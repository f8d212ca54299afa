"""Locks between processes, and what a forked child must not inherit of them.

A lock is an advisory ``flock`` on a small file: the system lets go of it when the process that holds it dies, however
it dies, so nobody has to guess from a time stamp or a process id whether a run still lives.
"""

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_NAME = "journal.lock"

_held: set[int] = set()
_fork_gate = threading.RLock()
_passed = threading.local()

# A fork that waits this long is let through: a thread that forks while it imports what the other one waits for would
# otherwise wait for ever.
_LONGEST_WAIT_SECONDS = 60.0
# Who asks for the `holder` shares the lock for a moment, which is no reason not to begin.
_A_LOOK_SECONDS = 0.1


class AlreadyLockedError(RuntimeError):
    """Another process, or another part of this one, holds the lock; the text says who."""


class RunLock:
    """The right to write in one run directory, held until ``release`` or until this process dies.

    Raises:
        AlreadyLockedError: somebody else holds it.
    """

    def __init__(self, run_dir: Path) -> None:
        self._file = os.open(run_dir / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        until = time.monotonic() + _A_LOOK_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(_A_LOOK_SECONDS / 20)
                    continue
                who = os.pread(self._file, 200, 0).decode(errors="replace").strip()
                os.close(self._file)
                raise AlreadyLockedError(who or "another process") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, this_process().encode(), 0)
        _held.add(self._file)

    def release(self) -> None:
        """Let the next writer in; a second call does nothing."""
        if self._file in _held:
            _unlock(self._file)


def is_locked(run_dir: Path) -> bool:
    """Whether a living process holds the lock of a run directory."""
    return holder(run_dir) is not None


def holder(run_dir: Path) -> str | None:
    """The living process that holds the lock of a run directory; None where none does."""
    try:
        file = os.open(run_dir / FILE_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
    finally:
        os.close(file)
    return None


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for, then hold, a lock on a file of its own: for what must be done by one process at a time."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        _held.add(file)
        yield
    finally:
        _unlock(file)


@contextmanager
def no_fork() -> Iterator[None]:
    """Make forks wait until the block has ended.

    A data loader's worker that is forked while another thread imports a module inherits that module's import lock, with
    nobody left to open it: the worker would hang at its first import of the same module.
    """
    with _fork_gate:
        yield


def this_process() -> str:
    """This process as ``pid@host``."""
    return f"{os.getpid()}@{socket.gethostname()}"


def _unlock(file: int) -> None:
    _held.discard(file)
    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def _forget_in_child() -> None:
    # The child shares the lock with its parent: if it kept the file open, a run whose parent was killed would look
    # alive for as long as one of its data loader's workers is.
    for file in tuple(_held):
        os.close(file)
    _held.clear()
    _leave_gate()


def _enter_gate() -> None:
    _passed.it = _fork_gate.acquire(timeout=_LONGEST_WAIT_SECONDS)


def _leave_gate() -> None:
    if _passed.it:
        _fork_gate.release()


os.register_at_fork(before=_enter_gate, after_in_parent=_leave_gate, after_in_child=_forget_in_child)
