"""What a run does beside training: losses of every step, checkpoints, times."""

import math
import shutil
import signal
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from experiments.runs.result import RunResult
from lightning_modules.fine_tuning import rates

MONITOR = "val/top1_error"


class Recorder(Protocol):
    """Where metrics go: tracking's tracker."""

    def metrics(self, values: dict[str, float], *, step: int) -> None:
        """Record `values` at a step."""

    def flush(self) -> None:
        """Return when everything recorded so far is on disk."""


class RunKilled(Exception):  # noqa: N818 - it is an order, not an error
    """The run was asked to stop; `signal_number` says how, `result` what is recorded of it."""

    result: RunResult | None = None

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class RunFailed(RuntimeError):  # noqa: N818 - the state of a run
    """The run could not go on; `result` is what is recorded of it.

    `crashed` says that the machine may be the cause, not what was asked: the same run may go well the next time.
    """

    def __init__(self, reason: str, result: RunResult | None = None, *, crashed: bool = False) -> None:
        super().__init__(reason)
        self.result = result
        self.crashed = crashed


class StepLosses(Callback):
    """Records the loss of every training step, off the hot path: read from the device every 50 steps.

    The last step of an epoch shows in the validation loss only, that of a training which ends within an epoch in the
    test loss only: both are looked at too.

    Raises:
        RunFailed: a loss is not finite.
    """

    every = 50

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._waiting: list[tuple[int, Tensor]] = []

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002 - Lightning's hook
        outputs: Any,  # noqa: ANN401 - Lightning's hook
        batch: Any,  # noqa: ANN401, ARG002 - Lightning's hook
        batch_idx: int,  # noqa: ARG002 - Lightning's hook
    ) -> None:
        """Keep the step's loss on the device."""
        self._waiting.append((trainer.fit_loop.epoch_loop.total_batch_idx, outputs["loss"].detach()))
        if len(self._waiting) >= self.every:
            self.record()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Record what waits, and look at the loss of the validation that has just been."""
        self.record()
        self._look_at(trainer, "val/loss", f"validation loss became {{}} after epoch {trainer.current_epoch + 1}")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Look at the loss of the test that has just been."""
        self._look_at(trainer, "test/loss", "test loss is {}")

    def _look_at(self, trainer: Trainer, metric: str, sentence: str) -> None:
        loss = float(trainer.callback_metrics.get(metric, 0.0))
        if not math.isfinite(loss):
            raise _diverged(sentence.format(loss))

    def record(self) -> None:
        """Read the waiting losses from the device and record them."""
        if not self._waiting:
            return
        losses = torch.stack([loss for _, loss in self._waiting]).float().tolist()
        steps = [step for step, _ in self._waiting]
        self._waiting.clear()
        for step, loss in zip(steps, losses, strict=True):
            self._recorder.metrics({"train/step_loss": loss}, step=step)
            if not math.isfinite(loss):
                raise _diverged(f"loss became {loss} at step {step}")


def _diverged(what: str) -> RunFailed:
    return RunFailed(f"the {what}; a lower optimizer.lr or a warm-up may help")


