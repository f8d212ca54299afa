"""Where runs of one identity lie: the directory of the first, and of those that began anew after it."""

from collections.abc import Mapping
from pathlib import Path

from experiments.errors import UserError
from experiments.runs.result import RunResult

_NAMING = ("model", "datamodule", "augmentation")


def stem(choices: Mapping[str, object], seed: int, identity: str) -> str:
    """Return the name of a run's directory, made of what people tell runs apart by."""
    parts = [str(choices.get(group) or "own") for group in _NAMING]
    return f"{'-'.join(parts)}-seed{seed}-{identity[:10]}"


def latest(runs_dir: Path, name: str) -> Path:
    """Return the directory of the latest attempt at the run called `name`; of the first where there is none yet."""
    found = runs_dir / name
    number = 2
    while (following := runs_dir / f"{name}-{number}").exists():
        found, number = following, number + 1
    return found


def following(runs_dir: Path, name: str) -> Path:
    """Return the directory of an attempt after the latest; of the first where there is none yet."""
    last = latest(runs_dir, name)
    if not last.exists():
        return last
    number = last.name.removeprefix(f"{name}-") if last.name != name else "1"
    return runs_dir / f"{name}-{int(number) + 1}"


def directory(runs_dir: Path, name: str, *, rerun: bool, resume: bool) -> Path:
    """Return where a run is executed: on from its latest attempt, or anew.

    Args:
        runs_dir: the folder of all runs.
        name: of the run, as `stem` makes it.
        rerun: begin anew where the latest attempt is finished.
        resume: go on where it is not.

    Raises:
        UserError: the latest attempt's result cannot be read.
    """
    last = latest(runs_dir, name)
    result = RunResult.read(last)
    finished = result is not None and result.status == "FINISHED"
    return following(runs_dir, name) if (rerun if finished else not resume) else last


def refuse_others(result: RunResult, identity: str) -> None:
    """Refuse a folder that holds a run of another identity than its name says, which has the first digits alone.

    Raises:
        UserError: it does.
    """
    if result.identity != identity:
        raise UserError(
            f"{result.run_dir}: holds a run of another identity ({result.identity}, not {identity}); move it away"
        )
