"""What a study costs: one warm process against one process for each run, and two workers against one.

python -m experiments.benchmarks.study [pairs=3] [seeds=2] [epochs=2]

The study is conf/study/stacked_filters.yaml: four arms on handwritten digits, hence 4 · seeds runs. Processor seconds
are those of whole commands, everything included, their child processes too: the study in one process, and `whydeep
train` for each of its runs. Workers are timed by the clock, from when they are warm (each has executed one run) to the
end of the last of the runs. What is compared is measured in turn, and the order changes with every pair.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from experiments.arguments import split_arguments
from experiments.benchmarks.pairs import in_turn
from experiments.errors import UserError
from experiments.runs.chatter import quiet
from experiments.runs.cores import cores
from experiments.studies.board import Lines
from experiments.studies.execution import execute_all, jobs_of
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.job import Job
from experiments.studies.plan import PlannedRun, plan
from experiments.studies.pool import Pool
from experiments.studies.study_file import read_study

STUDY = "stacked_filters"
# Before the clock starts: a seed that the study itself does not have.
WARM_UP_SEED = 1000
THE_STUDY = "the-study"


def planned(folder: Path, seeds: Sequence[int], epochs: int) -> list[PlannedRun]:
    """Return the runs of the study, recorded in `folder`."""
    return plan(read_study(STUDY).with_seeds(list(seeds)), [f"trainer.max_epochs={epochs}", f"runs_dir={folder}"])


def processor_seconds(commands: Sequence[Sequence[str]]) -> float:
    """Run commands one after the other; return the processor seconds of all of them and their children.

    Raises:
        RuntimeError: one fails.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        # As the verb of studies sets it: threads that wait for each other otherwise burn what others could use.
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def warm_process(seeds: int, epochs: int) -> float:
    """Return the processor seconds of the study in one process."""
    with tempfile.TemporaryDirectory() as folder:
        own = [sys.executable, "-m", "experiments.benchmarks.study", THE_STUDY]
        return processor_seconds([[*own, folder, str(seeds), str(epochs)]])


def process_for_each(seeds: int, epochs: int) -> float:
    """Return the processor seconds of the same runs, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        runs = planned(Path(folder), range(seeds), epochs)
        return processor_seconds([[sys.executable, "-m", "experiments.cli", "train", *run.overrides] for run in runs])


def clock_seconds(workers: int, seeds: int, epochs: int) -> float:
    """Return the seconds that the study's runs take in so many warm workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm_up = planned(folder, range(WARM_UP_SEED, WARM_UP_SEED + workers), epochs)[::2]
        pool = Pool(workers)
        try:
            _through(pool, jobs_of(warm_up, folder / "jobs"))
            jobs = jobs_of(planned(folder, range(seeds), epochs), folder / "jobs")
            began = time.perf_counter()
            _through(pool, jobs)
            return time.perf_counter() - began
        finally:
            pool.close()


def _through(pool: Pool, jobs: Sequence[Job]) -> None:
    waiting, running = list(jobs), 0
    while waiting or running:
        while waiting and running < pool.capacity:
            pool.start(waiting.pop(0))
            running += 1
        for job, outcome in pool.ended(60.0):
            running -= 1
            if outcome.status != "FINISHED":
                raise RuntimeError(f"{job.arm} seed {job.seed}: {outcome.reason}")


def main(argv: list[str]) -> int:
    """Measure and print a table.

    Raises:
        UserError: an unknown key, or a value that is no number.
    """
    if argv[:1] == [THE_STUDY]:
        folder, seeds, epochs = Path(argv[1]), int(argv[2]), int(argv[3])
        jobs = jobs_of(planned(folder, range(seeds), epochs), folder / "jobs")
        execution = execute_all(jobs, ExecutionOptions(), Lines(print, "test/top1_error", len(jobs)))
        return int(any(one.status != "FINISHED" for one in execution.replicates))
    keys, others = split_arguments(argv, {"pairs": "3", "seeds": "2", "epochs": "2"})
    if others:
        raise UserError(f"{others[0]}: unknown key; allowed: {', '.join(keys)}")
    try:
        pairs, seeds, epochs = (int(str(keys[name])) for name in ("pairs", "seeds", "epochs"))
    except ValueError as error:
        raise UserError(f"{error}; each key is a whole number") from error
    threads = os.environ.get("OMP_NUM_THREADS", "as many threads as cores for each process")
    table = Table(
        title=f"{4 * seeds} runs of {epochs} epochs, {pairs} pairs, {cores()} cores, OMP_NUM_THREADS: {threads}"
    )
    for heading in ("compared", "one", "other", "ratio, median", "from", "to"):
        table.add_column(heading)
    # Byte code and the page cache.
    process_for_each(1, 1)
    cost = in_turn(pairs, lambda: warm_process(seeds, epochs), lambda: process_for_each(seeds, epochs))
    _row(table, "processor s: one process / a process a run", cost, [one / other for one, other in cost])
    clock = in_turn(pairs, lambda: clock_seconds(1, seeds, epochs), lambda: clock_seconds(2, seeds, epochs))
    _row(table, "clock s: one worker / two workers", clock, [one / other for one, other in clock])
    Console().print(table)
    return 0


def _row(table: Table, name: str, values: Sequence[tuple[float, float]], ratios: Sequence[float]) -> None:
    one, other = (statistics.median(value[side] for value in values) for side in (0, 1))
    numbers = (f"{one:.1f}", f"{other:.1f}", *(f"{f(ratios):.3f}" for f in (statistics.median, min, max)))
    table.add_row(name, *numbers)


if __name__ == "__main__":
    quiet()
    sys.exit(main(sys.argv[1:]))
