"""Executing a run from its configuration: its identity, its directory, its processes."""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from experiments.errors import UserError
from experiments.runs import attempts, processes
from experiments.runs.build import Assembly, assemble, build_trainer
from experiments.runs.callbacks import RunFailed, RunKilled
from experiments.runs.causes import raised_by
from experiments.runs.configuration import plain
from experiments.runs.endings import Endings
from experiments.runs.heartbeat import Beat
from experiments.runs.identity import Identity, identify
from experiments.runs.label import Label
from experiments.runs.launch import launch
from experiments.runs.order import Order
from experiments.runs.place import check_place, tracking_options
from experiments.runs.result import RunResult
from experiments.runs.session import UNLABELLED, result_of, run_here
from experiments.runs.settle import settle
from experiments.tracking.leftovers import end_left_run
from experiments.tracking.locks import holder
from experiments.tracking.opening import written_by

__all__ = ["UNLABELLED", "RunFailed", "RunKilled", "RunResult", "execute"]


def execute(
    cfg: DictConfig,
    *,
    progress: bool = True,
    heartbeat: Path | None = None,
    command: Sequence[str] = (),
    label: Label = UNLABELLED,
) -> RunResult:
    """Run what `cfg` describes, or return the result of the finished run of the same identity.

    An interrupted run of the same identity is continued (`resume: auto`), under the same run id.

    Args:
        cfg: composed by `configuration.compose`.
        progress: show epochs and errors while training.
        heartbeat: a file that says where the run is and how far, for others (`heartbeat.Beat`).
        command: the command line, for the provenance.
        label: the run's name and tags in the tracking store.

    Raises:
        UserError: what is asked cannot be; nothing was recorded.
        RunKilled: Ctrl-C or SIGTERM; the same configuration continues it.
        RunFailed: the training diverged, one of its processes died, or anything else went wrong in it; recorded as
            FAILED, with the reason.
    """
    check_place(cfg)
    with processes.left_as_found():
        return _execute(cfg, progress=progress, heartbeat=heartbeat, command=command, label=label)


def _execute(
    cfg: DictConfig, *, progress: bool, heartbeat: Path | None, command: Sequence[str], label: Label
) -> RunResult:
    assembly = assemble(cfg)
    identity = identity_of(assembly)
    run_dir, session = _agree(assembly, identity)
    finished = RunResult.read(run_dir)
    if finished is not None:
        attempts.refuse_others(finished, identity.digest)
        if finished.status == "FINISHED":
            return settle(finished, tracking_options(cfg)).again()
    if heartbeat is not None:
        Beat(str(run_dir), time.time()).write(heartbeat)
    run = _launch if processes.must_launch(cfg) else run_here
    return run(
        run_dir,
        assembly,
        identity,
        progress=progress,
        heartbeat=heartbeat,
        command=command,
        endings=Endings(run_dir, session),
        label=label,
    )


def identity_of(assembly: Assembly) -> Identity:
    """Return the identity of an assembled run."""
    cfg = assembly.cfg
    return identify(cfg, assembly.datamodule.digest, shares=processes.shares(cfg, assembly.network))


def _launch(
    run_dir: Path,
    assembly: Assembly,
    identity: Identity,
    *,
    progress: bool,
    heartbeat: Path | None,
    command: Sequence[str],
    endings: Endings,
    label: Label,
) -> RunResult:
    """Run in processes of their own; the record says in the end why the first of them ended."""
    if (who := holder(run_dir)) is not None:
        raise written_by(run_dir, who)
    cfg = assembly.cfg
    order = Order(
        run_dir=str(run_dir),
        config=plain(cfg),
        session=endings.session,
        command=list(command) or sys.argv,
        progress=progress,
        heartbeat=None if heartbeat is None else str(heartbeat.absolute()),
        name=label.name,
        tags=dict(label.tags),
    )
    try:
        ending = launch(processes.process_count(cfg), endings, order)
    finally:
        endings.forget()
    if ending is None:
        result = RunResult.read(run_dir)
        if result is None or result.status != "FINISHED":
            raise RunFailed("the processes ended without a result", result)
        return result
    if ending.mistake:
        raise UserError(ending.reason)
    card = end_left_run(
        run_dir, tracking_options(cfg), "KILLED" if ending.status == "KILLED" else "FAILED", ending.reason
    )
    result = result_of(run_dir, assembly, identity, ending.status, reason=ending.reason)
    result = replace(result, run_id=None if card is None else card.run_id)
    result.write()
    raise raised_by(ending, result)


def _agree(assembly: Assembly, identity: Identity) -> tuple[Path, str]:
    """Return the run's directory and a name for this session, chosen by the first of the processes."""
    session = f"{time.time_ns()}-{os.getpid()}"
    if not processes.launched_by_others():
        return _directory(assembly, identity), session
    trainer = build_trainer(assembly.cfg, callbacks=[], logger=None, run_dir=assembly.options.runs_dir)
    trainer.strategy.setup_environment()
    chosen: tuple[str, str] | UserError = ("", "")
    if processes.is_first():
        try:
            chosen = (str(_directory(assembly, identity)), session)
        except UserError as error:
            chosen = error
    chosen = trainer.strategy.broadcast(chosen)
    if isinstance(chosen, UserError):
        raise chosen
    return Path(chosen[0]), chosen[1]


def _directory(assembly: Assembly, identity: Identity) -> Path:
    """Return the directory of the run: that of a finished or interrupted one of the same identity, or a new one."""
    options = assembly.options
    name = attempts.stem(assembly.cfg.choices, options.seed, identity.digest)
    return attempts.directory(Path(options.runs_dir), name, rerun=options.rerun, resume=options.resume == "auto")