class Checkpoints(Checkpoint):
    """Keeps `last.ckpt`, to go on from, and `best.ckpt`, the epoch with the lowest top-1 validation error.

    Only an epoch that was validated can be the best, and the first of equal ones is. Whatever was recorded up to a
    checkpoint is on disk before it is, so that a resumed run never lacks what its weights have seen.

    Args:
        folder: of the two files.
        losses: recorded, and flushed, before each checkpoint.
        recorder: likewise.
        minutes: also save within an epoch, this often.
    """

    check_every = 20  # steps between looks at the clock

    def __init__(self, folder: Path, losses: StepLosses, recorder: Recorder, *, minutes: float) -> None:
        self.folder = folder
        self.best_error: float | None = None
        self.best_epoch: int | None = None
        self._validated: float | None = None
        self._losses = losses
        self._recorder = recorder
        self._seconds = 60 * minutes
        self._saved_at = time.monotonic()

    @property
    def last(self) -> Path:
        """The checkpoint to go on from."""
        return self.folder / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint that is tested."""
        return self.folder / "best.ckpt"

    def state_dict(self) -> dict[str, Any]:
        """Return which epoch was the best so far."""
        return {"best_error": self.best_error, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up which epoch was the best so far."""
        self.best_error, self.best_epoch = state_dict["best_error"], state_dict["best_epoch"]

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002 - Lightning's hook
        outputs: Any,  # noqa: ANN401, ARG002 - Lightning's hook
        batch: Any,  # noqa: ANN401, ARG002 - Lightning's hook
        batch_idx: int,
    ) -> None:
        """Save when the last checkpoint is too long ago; the epoch's last step is saved with its validation."""
        if (batch_idx + 1) % self.check_every or ends_epoch(trainer):
            return
        late = time.monotonic() - self._saved_at > self._seconds
        if trainer.world_size > 1:
            late = trainer.strategy.reduce_boolean_decision(late, all=False)
        if late:
            self.save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Note the error of the validation that has just been: what is logged stays readable for many epochs."""
        error = trainer.callback_metrics.get(MONITOR)
        self._validated = None if error is None else float(error)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Save the epoch, and note whether it is the best."""
        error, self._validated = self._validated, None
        better = error is not None and (self.best_error is None or error < self.best_error)
        if better:
            self.best_error, self.best_epoch = error, trainer.current_epoch
        self.save(trainer, best=better)

    def save(self, trainer: Trainer, *, best: bool = False) -> None:
        """Write `last.ckpt`, whole or not at all; copy it to `best.ckpt` first when it is the best.

        Raises:
            RunFailed: the run's directory was deleted; Lightning would make it again, without the run's record in it.
        """
        if not self.folder.parent.is_dir():
            raise RunFailed(f"{self.folder.parent}: was deleted during the training, and the run's record with it")
        self._losses.record()
        self._recorder.flush()
        # Lightning replaces the file in one step; the copy does the same, so that a crash leaves one or the other.
        if best:
            trainer.save_checkpoint(self.best, weights_only=False)
            self._copy(trainer, self.best, self.last)
        else:
            trainer.save_checkpoint(self.last, weights_only=False)
        self._saved_at = time.monotonic()

    def settle(self, trainer: Trainer) -> None:
        """Call after the training: where nothing was ever validated, the last checkpoint is the best."""
        if self.best_epoch is None:
            self._copy(trainer, self.last, self.best)

    @staticmethod
    def _copy(trainer: Trainer, source: Path, target: Path) -> None:
        if trainer.is_global_zero:
            fresh = target.with_suffix(".copy")
            shutil.copyfile(source, fresh)
            fresh.replace(target)
        trainer.strategy.barrier()


def ends_epoch(trainer: Trainer) -> bool:
    """Whether the step that has just been is the last of its epoch, or of the training.

    What Lightning saves here makes a resumed run skip the epoch's validation, and what follows it.
    """
    return trainer.is_last_batch or trainer.global_step == trainer.max_steps


class EpochTimes(Callback):
    """Records seconds and steps per second of each training epoch, and the learning rate.

    An epoch's seconds are those of its training, without its validation, from one step to the next: loading and
    checkpoints included. Steps that an interruption made a run repeat count once. `train_seconds` is the time of all
    epochs, those before an interruption included.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._resumed_at: float | None = None  # `None`: the clock stands still
        self._epoch_seconds = 0.0
        self._first_step = 0
        self.train_seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the time so far."""
        self._pause()
        self._go_on()
        return {
            "train_seconds": self.train_seconds,
            "epoch_seconds": self._epoch_seconds,
            "first_step": self._first_step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the time so far."""
        self.train_seconds = state_dict["train_seconds"]
        self._epoch_seconds, self._first_step = state_dict["epoch_seconds"], state_dict["first_step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Start the clock: an epoch that is resumed in its middle does not begin anew."""
        self._go_on()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Set the clock to zero."""
        self._epoch_seconds, self._first_step = 0.0, trainer.global_step
        self._go_on()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop the clock."""
        self._pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Let the clock go on."""
        self._go_on()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Record the epoch's time and the rate it ended with."""
        self._pause()
        seconds, self._epoch_seconds = self._epoch_seconds, 0.0
        self.train_seconds += seconds
        values = {
            "time/epoch_seconds": seconds,
            "time/steps_per_second": (trainer.global_step - self._first_step) / seconds,
            "train/learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "train/epoch": float(trainer.current_epoch),
            **rates(trainer.optimizers[0]),
        }
        self._recorder.metrics(values, step=trainer.global_step)

    def _go_on(self) -> None:
        self._resumed_at = time.perf_counter()

    def _pause(self) -> None:
        if self._resumed_at is not None:
            self._epoch_seconds += time.perf_counter() - self._resumed_at
            self._resumed_at = None
