"""A worker process: forked from a warm one, it executes one job after the other until it is told that there are none.

It is forked by `multiprocessing`'s server from a process that has imported everything and done nothing else, so that it
starts in a moment; it does not outlive the process that gives it jobs.
"""

import contextlib
import faulthandler
import os
import sys
import threading
from collections.abc import Iterator
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path

from experiments.runs.cores import SHARE

POLL_SECONDS = 0.5
# What every run needs, imported once for all workers.
WARM = ("experiments.studies.warm", "mlflow.store.tracking.sqlalchemy_store")


def work(jobs: Connection, threads: int, share: int, users_threads: str | None) -> None:
    """Execute jobs from the connection and answer each with its outcome.

    Args:
        jobs: from the process that has started this one.
        threads: of each computation.
        share: of the machine's cores, for the processes that a job starts itself.
        users_threads: `OMP_NUM_THREADS` as the user has set it; these processes follow it.
    """
    # Ctrl-C on a terminal reaches the parent alone, which passes it on once.
    os.setpgid(0, 0)
    _end_with_parent()
    os.environ[SHARE] = str(share)
    if users_threads is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    import torch  # noqa: PLC0415 - the parent is watched before anything else

    from experiments.runs.asked import listening  # noqa: PLC0415
    from experiments.runs.chatter import quiet  # noqa: PLC0415
    from experiments.studies.job import perform  # noqa: PLC0415

    quiet()
    torch.set_num_threads(threads)
    with listening() as asked, contextlib.suppress(EOFError, BrokenPipeError):
        while asked.number is None:
            if not jobs.poll(POLL_SECONDS):
                continue
            if (job := jobs.recv()) is None:
                break
            with _output_to(job.file("log")), asked.impatient():
                outcome = perform(job)
            jobs.send(outcome)


def _end_with_parent() -> None:
    """End this process as soon as its parent has ended, however that ended: nobody would wait for it any more."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, name="whydeep-watchdog", daemon=True).start()


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Let everything that is printed go into a file: the terminal is the parent's, and a crash leaves its trace."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        faulthandler.enable(file=2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        faulthandler.disable()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)
        os.close(file)
