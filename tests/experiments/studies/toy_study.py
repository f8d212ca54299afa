"""A study of toy runs, also as a process: `python -m tests.experiments.studies.toy_study WORKERS SEEDS [key=value …]`.

It prints one line for each replicate: arm, seed, status, the run's directory.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.runs.configuration import compose
from experiments.runs.result import RunResult
from experiments.studies.board import Lines
from experiments.studies.budget import Share
from experiments.studies.composing import Sources
from experiments.studies.execution import Execution, execute_all, jobs_of
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.factors import Cell
from experiments.studies.job import Job
from experiments.studies.plan import PlannedArm, PlannedRun

SMALL = (
    "experiment=toy",
    "model=conv5x5",
    "datamodule.image_size=8",
    "datamodule.few_samples=4",
    "effective_field_images=0",
    "trainer.max_epochs=1",
)
ARMS = {"narrow": ("model.network.widths=[4,4]",), "wide": ("model.network.widths=[6,6]",)}


def toy_jobs(
    folder: Path, seeds: int, overrides: Sequence[str] = (), arms: Mapping[str, tuple[str, ...]] | None = None
) -> list[Job]:
    """Return the jobs of every arm under `seeds` seeds, recorded in `folder`/runs."""
    planned = []
    for name, own in (arms or ARMS).items():
        chosen = (*SMALL, f"runs_dir={folder / 'runs'}", *overrides, *own)
        cfg = compose([*chosen, "seed=0"])
        arm = PlannedArm(
            Cell(name, own, {}, is_baseline=name == "narrow"), Sources(name, (), (), chosen), chosen, Share(), cfg, ()
        )
        planned += [PlannedRun(arm, seed) for seed in range(seeds)]
    return jobs_of(sorted(planned, key=lambda run: run.seed), folder / "runs" / "toy" / "jobs")


def run_toy(jobs: Sequence[Job], options: ExecutionOptions) -> tuple[Execution, list[str]]:
    """Execute them; return what became of them, and what was said."""
    said: list[str] = []
    return execute_all(jobs, options, Lines(said.append, "test/top1_error", len(jobs))), said


def main(arguments: Sequence[str]) -> int:
    workers, seeds, *overrides = arguments
    options = ExecutionOptions("here" if workers == "1" else "pool", int(workers))
    jobs = toy_jobs(Path.cwd(), int(seeds), overrides)
    execution = execute_all(
        jobs, options, Lines(lambda line: print(line, file=sys.stderr, flush=True), "test/top1_error", len(jobs))
    )
    for one in execution.replicates:
        print(
            one.arm,
            one.seed,
            one.status,
            one.result.run_dir.name if isinstance(one.result, RunResult) else None,
            flush=True,
        )
    if execution.stopped_by is not None:
        return 128 + execution.stopped_by
    return int(any(one.status != "FINISHED" for one in execution.replicates))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
