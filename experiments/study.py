"""Run a study: its arms over its seeds, and the verdict on what it claims.

whydeep study stacked_filters
whydeep study stacked_filters plan=true
whydeep study stacked_filters seeds=10 workers=2
whydeep study stacked_filters scale=full trainer=gpu

keys:
  plan=true          only say what would be run: what is done, minutes, disk, the smallest effect that can be shown
  scale=NAME         the same study smaller or larger: laptop (as it is written) or one of its scales
  seeds=N or [a,b]   other replicates of each arm: seeds 0 to N - 1, or the listed ones
  workers=N          so many runs at once, each in a process of its own; 1 by default, all in this one
  launcher=NAME      pool, submitit_local, submitit_slurm or ray; hydra.launcher.KEY=VALUE sets what it takes
  retries=N          how often a run that crashed is tried again at once; 1 by default
  yes=true           on a terminal, do not ask before a long study
  KEY=VALUE          any setting of `whydeep train`, for all arms alike

Finished runs are not run again; what was stopped, even by `kill -9`, or failed continues with the same command.
Studies are the files in conf/study; docs/studies.md says how to write one.
"""

import os
import shlex
import sys
from collections.abc import Sequence

from experiments.arguments import check_keys, flag, seeds_of, split_arguments, split_launcher
from experiments.cli import run
from experiments.errors import UserError
from experiments.runs.overrides import is_override, override_key
from experiments.tracking.credentials import masked

OWN = {
    "plan": "false",
    "scale": None,
    "seeds": None,
    "workers": None,
    "launcher": None,
    "retries": None,
    "yes": "false",
}
LONG_MINUTES = 10.0  # a study that takes longer is asked about, on a terminal


def main(argv: Sequence[str]) -> int:
    """Plan a study, run what is missing of it, and print the answer.

    Returns 0 when all runs finished, 1 when one failed, 130 or 143 when it was stopped.

    Raises:
        UserError: a mistake in the study or in an override, found before the first run.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    names = [argument for argument in argv if not is_override(argument) and not argument.startswith("-")]
    keys, rest = split_arguments([argument for argument in argv if argument not in names], OWN)
    settings, overrides = split_launcher(rest)
    # A seed is one of the study's: plan says so where it is given.
    check_keys([item for item in overrides if override_key(item) != "seed"], [*OWN], less=["seed"])
    from experiments.studies.execution_options import execution_options  # noqa: PLC0415 - seconds that --help saves
    from experiments.studies.study_file import known_studies, said_of, study_file  # noqa: PLC0415

    if len(names) != 1:
        given = f"{' '.join(names)}: one study at a time" if names else "no study is named"
        raise UserError(f"{given}; write whydeep study NAME, where NAME is one of {', '.join(known_studies())}")
    options = execution_options(keys["launcher"], keys["workers"], keys["retries"], settings)
    from experiments.studies.prepared import prepared  # noqa: PLC0415 - as above

    seeds = None if keys["seeds"] is None else seeds_of(keys["seeds"])
    ready = prepared(names[0], keys["scale"], seeds, overrides)
    only_plan, asked = flag("plan", keys["plan"]), not flag("yes", keys["yes"])
    # Threads that spin while they wait cost several times the work on a busy machine; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from rich.console import Console  # noqa: PLC0415 - seconds that a mistake in a key saves
    from rich.text import Text  # noqa: PLC0415

    from experiments.studies.conduct import Conduct  # noqa: PLC0415
    from experiments.studies.notices import notices, unjudged  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    command = ["whydeep", "study", *argv]
    with said_of(study_file(ready.name)):
        conduct = Conduct(ready.study, ready.arms, ready.name, ready.scale, ready.overrides, command)
    if sys.stderr.isatty():  # arms without past runs are timed, which takes some seconds each
        with Console(stderr=True).status("planning …") as status:
            conduct.forecasts(lambda arm: status.update(f"timing some steps of {arm} …"))
    conduct.print_plan(console, options.workers)
    for notice in [*conduct.written.claimed_later, *notices(ready.study, ready.arms)]:
        console.print(Text(f"notice: {notice}", style="yellow"))
    if only_plan or (asked and not agreed(conduct.minutes(options.workers))):
        return 0
    answer = conduct.run(options)
    answer.print(console)
    for notice in [*conduct.written.claimed_later, *unjudged(ready.study)]:
        console.print(Text(f"notice: {notice}", style="yellow"))
    where = [] if str(conduct.runs_dir) == "runs" else [f"runs_dir={conduct.runs_dir}"]
    print(f"browse: {shlex.join(['whydeep', 'ui', *where])}{'' if where else '  (or: make ui)'}")
    if answer.stopped_by is not None:
        print(f"whydeep: stopped; to continue: {masked(shlex.join(command))}", file=sys.stderr)
        return 128 + answer.stopped_by
    return int(not answer.complete)


def agreed(minutes: float) -> bool:
    """Ask a person whether to begin a long study; nobody is asked where nobody could answer."""
    if minutes < LONG_MINUTES or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return input(f"Begin? This takes about {minutes:.0f} minutes. [Y/n] ").strip().lower() in ("", "y", "yes")


if __name__ == "__main__":
    sys.exit(run("study", sys.argv[1:]))
