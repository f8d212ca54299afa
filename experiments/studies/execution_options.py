"""How the runs of a study are executed: where, how many at once, and how often one is tried again."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from experiments.errors import UserError
from experiments.runs.configuration import nearest
from experiments.runs.cores import cores

Launcher = Literal["here", "pool", "submitit_local", "submitit_slurm", "ray"]
# How many jobs a cluster's queue holds of one study at once, where nobody says.
CLUSTER_JOBS = 64
# A queue of more jobs than that is no study any more; of this machine, so many processes for each core, at least MOST.
MOST_JOBS, PER_CORE, MOST = 1000, 4, 16
# What a launcher needs beside whydeep: the packages, and the extra that brings them.
EXTRAS = {
    "submitit_local": (("submitit", "hydra_plugins.hydra_submitit_launcher"), "slurm"),
    "submitit_slurm": (("submitit", "hydra_plugins.hydra_submitit_launcher"), "slurm"),
    "ray": (("ray", "hydra_plugins.hydra_ray_launcher"), "ray"),
}


@dataclass(frozen=True)
class ExecutionOptions:
    """How the runs of a study are executed; nothing of it is part of what they compute.

    Attributes:
        launcher: `here` is this process.
        workers: how many runs at once.
        retries: how often a run is tried again that crashed (see `endings.is_crash`), or whose process died. A loss
            that is no number, and memory that is too small, are not tried again: they would be the same.
        settings: Hydra overrides for its launchers, such as `hydra.launcher.partition=gpu`.
    """

    launcher: Launcher = "here"
    workers: int = 1
    retries: int = 1
    settings: tuple[str, ...] = ()


def execution_options(
    launcher: str | None = None, workers: str | None = None, retries: str | None = None, settings: Sequence[str] = ()
) -> ExecutionOptions:
    """Read the options as they are given on the command line; `None` for what is not given.

    Several workers mean a pool where no launcher is named; a pool without a number of workers has one for each core.

    Raises:
        UserError: one line that names key, value and what is allowed.
    """
    allowed = [name for name in get_args(Launcher) if name != "here"]
    if launcher is not None and launcher not in allowed:
        raise UserError(f"launcher={launcher}: no such launcher; {nearest(launcher, allowed)}")
    number = _number("workers", workers, 1)
    if settings and launcher in (None, "pool"):
        raise UserError(f"{settings[0]}: goes with a launcher of Hydra's, such as launcher=submitit_slurm")
    chosen: Launcher = next(
        (name for name in get_args(Launcher) if name == launcher), "pool" if (number or 1) > 1 else "here"
    )
    check_installed(chosen)
    _check_workers(number or 1, chosen)
    usual = {"here": 1, "pool": cores(), "submitit_local": cores()}.get(chosen, CLUSTER_JOBS)
    tries = _number("retries", retries, 0)
    return ExecutionOptions(chosen, number or usual, 1 if tries is None else tries, tuple(settings))


def check_installed(launcher: str) -> None:
    """Refuse a launcher that is not there.

    Raises:
        UserError: one line that says how it is had.
    """
    packages, extra = EXTRAS.get(launcher, ((), ""))
    if not all(map(_is_installed, packages)):
        raise UserError(f"launcher={launcher}: not installed; pip install 'whydeep[{extra}]' brings it")


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _check_workers(number: int, launcher: Launcher) -> None:
    if launcher in ("submitit_slurm", "ray"):
        most, why = MOST_JOBS, "at once in a queue"
    else:
        most, why = max(MOST, PER_CORE * cores()), f"on this machine, which has {cores()} cores"
    if number > most:
        raise UserError(f"workers={number}: must be at most {most} {why}")


def _number(key: str, text: str | None, least: int) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < least:
        raise UserError(f"{key}={text}: must be a whole number from {least}")
    return int(text)
