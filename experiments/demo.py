"""Compare 5x5 layers with two 3x3 layers each on handwritten digits: six runs, a table, a report.

whydeep demo
whydeep demo seeds=5 trainer.max_epochs=30
whydeep demo seeds=[3,4] trainer=debug

keys:
  seeds=N or [a,b]   the replicates of each arm: seeds 0 to N - 1, or the listed ones; 0, 1 and 2 by default
  KEY=VALUE          any setting of `whydeep train`, for both arms alike

Runs that are finished are not run again. The study itself is conf/study/demo.yaml.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from experiments.arguments import check_keys, split_arguments
from experiments.cli import run
from experiments.errors import UserError
from experiments.tracking.credentials import masked

STUDY = "demo"


def main(argv: Sequence[str]) -> int:
    """Run the study and print its table; return 0 when all runs finished, 1 when one failed, 130 after Ctrl-C.

    Raises:
        UserError: a mistake in an override, found before the first run.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, overrides = split_arguments(argv, {"seeds": None})
    # A seed is one of the study's: plan says so where it is given.
    check_keys([override for override in overrides if override.partition("=")[0] != "seed"], ["seeds"], less=["seed"])

    # Threads that spin while they wait cost several times the work on a busy machine; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from experiments.studies.plan import plan  # noqa: PLC0415 - seconds that --help saves
    from experiments.studies.study import read_study  # noqa: PLC0415

    study = read_study(STUDY)
    if keys["seeds"] is not None:
        study = study.with_seeds(_seeds(keys["seeds"]))
    planned = plan(study, overrides)

    from hydra.utils import instantiate  # noqa: PLC0415 - a mistake in an override is told without these
    from rich.console import Console  # noqa: PLC0415

    from experiments.runs.build import assemble  # noqa: PLC0415
    from experiments.runs.place import check_place  # noqa: PLC0415
    from experiments.studies.board import board_of  # noqa: PLC0415
    from experiments.studies.comparison import compare  # noqa: PLC0415
    from experiments.studies.execution import execute_all, jobs_of  # noqa: PLC0415
    from experiments.studies.execution_options import ExecutionOptions  # noqa: PLC0415
    from experiments.studies.record import record_report  # noqa: PLC0415
    from experiments.studies.report import write_report  # noqa: PLC0415
    from experiments.studies.table import print_comparison  # noqa: PLC0415

    for first in planned[: len(study.arm_names)]:
        check_place(first.cfg)
        assemble(first.cfg)  # what cannot be built is said before anything runs
    runs_dir = Path(planned[0].cfg.runs_dir)
    jobs = jobs_of(planned, runs_dir / STUDY / "jobs")
    options = ExecutionOptions()
    execution = execute_all(jobs, options, board_of(jobs, study.metric, options.workers))
    replicates, stopped_by = execution.replicates, execution.stopped_by
    comparison = compare(study.arm_names, study.baseline, study.metric, replicates)
    report = write_report(runs_dir / STUDY, STUDY, study, comparison, ["whydeep", "demo", *map(masked, argv)])

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    print_comparison(console, study.question, comparison)
    print(f"\nreport: {report.html}")
    if report.figure.exists():
        print(f"figure: {report.figure}")
    delivery = record_report(STUDY, comparison, report, instantiate(planned[0].cfg.tracking))
    if delivery.pending:
        print(f"{report.html.parent}: not all of it is in MLflow yet ({delivery.error}); `whydeep sync` sends the rest")
    where = [] if str(runs_dir) == "runs" else [f"runs_dir={runs_dir}"]
    print(f"browse: {shlex.join(['whydeep', 'ui', *where])}{'' if where else '  (or: make ui)'}")
    if stopped_by is not None:
        return 128 + stopped_by
    return int(any(replicate.status != "FINISHED" for replicate in replicates))


def _seeds(text: str) -> int | list[int]:
    """Read `3` or `[0, 4]`; whether they can be seeds is the study's to say."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if isinstance(value, int) or (isinstance(value, list) and all(isinstance(seed, int) for seed in value)):
        return value
    raise UserError(f"seeds={text}: must be a number of seeds, or a list such as [0,4]")


if __name__ == "__main__":
    sys.exit(run("demo", sys.argv[1:]))
