"""Run, continue and report all studies of the chapter: one book with the verdicts of all (see conf/chapter.yaml).

whydeep chapter
whydeep chapter plan=true
whydeep chapter scale=toy workers=2
whydeep chapter only=depth,skip_connections

keys:
  plan=true          only say what would be run: what is done, minutes and disk of each study, and of all
  scale=NAME         all studies smaller or larger: laptop (as they are written), toy, full …
  only=A,B           some of its studies
  seeds=N or [a,b]   other replicates of each arm: seeds 0 to N - 1, or the listed ones
  workers=N          so many runs at once, each in a process of its own; 1 by default, all in this one
  launcher=NAME      pool, submitit_local, submitit_slurm or ray; hydra.launcher.KEY=VALUE sets what it takes
  retries=N          how often a run that crashed is tried again at once; 1 by default
  yes=true           on a terminal, do not ask before it begins
  KEY=VALUE          any setting of `whydeep train`, for all studies alike

Each study runs as `whydeep study NAME` runs it: the same runs in the same folders. All are checked before the first one
begins. One that fails does not stop the others; the exit code is 1 then. What was stopped or failed continues with the
same command. `whydeep report chapter` writes the book again, from MLflow alone.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments import study
from experiments.arguments import check_keys, flag, seeds_of, split_arguments, split_launcher
from experiments.cli import run
from experiments.errors import UserError
from experiments.runs.overrides import is_override, override_key
from experiments.tracking.credentials import masked

if TYPE_CHECKING:
    from experiments.studies.chapter import Chapter
    from experiments.studies.execution_options import ExecutionOptions
    from experiments.studies.prepared import Prepared

OWN = {**study.OWN, "only": None}
# Of the chapter, and not of one study's command.
OF_ALL = ("plan", "yes", "only")
STOPPED = 130


def main(argv: Sequence[str]) -> int:
    """Plan the chapter, run what is missing of it, write the book.

    Returns 0 when all runs finished, 1 when a run or a study failed, 130 or 143 when it was stopped.

    Raises:
        UserError: a mistake in a study or in an override, found before the first run.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    for argument in argv:
        if not is_override(argument) and not argument.startswith("-"):
            raise UserError(f"{argument}: must be key=value; only={argument} runs one study of the chapter")
    keys, rest = split_arguments(argv, OWN)
    settings, overrides = split_launcher(rest)
    # A seed is one of the study's: its plan says so where it is given.
    check_keys([item for item in overrides if override_key(item) != "seed"], [*OWN], less=["seed"])
    only_plan, asked = flag("plan", keys["plan"]), not flag("yes", keys["yes"])
    from experiments.studies.chapter import read_chapter  # noqa: PLC0415 - seconds that --help saves
    from experiments.studies.execution_options import execution_options  # noqa: PLC0415

    options = execution_options(keys["launcher"], keys["workers"], keys["retries"], settings)
    chapter = read_chapter()
    asked_for = chapter if keys["only"] is None else chapter.only(_names(keys["only"]))
    prepared = _prepared(asked_for, keys, overrides)
    # Threads that spin while they wait cost several times the work on a busy machine; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return _conduct(chapter, prepared, options, argv, only_plan=only_plan, ask=asked)


def _conduct(
    chapter: "Chapter",
    prepared: "Sequence[Prepared]",
    options: "ExecutionOptions",
    argv: Sequence[str],
    *,
    only_plan: bool,
    ask: bool,
) -> int:
    from rich.console import Console  # noqa: PLC0415 - seconds that a mistake in a key saves

    from experiments.studies import membership  # noqa: PLC0415
    from experiments.studies.book import book_folder, write_book  # noqa: PLC0415
    from experiments.studies.chapter_conduct import conducts_of, entries_of, run_all  # noqa: PLC0415
    from experiments.studies.chapter_index import print_index  # noqa: PLC0415
    from experiments.studies.chapter_plan import plan_chapter, print_chapter_plan  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    own = [argument for argument in argv if override_key(argument) not in OF_ALL]
    with contextlib.ExitStack() as stack:
        if sys.stderr.isatty():  # arms without past runs are timed, which takes a second or two each
            stack.enter_context(Console(stderr=True).status(f"planning {len(prepared)} studies …"))
        conducts = conducts_of(prepared, lambda name: ["whydeep", "study", name, *own])
        plans = plan_chapter(conducts, [one.arms for one in prepared], options.workers)
    print_chapter_plan(console, plans, options.workers)
    if only_plan or (ask and not study.agreed(sum(plan.minutes for plan in plans))):
        return 0
    where, tracking = conducts[0].runs_dir, conducts[0].tracking
    try:
        ended = run_all(conducts, options, console)
        stopped = None if ended.stopped_by is None else 128 + ended.stopped_by
    except KeyboardInterrupt:
        stopped = STOPPED
    if stopped is not None:
        print(f"whydeep: stopped; to continue: {masked(shlex.join(['whydeep', 'chapter', *argv]))}", file=sys.stderr)
        return stopped
    entries = entries_of(chapter, ended, prepared, tracking)
    varied = membership.variation([*map(masked, prepared[0].overrides)], prepared[0].scale)
    pages = tracking.destination().pages
    book = write_book(book_folder(where, varied), chapter, entries, varied, address=pages)
    console.print()
    print_index(console, [entries[one.name] for one in prepared])
    print(f"book: {book}")
    print(f"browse: {shlex.join(['whydeep', 'ui', *([] if str(where) == 'runs' else [f'runs_dir={where}'])])}")
    return int(not ended.complete)


def _prepared(chapter: "Chapter", keys: dict[str, str | None], overrides: Sequence[str]) -> "list[Prepared]":
    """Make all studies ready; what is wrong with the last one is said before the seconds that torch takes."""
    from experiments.studies.prepared import prepared, told_of  # noqa: PLC0415 - seconds that --help saves

    seeds = None if keys["seeds"] is None else seeds_of(keys["seeds"])
    ready = []
    for name in chapter.studies:
        try:
            ready.append(prepared(name, keys["scale"], seeds, overrides))
        except UserError as error:
            raise told_of(name, error) from error
    return ready


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.strip("[]").split(",")]


if __name__ == "__main__":
    sys.exit(run("chapter", sys.argv[1:]))
