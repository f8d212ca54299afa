"""Worker processes of this machine that execute the jobs of a study side by side."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from experiments.runs.cores import cores
from experiments.runs.log import last_lines
from experiments.studies.job import Job, JobOutcome
from experiments.studies.worker import WARM, work

# Imported for all workers, too, where this process has them already.
ALSO = ("albumentations", "sklearn.datasets")
END_SECONDS = 5.0


@dataclass
class _Worker:
    process: BaseProcess
    jobs: Connection
    job: Job | None = None
    began: float = 0.0


class Pool:
    """Executes jobs in `workers` processes, each of which takes many; one that dies is replaced.

    Each gets its share of the cores: threads that wait for each other on too few cost a multiple of the work.

    Args:
        workers: how many jobs run at once.
    """

    stopped_by: int | None = None

    def __init__(self, workers: int) -> None:
        self.capacity = workers
        self._share = max(1, cores() // workers)
        # Whoever has set it, has set it for each process.
        self._given = os.environ.get("OMP_NUM_THREADS")
        self._threads = int(self._given) if self._given and self._given.isdigit() else self._share
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*WARM, *(name for name in ALSO if name in sys.modules)])
        self._workers: list[_Worker] = []

    def warm_up(self) -> None:
        """Start the process that the workers are forked from; it imports what they need while others plan."""
        from multiprocessing.forkserver import ensure_running  # noqa: PLC0415 - part of starting it

        with _environment(OMP_NUM_THREADS=str(self._threads), OMP_WAIT_POLICY="passive"):
            ensure_running()

    def start(self, job: Job) -> None:
        """Give a job to a worker that has none."""
        worker = next((one for one in self._workers if one.job is None and one.process.is_alive()), None)
        if worker is None:
            worker = self._new()
        worker.job, worker.began = job, time.perf_counter()
        # One that has just died is noticed as any other that dies.
        with suppress(BrokenPipeError):
            worker.jobs.send(job)

    def ended(self, seconds: float) -> list[tuple[Job, JobOutcome]]:
        """Return what has ended, after so many seconds at the most."""
        busy = [one for one in self._workers if one.job is not None]
        if not busy:
            return []
        found: list[tuple[Job, JobOutcome]] = []
        for connection in wait([one.jobs for one in busy], timeout=seconds):
            worker = next(one for one in busy if one.jobs is connection)
            job = worker.job
            assert job is not None  # noqa: S101 - it is busy
            try:
                outcome: JobOutcome = worker.jobs.recv()
            except (EOFError, OSError):
                outcome = self._crash(worker, job)
            worker.job = None
            found.append((job, outcome))
        self._workers = [one for one in self._workers if one.process.is_alive()]
        return found

    def stop(self, number: int) -> None:
        """Pass a signal on to the workers that have a job."""
        for worker in self._workers:
            if worker.job is not None and worker.process.pid is not None and worker.process.is_alive():
                os.kill(worker.process.pid, number)

    def kill(self) -> None:
        """End the workers at once; what they run stays as if the machine had failed."""
        for worker in self._workers:
            worker.process.kill()

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            with suppress(OSError):
                worker.jobs.send(None)
        deadline = time.monotonic() + END_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.jobs.close()
        self._workers.clear()

    def _new(self) -> _Worker:
        self.warm_up()
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs, self._threads, self._share, self._given))
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    @staticmethod
    def _crash(worker: _Worker, job: Job) -> JobOutcome:
        """Return the outcome of a job whose worker died without a word."""
        worker.process.join(END_SECONDS)
        code = worker.process.exitcode
        how = f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with {code}"
        log = last_lines(job.file("log"))
        seconds = time.perf_counter() - worker.began
        return JobOutcome("FAILED", reason=f"its process {how}", crashed=True, log=log, seconds=seconds)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set variables for the processes that are started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
