"""One process's part of a run: training, its record, and a truthful end."""

import contextlib
import math
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.runs import processes, record
from experiments.runs.build import Assembly
from experiments.runs.callbacks import RunFailed
from experiments.runs.causes import SAID, ending_of, raised_by
from experiments.runs.endings import Endings
from experiments.runs.identity import Identity
from experiments.runs.label import Label
from experiments.runs.log import LOG_FILE, last_lines, log_file
from experiments.runs.place import tracking_options
from experiments.runs.provenance import collect
from experiments.runs.result import FILE as RESULT_FILE
from experiments.runs.result import RunResult, Status
from experiments.runs.settle import ended_by
from experiments.runs.training import train
from experiments.tracking.credentials import masked
from experiments.tracking.leftovers import reconcile
from experiments.tracking.logger import TrackerLogger
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.tracker import RunTracker

UNLABELLED = Label()
LOOK_SECONDS = 60.0
_looked_through: dict[Path, float] = {}
LOG_TAG = "whydeep.log"


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
    if done is not None and done.status != "FINISHED":
        # How an earlier session ended: were this one killed, it would be taken for the end of this one.
        (run_dir / RESULT_FILE).unlink(missing_ok=True)
    endings.forget_others()
    with log_file(run_dir / LOG_FILE):
        try:
            before = record.start(tracker, run_dir, assembly, identity, collect(command))
            shown = name if progress else None
            if progress and assembly.start is not None:
                print(masked(str(assembly.start)), file=sys.stderr)
            outcome = train(assembly, run_dir, tracker, TrackerLogger(tracker), name=shown, heartbeat=heartbeat)
            seen = record.finish(tracker, run_dir, assembly, outcome, before)
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
            result = result_of(run_dir, assembly, identity, ending.status, reason=ending.reason)
            raise raised_by(ending, _end(tracker, options, result), error) from error
        result = result_of(run_dir, assembly, identity, "FINISHED", metrics=outcome.metrics | seen)
        return _end(tracker, options, result)


def result_of(
    run_dir: Path,
    assembly: Assembly,
    identity: Identity,
    status: Status,
    *,
    metrics: dict[str, float] | None = None,
    reason: str | None = None,
) -> RunResult:
    """Return what became of the run in `run_dir`; its run id is the store's to say."""
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
    return result_of(run_dir, assembly, identity, "FINISHED", metrics=outcome.metrics)


def _end(tracker: RunTracker, options: TrackingOptions, result: RunResult) -> RunResult:
    """Write the result, end the record, and say what the store has not got yet."""
    run_dir = result.run_dir
    tracker.description(record.description(tracker.name, result))
    record.gradient_flow(tracker, run_dir)
    record.layer_probes(tracker, run_dir)
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


def _left(runs_dir: Path) -> list[Path]:
    """Mark the runs that died, but not for each of thousands of short runs anew: that walks through all of them."""
    now = time.monotonic()
    if now - _looked_through.get(runs_dir, -math.inf) < LOOK_SECONDS:
        return []
    found = reconcile(runs_dir, ended_by)
    _looked_through[runs_dir] = now
    return found


def _log_traceback(run_dir: Path) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / LOG_FILE).open("a", encoding="utf-8") as log:
        log.write(masked(f"process {processes.rank()}: {traceback.format_exc()}"))
