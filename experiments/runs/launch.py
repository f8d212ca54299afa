"""Starting the processes of one run on this machine, and what became of them.

Lightning's own launcher starts each further process with the command line of the first, so that under a sweep every
one of them runs the whole sweep again. Here a process gets one run, and nothing else.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from experiments.runs import asked
from experiments.runs.callbacks import RunKilled
from experiments.runs.cores import cores
from experiments.runs.endings import Ending, Endings
from experiments.runs.order import Order

# For the others to end by themselves, once one has failed (they notice: they cannot go on without it), or was stopped
# (they record it); then until they are told, and until they are killed.
FAILED_SECONDS, STOPPED_SECONDS, TOLD_SECONDS = 4.0, 60.0, 4.0
POLL_SECONDS = 0.1
# A process that dies without a word is noticed a little later than by those that were connected to it.
NOTICED_SECONDS = 1.0


def launch(count: int, endings: Endings, order: Order) -> Ending | None:
    """Run `order` in `count` processes and wait until all have ended.

    Ctrl-C and SIGTERM are passed on to them: they end as a single process does.

    Args:
        count: processes, one for each device.
        endings: where they write how they ended.
        order: what they are to do.

    Returns:
        The ending that the others followed from; `None` when the run is complete.

    Raises:
        RunKilled: this process was told to stop before it came to this.
    """
    if (number := asked.stopped_by()) is not None:
        raise RunKilled(number)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = str(max(1, cores() // count))
    text = json.dumps(order)
    running: list[subprocess.Popen[str]] = []
    passed_on: list[int] = []
    with passing_on(running, passed_on):
        for rank in range(count):
            process = subprocess.Popen(  # noqa: S603 - this interpreter, with a module of ours
                [sys.executable, "-m", "experiments.runs.rank", str(os.getpid())],
                env={
                    **os.environ,
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                    "WORLD_SIZE": str(count),
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "NODE_RANK": "0",
                    "LOCAL_WORLD_SIZE": str(count),
                    "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
                    "OMP_WAIT_POLICY": "passive",
                },
                stdin=subprocess.PIPE,
                text=True,
                # Ctrl-C comes through this process, once: a second signal would end them without a checkpoint.
                process_group=0,
            )
            running.append(process)
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(text)
                    process.stdin.close()
        silent = _wait(running)
    told = endings.first()
    if told is None and passed_on and any(process.returncode for process in running):
        # Too early for them to say so.
        reason = str(RunKilled(passed_on[0]))
        return Ending(0, "KILLED", reason, time.time(), signal_number=passed_on[0])
    if silent is not None and (told is None or silent.time < told.time):
        return silent
    if told is None and any(process.returncode for process in running):
        rank, code = next((rank, process.returncode) for rank, process in enumerate(running) if process.returncode)
        return Ending(rank, "FAILED", f"process {rank} of {count} ended with {code}", time.time(), crashed=True)
    return told


def _wait(running: list[subprocess.Popen[str]]) -> Ending | None:
    """Return when all have ended; when one fails, end the others. Return that of one that died without a word."""
    silent: Ending | None = None
    deadline: float | None = None
    next_signal = signal.SIGTERM
    while any(process.poll() is None for process in running):
        codes = [process.poll() for process in running]
        if deadline is None and any(codes):
            rank, code = next((rank, code) for rank, code in enumerate(codes) if code)
            if code < 0:
                reason = f"process {rank} of {len(codes)} was killed by {signal.Signals(-code).name}"
                silent = Ending(rank, "FAILED", reason, time.time() - NOTICED_SECONDS, crashed=True)
            stopped = code in (128 + signal.SIGINT, 128 + signal.SIGTERM)
            deadline = time.monotonic() + (STOPPED_SECONDS if stopped else FAILED_SECONDS)
        elif deadline is not None and time.monotonic() > deadline:
            _send(running, next_signal)
            next_signal, deadline = signal.SIGKILL, time.monotonic() + TOLD_SECONDS
        time.sleep(POLL_SECONDS)
    return silent


def _send(running: list[subprocess.Popen[str]], number: int) -> None:
    for process in running:
        if process.poll() is None:
            process.send_signal(number)


@contextlib.contextmanager
def passing_on(running: list[subprocess.Popen[str]], passed_on: list[int]) -> Iterator[None]:
    """Send Ctrl-C and SIGTERM to the processes instead of ending before them; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
        asked.tell(number)
        passed_on.append(number)
        _send(running, number)

    before = {number: signal.signal(number, pass_on) for number in asked.SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
