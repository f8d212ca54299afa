"""How a study shows that it moves: a table of its arms on a terminal, a line for each event elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from experiments.runs.heartbeat import Beat
from experiments.studies import wording
from experiments.studies.job import Job, JobOutcome

EventKind = Literal["started", "finished", "failed", "retried", "killed", "busy"]
# Running jobs that an arm's row names; the others are counted.
SHOWN = 2
MINUTE = 60.0


@dataclass(frozen=True)
class Event:
    """What has happened to the `number`th job; `outcome` is that of the attempt that has ended."""

    kind: EventKind
    job: Job
    number: int
    outcome: JobOutcome | None = None


class Board(Protocol):
    """Shows a study while it is used as a context."""

    def __enter__(self) -> Self:
        """Begin to show it."""

    def __exit__(self, *_: object) -> None:
        """Show it no longer."""

    def event(self, event: Event) -> None:
        """Show what has happened."""

    def say(self, text: str) -> None:
        """Show a line that is about no job; any thread may."""


class Lines:
    """One line for each event that matters when it is read later.

    Args:
        say: gets the lines.
        metric: told of each finished run.
        total: number of jobs.
    """

    def __init__(self, say: Callable[[str], None], metric: str, total: int) -> None:
        self._say = say
        self._metric = metric
        self._total = total

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to do."""

    def event(self, event: Event) -> None:
        """Say what has happened; that a run has started is not worth a line."""
        if event.kind != "started":
            self._say(line(event, self._metric, self._total))

    def say(self, text: str) -> None:
        """Say a line."""
        self._say(text)


def board_of(jobs: Sequence[Job], metric: str, workers: int) -> Board:
    """Return what fits the standard error: a live table on a terminal, lines elsewhere."""
    if sys.stderr.isatty():
        return LiveTable(Console(stderr=True, highlight=False), metric, jobs, workers)
    return Lines(lambda line: print(line, file=sys.stderr, flush=True), metric, len(jobs))


@dataclass
class ArmProgress:
    """One arm's jobs: how many wait, which run, how many have ended how, and the seconds that runs took."""

    queued: int = 0
    running: list[Job] = field(default_factory=list)
    done: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)


class LiveTable:
    """A table with one row for each arm, and lines above it for what went wrong.

    Args:
        console: a terminal.
        metric: told of each finished run.
        jobs: all of them.
        workers: how many run at once.
    """

    def __init__(self, console: Console, metric: str, jobs: Sequence[Job], workers: int) -> None:
        self._console = console
        self._metric = metric
        self._total = len(jobs)
        self._workers = workers
        self._began = time.monotonic()
        counts = Counter(job.arm for job in jobs)
        self.arms = {arm: ArmProgress(queued=count) for arm, count in counts.items()}
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        """Draw the table."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the table away."""
        self._live.stop()

    def event(self, event: Event) -> None:
        """Move the job to where it belongs now."""
        arm, job = self.arms[event.job.arm], event.job
        if event.kind == "started":
            arm.queued -= 1
            arm.running.append(job)
            return
        arm.running.remove(job)
        if event.kind == "finished":
            arm.done += 1
            if event.outcome is not None and event.outcome.result is not None and not event.outcome.result.skipped:
                arm.seconds.append(event.outcome.seconds)
            return
        if event.kind == "failed":
            arm.failed += 1
        else:
            arm.queued += 1
        self._console.print(Text(line(event, self._metric, self._total)))

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(Text(text))

    def render(self) -> Group:
        """Return the table as it is now."""
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("arm")
        for heading in ("queued", "done", "failed"):
            table.add_column(heading, justify="right")
        table.add_column("running", ratio=1)
        left: list[float] = []
        for name, arm in self.arms.items():
            # The list changes while the table is drawn, in another thread.
            running = [(job, Beat.read(job.file("progress"))) for job in tuple(arm.running)]
            left += [beat.seconds_left for _, beat in running if beat is not None and beat.seconds_left is not None]
            shown = [f"seed {job.seed}: {_progress(beat)}" for job, beat in running[:SHOWN]]
            more = [f"{len(running) - SHOWN} more"] if len(running) > SHOWN else []
            failed = Text(str(arm.failed or ""), style="bold red")
            table.add_row(Text(name), str(arm.queued or ""), str(arm.done or ""), failed, "; ".join([*shown, *more]))
        return Group(table, Text(self._footer(left)))

    def _footer(self, running_left: Sequence[float]) -> str:
        ended = sum(arm.done + arm.failed for arm in self.arms.values())
        text = f"{ended} of {self._total} runs, {minutes(time.monotonic() - self._began)} so far"
        left = seconds_left(self.arms.values(), running_left, self._workers)
        return f"{text}, {'time left not known yet' if left is None else f'about {minutes(left)} left'}"


