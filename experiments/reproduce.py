"""Run a recorded run or study again and say whether the result is identical, equivalent or different.

whydeep reproduce RUN_ID
whydeep reproduce RUN_ID threads=1
whydeep reproduce RUN_ID optimizer.weight_decay=0.001
whydeep reproduce study=stacked_filters against=reference

keys of a run:
  run=ID          the run, where it is not the first argument: its MLflow id, the beginning of it, its name or directory
  threads=N       compute with so many threads; else with the recorded number, or $OMP_NUM_THREADS
  diff=apply      run recorded changes to the code that came from a store with the run; read them first
  KEY=VALUE       any other value of the recorded configuration, to see what it changes: where the data lie (data_dir,
                  datamodule.root), on what it is computed (trainer.accelerator, trainer.devices), or what is computed
keys of a study:
  study=NAME      the study that is recorded here: all of its runs are run again
  against=reference   compare with its recorded result in docs/studies; against=FILE: in another file. Runs that are
                  finished here count, what is missing is run
  scale=NAME, KEY=VALUE   which variation of it, and how it is executed; as for `whydeep study`
  seeds=N or [a,b]    some of the seeds that were recorded
  workers=N, launcher=NAME, retries=N   as for `whydeep study`
keys of both:
  json=FILE       also write the answer there
  runs_dir=runs   where runs are recorded
A run has the code of its recorded commit and changes, in a git worktree where it is not what is here; a study the code
that is here. What is recorded is only read. Interrupted, the same command goes on.
Exit code 0: identical (to the bit) or equivalent (by a test of equivalence); 1: different; 2: cannot be compared.
docs/reproduce.md says what is compared, and by which rule.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.arguments import check_keys, seeds_of, split_arguments, split_launcher
from experiments.cli import run
from experiments.errors import UserError
from experiments.runs.overrides import is_override, override_key

if TYPE_CHECKING:
    from experiments.runs.reproduction import Reproduction, Request
    from experiments.studies.reproduction import StudyReproduction, StudyRequest

OF_A_RUN = ("run", "threads", "diff")
OF_A_STUDY = ("study", "against", "scale", "seeds", "workers", "launcher", "retries")
KEYS: dict[str, str | None] = dict.fromkeys((*OF_A_RUN, *OF_A_STUDY, "json", "runs_dir"))


def main(argv: Sequence[str]) -> int:
    """Reproduce and print; return the exit code: 0 identical or equivalent, 1 different.

    Raises:
        UserError: a mistake in what was asked, or nothing to compare with.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, others = split_arguments(argv, KEYS)
    names = [argument for argument in others if not is_override(argument)]
    overrides = [argument for argument in others if is_override(argument)]
    if keys["study"] is not None:
        return _study(keys, names, overrides, argv)
    for key in OF_A_STUDY:
        if keys[key] is not None:
            raise UserError(f"{key}={keys[key]}: goes with study=NAME, not with a run")
    if keys["run"] is not None:
        names.append(keys["run"])
    if len(names) != 1:
        given = f", not {len(names)} ({', '.join(names)})" if names else ""
        raise UserError(
            f"reproduce: needs one run{given}, or a study: whydeep reproduce RUN_ID, whydeep reproduce study=NAME"
        )
    if keys["diff"] not in (None, "apply"):
        raise UserError(f"diff={keys['diff']}: allowed: apply")
    target = None if keys["json"] is None else _writable(Path(keys["json"]))
    threads = _number(keys["threads"])
    request = _request(names[0], keys["runs_dir"], overrides, threads, argv, apply_diff=keys["diff"] == "apply")
    return _reproduce(request, target)


def _request(
    reference: str,
    runs_dir: str | None,
    overrides: Sequence[str],
    threads: int | None,
    argv: Sequence[str],
    *,
    apply_diff: bool,
) -> "Request":
    from experiments.runs.reproduction import Request  # noqa: PLC0415 - seconds that --help and mistakes save
    from experiments.tracking.card import read_card  # noqa: PLC0415
    from experiments.tracking.lookup import find_run  # noqa: PLC0415

    directory = Path(reference)
    beside = directory.is_dir() and read_card(directory) is not None
    place = Path(runs_dir) if runs_dir else directory.resolve().parent if beside else Path("runs")
    return Request(
        run_dir=find_run(place, reference),
        runs_dir=place,
        overrides=tuple(overrides),
        threads=threads,
        apply_diff=apply_diff,
        command=("whydeep", "reproduce", *argv),
        progress=sys.stderr.isatty(),
    )


