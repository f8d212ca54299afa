"""Who may write a run, when processes die and fork."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments.tracking.locks import FILE_NAME, AlreadyLockedError, RunLock, exclusive, is_locked, no_fork

HOLDER = """
import os, sys, time
from pathlib import Path
from experiments.tracking.locks import RunLock
lock = RunLock(Path(sys.argv[1]))
ready, tell = os.pipe()
if os.fork() == 0:
    os.write(tell, b"x")
    time.sleep(60)  # as a data loader's worker does that outlives its parent for a while
os.read(ready, 1)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)

    assert is_locked(tmp_path)
    with pytest.raises(AlreadyLockedError, match=f"^{os.getpid()}@"):
        RunLock(tmp_path)
    lock.release()
    lock.release()
    assert not is_locked(tmp_path)
    RunLock(tmp_path).release()


def test_who_only_asks_who_holds_a_lock_keeps_nobody_from_it(tmp_path: Path) -> None:
    asking = os.open(tmp_path / FILE_NAME, os.O_RDWR | os.O_CREAT)
    fcntl.flock(asking, fcntl.LOCK_SH)
    answered = threading.Timer(0.02, os.close, [asking])
    answered.start()
    RunLock(tmp_path).release()
    answered.join()


def test_a_killed_process_lets_go_even_while_its_forked_child_lives(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline().strip() == str(holder.pid)
        assert is_locked(tmp_path)
        with pytest.raises(AlreadyLockedError, match=f"^{holder.pid}@"):
            RunLock(tmp_path)

        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()

        os.killpg(holder.pid, 0)  # the child is still there
        assert not is_locked(tmp_path)
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.stdout.close()


def test_the_exclusive_lock_waits_for_its_turn(tmp_path: Path) -> None:
    order: list[str] = []
    context = multiprocessing.get_context("fork")
    with exclusive(tmp_path / "lock"):
        waiting = context.Process(target=_touch_in_turn, args=(tmp_path,))
        waiting.start()
        time.sleep(0.2)
        order.append("after" if (tmp_path / "turn").exists() else "before")
    waiting.join(10)

    assert order == ["before"]
    assert (tmp_path / "turn").exists()


def _touch_in_turn(folder: Path) -> None:
    with exclusive(folder / "lock"):
        (folder / "turn").touch()


def test_a_fork_in_the_thread_that_keeps_others_from_forking_does_not_hang(tmp_path: Path) -> None:
    with no_fork():
        child = multiprocessing.get_context("fork").Process(target=_touch_in_turn, args=(tmp_path,))
        child.start()
    child.join(10)

    assert (tmp_path / "turn").exists()