def seconds_left(arms: Iterable[ArmProgress], running_left: Sequence[float], workers: int) -> float | None:
    """Estimate how long the rest takes; an arm of which nothing has finished is taken for an average one.

    Args:
        arms: as they are.
        running_left: seconds that the jobs need that run now, as far as they know.
        workers: how many jobs run at once.

    Returns:
        Seconds; `None` while nothing is known.
    """
    arms = list(arms)
    means = [sum(arm.seconds) / len(arm.seconds) for arm in arms if arm.seconds]
    queued = sum(arm.queued for arm in arms)
    if queued and not means:
        return None
    total = sum(running_left)
    for arm in arms:
        if arm.queued:
            mean = sum(arm.seconds) / len(arm.seconds) if arm.seconds else sum(means) / len(means)
            total += arm.queued * mean
    running = sum(len(arm.running) for arm in arms)
    if running and not running_left and not queued:
        return None
    # The last jobs do not fill all workers.
    return max([total / max(1, min(workers, queued + running)), *running_left])


def minutes(seconds: float) -> str:
    """Say a time: `40 s`, `3 min`, `2 h 5 min`."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    whole = round(seconds / MINUTE)
    return f"{whole} min" if whole < MINUTE else f"{whole // 60} h {whole % 60} min"


def line(event: Event, metric: str, total: int) -> str:
    """Say an event in one line."""
    head = f"[{event.number}/{total}] {event.job.arm} seed {event.job.seed}"
    outcome = event.outcome
    if event.kind == "started" or outcome is None:
        return f"{head}: {event.kind}"
    if event.kind == "finished":
        return f"{head}: {_told(outcome, metric)}"
    if event.kind == "killed":
        return f"{head}: {outcome.reason}; the same command continues it"
    if event.kind == "busy":
        return f"{head}: another process runs it; looked at again when that one has ended"
    if event.kind == "retried":
        return f"{head}: {outcome.reason}; tried again"
    which = "" if outcome.result is None else f", run {_label(outcome)}"
    return f"{head}: failed: {outcome.reason}{which}"


def _progress(beat: Beat | None) -> str:
    if beat is None or not beat.steps:
        return "starts"
    if beat.step >= beat.steps:
        return "test"
    left = beat.seconds_left
    epoch = f"epoch {min(beat.epoch + 1, beat.epochs)}/{beat.epochs}" if beat.epochs > 0 else f"step {beat.step}"
    return epoch if left is None else f"{epoch}, {minutes(left)}"


def _told(outcome: JobOutcome, metric: str) -> str:
    result = outcome.result
    if result is None:
        return "finished"
    value = result.metrics.get(metric)
    number = "not recorded" if value is None else f"{value:.2f} {wording.metric_unit(metric)}".strip()
    how = "finished before" if result.skipped else f"{outcome.seconds:.1f} s"
    return f"{wording.metric_name(metric)} {number}, {how}, run {_label(outcome)}"


def _label(outcome: JobOutcome) -> str:
    result = outcome.result
    return "none" if result is None else result.run_id or result.run_dir.name
