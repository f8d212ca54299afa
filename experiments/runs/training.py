"""Training one assembled run in this process, from its last checkpoint if there is one, and testing its best epoch."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from torch import Tensor

from experiments.runs.allocator import keep_freed_memory
from experiments.runs.averaging import moving_average
from experiments.runs.build import Assembly, build_trainer
from experiments.runs.callbacks import Checkpoints, EpochTimes, Recorder, RunFailed, StepLosses
from experiments.runs.gradient_flow import GradientFlow
from experiments.runs.heartbeat import Heartbeat
from experiments.runs.inspection import write_gradient_flow
from experiments.runs.layer_probes import LayerProbes
from experiments.runs.layer_probes import write as write_layer_record
from experiments.runs.options import RunOptions
from experiments.runs.progress import TrainingProgress
from experiments.runs.stopping import CleanStop


@dataclass(frozen=True)
class Outcome:
    """What a finished training leaves.

    `metrics` holds the last value of each metric; `confusion` int64 `(K, K)`, rows the true classes, counts the test
    split; `error_per_class` is in percent; `best` is the tested checkpoint, whose weights the module has.
    """

    metrics: dict[str, float]
    confusion: Tensor
    error_per_class: list[float | None]
    best: Path


@dataclass(frozen=True)
class Watchers:
    """The callbacks of a run; those that it asks afterwards by name."""

    callbacks: list[Callback]
    checkpoints: Checkpoints
    times: EpochTimes
    stop: CleanStop


def watchers(
    options: RunOptions,
    run_dir: Path,
    recorder: Recorder,
    *,
    name: str | None,
    heartbeat: Path | None = None,
    flow: GradientFlow | None = None,
    probes: LayerProbes | None = None,
) -> Watchers:
    """Return the callbacks that every run has, and those that are asked for; no progress without a `name`."""
    losses = StepLosses(recorder)
    checkpoints = Checkpoints(run_dir / "checkpoints", losses, recorder, minutes=options.checkpoint_minutes)
    times = EpochTimes(recorder)
    stop = CleanStop(checkpoints)
    callbacks: list[Callback] = [losses, times, stop, checkpoints]
    if options.ema_decay is not None:
        # Before the others: a step is in the average when they save it.
        callbacks.insert(0, moving_average(options.ema_decay))
    if flow is not None:
        callbacks.insert(0, flow)
    if probes is not None:
        # After the clock of the epoch has stopped.
        callbacks.append(probes)
    if name is not None:
        callbacks.append(TrainingProgress(name))
    if heartbeat is not None:
        callbacks.append(Heartbeat(heartbeat, run_dir))
    return Watchers(callbacks, checkpoints, times, stop)


def train(
    assembly: Assembly,
    run_dir: Path,
    recorder: Recorder,
    logger: Logger | None,
    *,
    name: str | None,
    heartbeat: Path | None = None,
) -> Outcome:
    """Fit, then test the best checkpoint by validation once: the averaged weights where `ema_decay` asks for them.

    A run that ends before its first validation tests its last weights.

    Args:
        assembly: what is trained.
        run_dir: keeps the checkpoints.
        recorder: gets what the callbacks measure.
        logger: gets the errors of each epoch.
        name: shown beside the progress; `None` shows none.
        heartbeat: a file that says how far the training is, for others.

    Raises:
        RunKilled: Ctrl-C or SIGTERM; `last.ckpt` is what is gone on from.
        RunFailed: the loss is no number any more, or the test did not count every sample.
    """
    keep_freed_memory()
    flow = None
    if every := assembly.options.gradient_flow_every:
        flow = GradientFlow(every, assembly.network, [layer.name for layer in assembly.measures.layers])
    probes = None
    if every := assembly.options.probe_every:
        images, network, measures = assembly.options.probe_images, assembly.network, assembly.measures
        probes = LayerProbes(every, images, network, measures, assembly.datamodule, recorder)
    watch = watchers(assembly.options, run_dir, recorder, name=name, heartbeat=heartbeat, flow=flow, probes=probes)
    checkpoints, times, stop = watch.checkpoints, watch.times, watch.stop
    trainer = build_trainer(assembly.cfg, callbacks=watch.callbacks, logger=logger, run_dir=str(run_dir))
    resumed = checkpoints.last if checkpoints.last.exists() else None
    with contextlib.ExitStack() as stack:
        if flow is not None:
            # Also of a training that fails: then it is wanted most.
            stack.callback(lambda: write_gradient_flow(run_dir, flow.record))
        if probes is not None:
            stack.callback(lambda: write_layer_record(run_dir, probes.record))
        stack.enter_context(stop.watching())
        if assembly.options.initial_errors and resumed is None:
            _validate_untrained(assembly, run_dir, recorder)
        trainer.fit(assembly.module, datamodule=assembly.datamodule, ckpt_path=resumed, weights_only=True)
        checkpoints.settle(trainer)
        spent = trainer.current_epoch, trainer.global_step
        train_seconds = times.train_seconds
        began = time.perf_counter()
        # Not by the trainer: the averaging of weights would put those back that it averages.
        tested = torch.load(checkpoints.best, map_location="cpu", weights_only=True)
        assembly.module.load_state_dict(tested["state_dict"])
        trainer.test(assembly.module, datamodule=assembly.datamodule, verbose=False)
        stop.stop_if_asked()
    metrics = dict(assembly.module.last_errors)
    if probes is not None:
        metrics |= probes.record.summary()
    metrics["time/train_seconds"] = train_seconds
    metrics["spent/epochs"], metrics["spent/steps"] = float(spent[0]), float(spent[1])
    metrics["time/test_seconds"] = time.perf_counter() - began
    if checkpoints.best_epoch is not None and checkpoints.best_error is not None:
        metrics["best/epoch"] = float(checkpoints.best_epoch)
        metrics["best/val_top1_error"] = checkpoints.best_error
    counts = assembly.module.test_counts
    confusion = counts.confusion.cpu()
    if assembly.cfg.trainer.limit_test_batches is None:
        check_whole(int(confusion.sum()), len(assembly.datamodule.split.test))
    return Outcome(metrics, confusion, counts.error_per_class(), checkpoints.best)


def _validate_untrained(assembly: Assembly, run_dir: Path, recorder: Recorder) -> None:
    """Record the errors on the validation split before any training, as `initial/val_top1_error` and so on.

    By a trainer of its own: the callbacks of the training would take it for an epoch's validation.
    """
    module = assembly.module
    trainer = build_trainer(assembly.cfg, callbacks=[], logger=None, run_dir=str(run_dir))
    trainer.validate(module, datamodule=assembly.datamodule, verbose=False)
    # Kept with the last errors, they are in every checkpoint.
    module.last_errors = {f"initial/val_{name}": value for name, value in module.val_counts.errors().items()}
    recorder.metrics(module.last_errors, step=0)


def check_whole(counted: int, samples: int) -> None:
    """Refuse a test that did not count every sample once, whatever the reason.

    Raises:
        RunFailed: it did not.
    """
    if counted != samples:
        raise RunFailed(f"the test counted {counted} samples of {samples}; its errors are not those of the split")
