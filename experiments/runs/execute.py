"""Executing a run from its configuration: identity, directory, record, training, truthful end."""

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from datamodules.errors import DataError
from experiments.errors import UserError
from experiments.runs import processes, record
from experiments.runs.build import Assembly, assemble
from experiments.runs.callbacks import RunFailed, RunKilled
from experiments.runs.identity import Identity, identify
from experiments.runs.place import check_place, tracking_options
from experiments.runs.provenance import collect
from experiments.runs.result import RunResult, Status
from experiments.runs.training import train
from experiments.tracking.credentials import masked
from experiments.tracking.leftovers import reconcile
from experiments.tracking.logger import TrackerLogger
from experiments.tracking.options import TrackingOptions
from experiments.tracking.tracker import RunTracker, open_run

__all__ = ["RunFailed", "RunKilled", "RunResult", "execute"]

LOG_FILE = "log.txt"
LOGGED = ("experiments", "datamodules", "lightning_modules", "pytorch_lightning", "py.warnings")


def execute(cfg: DictConfig, *, progress: bool = True, command: Sequence[str] = ()) -> RunResult:
    """Run what `cfg` describes, or return the result of the finished run of the same identity.

    An interrupted run of the same identity is continued (`resume: auto`), under the same run id.

    Args:
        cfg: composed by `configuration.compose`.
        progress: show epochs and errors while training.
        command: the command line, for the provenance.

    Raises:
        UserError: what is asked cannot be; nothing was recorded.
        RunKilled: Ctrl-C or SIGTERM; the same configuration continues it.
        RunFailed: the training diverged, one of its processes died, or anything else went wrong in it; recorded as
            FAILED, with the reason.
    """
    check_place(cfg)
    with processes.left_as_found():
        return _execute(cfg, progress=progress, command=command)


def _execute(cfg: DictConfig, *, progress: bool, command: Sequence[str]) -> RunResult:
    assembly = assemble(cfg)
    identity = identify(cfg, assembly.datamodule.digest)
    run_dir = _directory(assembly, identity)
    finished = RunResult.read(run_dir)
    if finished is not None and finished.status == "FINISHED":
        return finished.again()
    record.write_inputs(run_dir, assembly, identity, collect(command))
    if processes.must_launch(cfg):
        processes.launch(run_dir, cfg)
        result = RunResult.read(run_dir)
        if result is None:
            raise RunFailed("the processes ended without a result")
        return result
    return run_here(run_dir, assembly, identity, progress=progress)


def run_here(run_dir: Path, assembly: Assembly, identity: Identity, *, progress: bool) -> RunResult:
    """Train and record in this process, as one of the run's processes; only the first records.

    Raises:
        RunKilled, RunFailed: as `execute`.
    """
    name = run_dir.name
    if not processes.is_first():
        outcome = train(assembly, run_dir, processes.Silence(), None, name=None)
        return _result(run_dir, assembly, identity, "FINISHED", metrics=outcome.metrics)
    options = tracking_options(assembly.cfg)
    with _log_file(run_dir / LOG_FILE):
        # Whoever died without a word is marked so, and what it could not send goes along.
        dead = [path for path in reconcile(run_dir.parent) if path != run_dir.resolve()]
        tracker = open_run(run_dir, options, name=name, tags={}, leftovers=dead)
        try:
            before = record.start(tracker, run_dir, assembly, identity)
            outcome = train(assembly, run_dir, tracker, TrackerLogger(tracker), name=name if progress else None)
            record.finish(tracker, run_dir, assembly, outcome, before)
        except BaseException as error:
            status: Status = "KILLED" if isinstance(error, RunKilled | KeyboardInterrupt) else "FAILED"
            reason = _reason(error)
            if not tracker.is_recorded():
                gone = f"{run_dir}: was deleted during the run, and its record with it"
                tracker.abandon(status, gone)
                raise RunFailed(gone) from error
            if not isinstance(error, _SAID):
                with (run_dir / LOG_FILE).open("a", encoding="utf-8") as log:
                    log.write(masked(traceback.format_exc()))
                reason += f" (log: {run_dir / LOG_FILE})"
            result = _end(tracker, options, _result(run_dir, assembly, identity, status, reason=reason))
            if isinstance(error, RunFailed | RunKilled):
                error.result = result
            elif isinstance(error, Exception) and not isinstance(error, UserError):
                raise RunFailed(reason, result) from error
            raise
        result = _result(run_dir, assembly, identity, "FINISHED", metrics=outcome.metrics)
        return _end(tracker, options, result)


def _end(tracker: RunTracker, options: TrackingOptions, result: RunResult) -> RunResult:
    """Write the result, end the record, and say what the store has not got yet."""
    result.write()
    run_dir = result.run_dir
    record.gradient_flow(tracker, run_dir)
    tracker.artifact(run_dir / LOG_FILE)
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


def _directory(assembly: Assembly, identity: Identity) -> Path:
    """Return the directory of the run: that of a finished or interrupted one of the same identity, or a new one."""
    cfg, options = assembly.cfg, assembly.options
    parts = [cfg.choices.get(group) or "own" for group in ("model", "datamodule", "augmentation")]
    stem = f"{'-'.join(map(str, parts))}-seed{options.seed}-{identity.digest[:10]}"
    attempts = [Path(options.runs_dir) / stem]
    while (following := Path(options.runs_dir) / f"{stem}-{len(attempts) + 1}").exists():
        attempts.append(following)
    latest = attempts[-1]
    result = RunResult.read(latest)
    done = result is not None and result.status == "FINISHED"
    begin_anew = options.rerun if done else options.resume == "never"
    return following if begin_anew and latest.exists() else latest


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


# Exceptions whose text was made to be read; where the others come from is kept in the run's log.
_SAID = (RunKilled, RunFailed, UserError, DataError, KeyboardInterrupt)


def _reason(error: BaseException) -> str:
    if isinstance(error, _SAID) and str(error):
        return masked(str(error))
    return masked(f"{type(error).__name__}: {error}".strip())


class _MaskedFormatter(logging.Formatter):
    """Writes no passwords, whoever logs them."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


@contextlib.contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """Keep what is logged, warnings included, in a file of the run."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_MaskedFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in LOGGED]
    logging.captureWarnings(capture=True)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
        logging.captureWarnings(capture=False)
