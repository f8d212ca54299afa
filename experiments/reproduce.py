"""Run a recorded run again and say whether the result is identical, equivalent or different.

whydeep reproduce RUN_ID
whydeep reproduce RUN_ID threads=1
whydeep reproduce RUN_ID optimizer.weight_decay=0.001

keys:
  run=ID          the run, where it is not the first argument: its MLflow id, the beginning of it, its name or directory
  threads=N       compute with so many threads; else with the recorded number, or $OMP_NUM_THREADS
  json=FILE       also write the answer there
  diff=apply      run recorded changes to the code that came from a store with the run; read them first
  runs_dir=runs   where runs are recorded
  KEY=VALUE       any other value of the recorded configuration, to see what it changes: where the data lie (data_dir,
                  datamodule.root), on what it is computed (trainer.accelerator, trainer.devices), or what is computed
The code is that of the recorded commit and changes, in a git worktree where it is not what is here. The new run is one
of its own; the recorded one is only read. Interrupted, the same command goes on.
Exit code 0: identical (to the bit) or equivalent (by a test of equivalence); 1: different; 2: cannot be compared.
docs/reproduce.md says what is compared, and by which rule.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.arguments import split_arguments
from experiments.cli import run
from experiments.errors import UserError

if TYPE_CHECKING:
    from experiments.runs.reproduction import Reproduction, Request

KEYS = {"run": None, "threads": None, "json": None, "diff": None, "runs_dir": None}


def main(argv: Sequence[str]) -> int:
    """Reproduce and print; return the exit code: 0 identical or equivalent, 1 different.

    Raises:
        UserError: a mistake in what was asked, or nothing to compare with.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, others = split_arguments(argv, KEYS)
    names = [argument for argument in others if "=" not in argument]
    overrides = [argument for argument in others if "=" in argument]
    if keys["run"] is not None:
        names.append(keys["run"])
    if len(names) != 1:
        given = f", not {len(names)} ({', '.join(names)})" if names else ""
        raise UserError(f"reproduce: needs one run{given}: whydeep reproduce RUN_ID")
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


def _write(path: Path, reproduction: "Reproduction") -> None:
    try:
        path.write_text(json.dumps(reproduction.as_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"json={path}: cannot be written ({error.strerror})") from error


if __name__ == "__main__":
    sys.exit(run("reproduce", sys.argv[1:]))