def _reproduce(request: "Request", target: Path | None) -> int:
    from rich.console import Console  # noqa: PLC0415 - seconds that --help and mistakes save

    from experiments.runs.callbacks import RunFailed, RunKilled  # noqa: PLC0415
    from experiments.runs.reproduction import reproduce  # noqa: PLC0415
    from experiments.runs.reproduction_table import print_note, print_reproduction  # noqa: PLC0415
    from experiments.tracking.credentials import masked  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        reproduction = reproduce(request, lambda subject, line: print_note(console, subject, line))
    except RunFailed as failed:
        print(
            f"whydeep: different: the run finished when it was recorded, and failed now: {masked(str(failed))}",
            file=sys.stderr,
        )
        return 1
    except RunKilled as killed:
        print(f"whydeep: {killed}; the same command continues the run", file=sys.stderr)
        return 128 + killed.signal_number
    print_reproduction(console, reproduction)
    if target is not None:
        _write(target, reproduction)
    return 1 if reproduction.answer == "different" else 0


def _study(keys: dict[str, str | None], names: Sequence[str], overrides: Sequence[str], argv: Sequence[str]) -> int:
    if names:
        raise UserError(f"{' '.join(names)}: study={keys['study']} is what is reproduced; one at a time")
    for key in OF_A_RUN:
        if keys[key] is not None:
            hint = "; $OMP_NUM_THREADS says it for a study" if key == "threads" else ""
            raise UserError(f"{key}={keys[key]}: goes with a run, not with study={keys['study']}{hint}")
    settings, others = split_launcher(overrides)
    # A seed is one of the study's: its plan says so where it is given.
    check_keys([item for item in others if override_key(item) != "seed"], KEYS, less=["seed"])
    target = None if keys["json"] is None else _writable(Path(keys["json"]))
    # Threads that spin while they wait cost several times the work on a busy machine; read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from experiments.studies.execution_options import execution_options  # noqa: PLC0415 - seconds, as above
    from experiments.studies.reproduction import StudyRequest  # noqa: PLC0415
    from experiments.studies.study_parts import LAPTOP  # noqa: PLC0415

    request = StudyRequest(
        name=str(keys["study"]),
        scale=keys["scale"] or LAPTOP,
        seeds=None if keys["seeds"] is None else seeds_of(keys["seeds"]),
        overrides=tuple(others),
        against=keys["against"],
        runs_dir=Path(keys["runs_dir"] or "runs"),
        options=execution_options(keys["launcher"], keys["workers"], keys["retries"], settings),
        command=("whydeep", "reproduce", *argv),
    )
    return _reproduce_study(request, target)


def _reproduce_study(request: "StudyRequest", target: Path | None) -> int:
    from rich.console import Console  # noqa: PLC0415 - seconds that --help and mistakes save

    from experiments.runs.reproduction_table import print_note  # noqa: PLC0415
    from experiments.studies.reproduction import reproduce_study  # noqa: PLC0415
    from experiments.studies.reproduction_table import print_study_reproduction  # noqa: PLC0415

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    found = reproduce_study(request, lambda subject, line: print_note(console, subject, line))
    if found.likeness is None:
        print("whydeep: stopped; the same command continues the study", file=sys.stderr)
        return 128 + (found.answer.stopped_by or 0)
    print_study_reproduction(console, found, found.likeness)
    if target is not None:
        _write(target, found)
    return 1 if found.likeness.answer == "different" else 0


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not int(text):
        raise UserError(f"threads={text}: must be a number from 1")
    return int(text)


def _writable(path: Path) -> Path:
    """Refuse a file that could not be written once everything is computed."""
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UserError(f"json={path}: cannot be written; it must be a file in a folder that exists")
    return path


def _write(path: Path, reproduction: "Reproduction | StudyReproduction") -> None:
    try:
        path.write_text(json.dumps(reproduction.as_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"json={path}: cannot be written ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(run("reproduce", sys.argv[1:]))
