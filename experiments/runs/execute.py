"""Executing a run from its configuration: identity, directory, record, training, truthful end."""

import contextlib
import math
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from experiments.errors import UserError
from experiments.runs import attempts, processes, record
from experiments.runs.build import Assembly, assemble, build_trainer
from experiments.runs.callbacks import RunFailed, RunKilled
from experiments.runs.configuration import plain
from experiments.runs.endings import SAID, Endings, ending_of, raised_by
from experiments.runs.heartbeat import Beat
from experiments.runs.identity import Identity, identify
from experiments.runs.label import Label
from experiments.runs.launch import launch
from experiments.runs.log import LOG_FILE, last_lines, log_file
from experiments.runs.order import Order
from experiments.runs.place import check_place, tracking_options
from experiments.runs.provenance import collect
from experiments.runs.result import FILE as RESULT_FILE
from experiments.runs.result import RunResult, Status
from experiments.runs.settle import finished_by, settle
from experiments.runs.training import train
from experiments.tracking.credentials import masked
from experiments.tracking.leftovers import end_left_run, reconcile
from experiments.tracking.locks import holder
from experiments.tracking.logger import TrackerLogger
from experiments.tracking.opening import open_run, written_by
from experiments.tracking.options import TrackingOptions
from experiments.tracking.tracker import RunTracker

__all__ = ["RunFailed", "RunKilled", "RunResult", "execute"]

UNLABELLED = Label()
LOOK_SECONDS = 60.0
_looked_through: dict[Path, float] = {}
LOG_TAG = "whydeep.log"


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
    if finished is not None and finished.identity != identity.digest:
        # The name of its folder has the first digits alone.
        raise UserError(
            f"{run_dir}: holds a run of another identity ({finished.identity}, not {identity.digest}); move it away"
        )
    if finished is not None and finished.status == "FINISHED":
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


def _left(runs_dir: Path) -> list[Path]:
    """Mark the runs that died, but not for each of thousands of short runs anew: that walks through all of them."""
    now = time.monotonic()
    if now - _looked_through.get(runs_dir, -math.inf) < LOOK_SECONDS:
        return []
    found = reconcile(runs_dir, finished_by)
    _looked_through[runs_dir] = now
    return found


def identity_of(assembly: Assembly) -> Identity:
    """Return the identity of an assembled run."""
    cfg = assembly.cfg
    return identify(cfg, assembly.datamodule.digest, shares=processes.shares(cfg, assembly.network))


def run_here(
    run_dir: Path,
    assembly: Assembly,
    identity: Identity,
    *,
    progress: bool,
    command: Sequence[str],
    endings: Endings,
    heartbeat: Path | None = None,
    label: Label = UNLABELLED,
) -> RunResult:
    """Train and record in this process, as one of the run's processes; only the first records.

    Raises:
        RunKilled, RunFailed: as `execute`.
        UserError: another process writes this run; nothing was written.
    """
    if not processes.is_first():
        return _follow(run_dir, assembly, identity, endings)
    name, options = run_dir.name, tracking_options(assembly.cfg)
    # Whoever died without a word is marked so, and what it could not send goes along.
    dead = [path for path in _left(run_dir.parent) if path != run_dir.resolve()]
    tracker = open_run(run_dir, options, name=label.name or name, tags=label.tags, leftovers=dead)
    done = RunResult.read(run_dir)
    if done is not None and done.status == "FINISHED" and processes.process_count(assembly.cfg) == 1:
        # Another process has finished it since this one looked: to train it on would make it another run.
        return replace(done, run_id=_closed(tracker, done)).again()
    endings.forget_others()
    with log_file(run_dir / LOG_FILE):
        try:
            before = record.start(tracker, run_dir, assembly, identity, collect(command))
            shown = name if progress else None
            if progress and assembly.start is not None:
                print(masked(str(assembly.start)), file=sys.stderr)
            outcome = train(assembly, run_dir, tracker, TrackerLogger(tracker), name=shown, heartbeat=heartbeat)
            record.finish(tracker, run_dir, assembly, outcome, before)
        except BaseException as error:
            if not tracker.is_recorded():
                gone = f"{run_dir}: was deleted during the run, and its record with it"
                tracker.abandon(ending_of(error).status, gone)
                raise RunFailed(gone) from error
            if not isinstance(error, SAID):
                _log_traceback(run_dir)
            ending = ending_of(error, run_dir / LOG_FILE)
            if processes.process_count(assembly.cfg) > 1:
                # The error of another process is the cause; here the connection to it was lost.
                endings.write(ending)
                ending = endings.first() or ending
            if ending.status == "FAILED" and (log := last_lines(run_dir / LOG_FILE)):
                tracker.tags({LOG_TAG: log})
            result = _result(run_dir, assembly, identity, ending.status, reason=ending.reason)
            raise raised_by(ending, _end(tracker, options, result), error) from error
        result = _result(run_dir, assembly, identity, "FINISHED", metrics=outcome.metrics)
        return _end(tracker, options, result)


