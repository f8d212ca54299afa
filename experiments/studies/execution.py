"""Executing the runs of a study: in order, several at once where asked; what fails is noted, the rest goes on."""

import contextlib
import signal
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from experiments.runs.asked import Asked, listening
from experiments.runs.crash import end_crashed
from experiments.runs.heartbeat import Beat
from experiments.runs.label import Label
from experiments.studies.board import Board, Event, EventKind
from experiments.studies.comparison import Replicate
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.here import Here
from experiments.studies.job import Job, JobOutcome
from experiments.studies.launched import Launched
from experiments.studies.plan import PlannedRun
from experiments.studies.pool import Pool
from experiments.tracking.locks import is_locked

if TYPE_CHECKING:
    from experiments.runs.result import Status

POLL_SECONDS = 0.25
# A stop is waited for: until it is asked for again, and then until it is enforced.
STOP_SECONDS, ENFORCE_SECONDS = 120.0, 20.0
ANSWER_SECONDS = 0.05
STOPPING = "stopping: what runs is saved, so that the same command goes on from there; once more to end now"
ENDING = "ending now: the same command goes on from the last checkpoints"


class Executor(Protocol):
    """Executes jobs, `capacity` of them at once. `stopped_by` is the signal that ended a job of this very process."""

    capacity: int
    stopped_by: int | None

    def start(self, job: Job) -> None:
        """Begin a job; call it for no more than `capacity` at once."""

    def ended(self, seconds: float) -> list[tuple[Job, JobOutcome]]:
        """Return what has ended, after so many seconds at the most."""

    def stop(self, number: int) -> None:
        """Tell the jobs that run to stop cleanly; a second time, at once."""

    def kill(self) -> None:
        """End at once what runs."""

    def close(self) -> None:
        """End the processes that execute jobs."""


@dataclass(frozen=True)
class Execution:
    """What became of the runs of a study; `stopped_by` is the signal that ended them before their time."""

    replicates: list[Replicate]
    stopped_by: int | None


def not_executed(jobs: Sequence[Job], stopped_by: int) -> Execution:
    """Return what becomes of jobs that a signal kept from beginning."""
    reason = "stopped before its turn"
    return Execution([Replicate(job.arm, job.seed, "NOT RUN", None, reason, job.command) for job in jobs], stopped_by)