def _follow(run_dir: Path, assembly: Assembly, identity: Identity, endings: Endings) -> RunResult:
    """Train in a process that does not record; what ends it is written down for those that do."""
    try:
        outcome = train(assembly, run_dir, processes.Silence(), None, name=None)
    except BaseException as error:
        if not isinstance(error, SAID):
            _log_traceback(run_dir)
        ending = ending_of(error, run_dir / LOG_FILE)
        endings.write(ending)
        raise raised_by(ending, None, error) from error
    return _result(run_dir, assembly, identity, "FINISHED", metrics=outcome.metrics)


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
    result = _result(run_dir, assembly, identity, ending.status, reason=ending.reason)
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


def _end(tracker: RunTracker, options: TrackingOptions, result: RunResult) -> RunResult:
    """Write the result, end the record, and say what the store has not got yet."""
    run_dir = result.run_dir
    tracker.description(record.description(tracker.name, result))
    record.gradient_flow(tracker, run_dir)
    tracker.artifact(run_dir / LOG_FILE)
    # Who finds a result finds the whole record beside it, whatever becomes of this process; of a full disk
    # `finish` tells.
    with contextlib.suppress(OSError):
        tracker.flush()
    result.write()
    # Whoever fetches the run from the store has the last values with all their digits.
    tracker.artifact(run_dir / RESULT_FILE)
    delivery = tracker.finish(result.status, result.reason)
    if delivery.pending and options.deliver:
        print(
            f"{run_dir.name}: {delivery.pending} records could not be sent to the tracking store yet"
            f" ({delivery.error or 'still busy'}); they are safe in {run_dir}, and `whydeep sync` sends them",
            file=sys.stderr,
        )
    result = replace(result, run_id=tracker.run_id)
    result.write()
    return result


def _closed(tracker: RunTracker, done: RunResult) -> str | None:
    """Close the record of a run that has nothing to add; return its id."""
    tracker.finish(done.status, done.reason)
    return tracker.run_id or done.run_id


def _directory(assembly: Assembly, identity: Identity) -> Path:
    """Return the directory of the run: that of a finished or interrupted one of the same identity, or a new one."""
    options = assembly.options
    name = attempts.stem(assembly.cfg.choices, options.seed, identity.digest)
    return attempts.directory(Path(options.runs_dir), name, rerun=options.rerun, resume=options.resume == "auto")


def _result(
    run_dir: Path,
    assembly: Assembly,
    identity: Identity,
    status: Status,
    *,
    metrics: dict[str, float] | None = None,
    reason: str | None = None,
) -> RunResult:
    return RunResult(
        run_dir=run_dir,
        run_id=None,
        identity=identity.digest,
        name=run_dir.name,
        status=status,
        seed=assembly.options.seed,
        choices={str(group): str(option) for group, option in assembly.cfg.choices.items()},
        input_shape=assembly.input_shape,
        metrics=metrics or {},
        measures=record.scalars(assembly.measures),
        reason=reason,
    )


def _log_traceback(run_dir: Path) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / LOG_FILE).open("a", encoding="utf-8") as log:
        log.write(masked(f"process {processes.rank()}: {traceback.format_exc()}"))