def jobs_of(
    planned: Sequence[PlannedRun], folder: Path, label: Callable[[PlannedRun], Label] | None = None
) -> list[Job]:
    """Return the jobs of planned runs, in their order; their files are kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    execution, jobs = uuid.uuid4().hex[:12], []
    for run in planned:
        own = Label() if label is None else label(run)
        jobs.append(
            Job(
                arm=run.arm,
                seed=run.seed,
                config=run.planned.content(run.seed),
                command=tuple(run.command),
                folder=str(folder.absolute()),
                name=own.name,
                tags=dict(own.tags),
                execution=execution,
            )
        )
    return jobs


def execute_all(
    jobs: Sequence[Job],
    options: ExecutionOptions,
    board: Board,
    *,
    progress: bool = False,
    make: "Callable[[ExecutionOptions, Path, Asked, bool], Executor] | None" = None,
) -> Execution:
    """Execute `jobs` in their order; an exception or a crash ends one of them, Ctrl-C or SIGTERM all.

    Args:
        jobs: of `jobs_of`.
        options: how.
        board: shows what happens.
        progress: show epochs and errors of the run, where it is executed in this process.
        make: makes the executor; by default that of `options`.

    Returns:
        One replicate for each job, in their order.
    """
    with listening() as asked, contextlib.ExitStack() as stack:
        folder = Path(jobs[0].folder) if jobs else Path()
        executor = (make or _executor)(options, folder, asked, progress)
        stack.callback(executor.close)
        stack.enter_context(board)
        stack.enter_context(_acknowledging(asked, board))
        return _Scheduler(jobs, options, board, executor, asked).run()


@contextlib.contextmanager
def _acknowledging(asked: Asked, board: Board) -> Iterator[None]:
    """Answer each signal in the terminal while inside, whatever the main thread is at: a run may take its time."""
    over = threading.Event()

    def watch() -> None:
        answered = 0
        while not over.wait(ANSWER_SECONDS):
            if asked.count > answered:
                answered = asked.count
                board.say(STOPPING if answered == 1 else ENDING)

    thread = threading.Thread(target=watch, name="whydeep-answers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _executor(options: ExecutionOptions, folder: Path, asked: Asked, progress: bool) -> Executor:
    if options.launcher == "here":
        return Here(asked, progress=progress)
    if options.launcher == "pool":
        return Pool(options.workers)
    return Launched(options.launcher, options.workers, folder, options.settings)


class _Scheduler:
    """Keeps an executor busy until nothing is left to do, or until this process is told to stop."""

    def __init__(
        self, jobs: Sequence[Job], options: ExecutionOptions, board: Board, executor: Executor, asked: Asked
    ) -> None:
        self._jobs = list(jobs)
        self._numbers = {(job.arm, job.seed): number for number, job in enumerate(jobs, start=1)}
        self._queue = deque(jobs)
        # Runs that another process writes, and where they lie.
        self._held: list[tuple[Job, Path | None]] = []
        self._waits = False
        self._running: list[Job] = []
        self._outcomes: dict[tuple[str, int], JobOutcome] = {}
        self._tried: Counter[tuple[str, int]] = Counter()
        self._options = options
        self._board = board
        self._executor = executor
        self._asked = asked
        self._passed_on = 0
        self._deadline = float("inf")

    @property
    def _stopped_by(self) -> int | None:
        return self._asked.number or self._executor.stopped_by

    def run(self) -> Execution:
        while self._running or ((self._queue or self._held) and self._stopped_by is None):
            while self._queue and self._stopped_by is None and len(self._running) < self._executor.capacity:
                self._start(self._queue.popleft())
            self._pass_on()
            self._look_at_held()
            if not self._running:
                continue
            for job, outcome in self._executor.ended(POLL_SECONDS):
                self._running.remove(job)
                self._end(job, outcome)
        return Execution([self._replicate(job) for job in self._jobs], self._stopped_by)

    def _look_at_held(self) -> None:
        """Put runs back into the queue that no other process writes any more; wait where nothing else is to do."""
        self._queue.extend(job for job, run_dir in self._held if run_dir is None or not is_locked(run_dir))
        self._held = [(job, run_dir) for job, run_dir in self._held if job not in self._queue]
        if self._held and not self._running and not self._queue and self._stopped_by is None:
            if not self._waits:
                self._waits = True
                runs = "a run" if len(self._held) == 1 else f"{len(self._held)} runs"
                self._board.say(f"waiting for another process, which executes {runs} of this study; Ctrl-C stops")
            time.sleep(POLL_SECONDS)

    def _start(self, job: Job) -> None:
        self._tried[job.arm, job.seed] += 1
        for suffix in ("progress", "log"):
            job.file(suffix).unlink(missing_ok=True)
        self._running.append(job)
        self._tell("started", job)
        self._executor.start(job)

    def _end(self, job: Job, outcome: JobOutcome) -> None:
        key = (job.arm, job.seed)
        if outcome.status == "BUSY":
            beat = Beat.read(job.file("progress"))
            self._tried[key] -= 1
            self._held.append((job, None if beat is None else Path(beat.run_dir)))
            self._tell("busy", job, outcome)
            return
        # Without anybody having told the study to stop, a job that was told to has lost its process as in a crash.
        lost = outcome.crashed or outcome.status == "KILLED"
        if lost and self._stopped_by is None and self._tried[key] <= self._options.retries:
            self._tell("retried", job, outcome)
            self._queue.appendleft(job)
            return
        if outcome.status == "FAILED" and outcome.result is None and outcome.crashed:
            if self._stopped_by is not None:
                number = self._stopped_by
                outcome = replace(outcome, status="KILLED", reason=f"stopped by {signal.Signals(number).name}")
            beat = Beat.read(job.file("progress"))
            if beat is not None:
                status: Status = "KILLED" if outcome.status == "KILLED" else "FAILED"
                left = end_crashed(Path(beat.run_dir), status, str(outcome.reason))
                outcome = replace(outcome, result=left)
                if left is not None and left.status == "FINISHED":
                    # Its process died when there was nothing left to compute.
                    outcome = JobOutcome("FINISHED", left, seconds=outcome.seconds)
        self._outcomes[key] = outcome
        ended: dict[str, EventKind] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
        self._tell(ended[outcome.status], job, outcome)

    def _pass_on(self) -> None:
        """Pass signals on to what runs, each once; when nothing happens for long, without being asked again."""
        while self._passed_on < self._asked.count:
            self._passed_on += 1
            self._executor.stop(self._asked.number or signal.SIGTERM)
            self._deadline = time.monotonic() + (STOP_SECONDS if self._passed_on == 1 else ENFORCE_SECONDS)
        if time.monotonic() > self._deadline:
            self._executor.kill()

    def _tell(self, kind: EventKind, job: Job, outcome: JobOutcome | None = None) -> None:
        self._board.event(Event(kind, job, self._numbers[job.arm, job.seed], outcome))

    def _replicate(self, job: Job) -> Replicate:
        outcome = self._outcomes.get((job.arm, job.seed))
        if outcome is None:
            held = any(job is one for one, _ in self._held)
            reason = "another process was executing it" if held else "stopped before its turn"
            return Replicate(job.arm, job.seed, "NOT RUN", None, reason, job.command)
        assert outcome.status != "BUSY"  # noqa: S101 - such a one is tried again
        return Replicate(job.arm, job.seed, outcome.status, outcome.result, outcome.reason, job.command)
