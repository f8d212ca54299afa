"""A clean stop of a training that is told to: between two steps, with a checkpoint."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from experiments.runs import asked
from experiments.runs.callbacks import Checkpoints, RunKilled, ends_epoch


class CleanStop(Callback):
    """Turns Ctrl-C and SIGTERM into a checkpoint and a truthful end; a second Ctrl-C stops at once.

    A training stops between two steps; one that is told so after the last step of an epoch, when that epoch is
    validated and saved.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self.signal_number: int | None = asked.stopped_by()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Handle the signals while inside; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in asked.SIGNALS}
        self._handle()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Take the signals back from Lightning."""
        self._handle()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Take the signals back from Lightning."""
        self._handle()

    def _handle(self) -> None:
        # Lightning wraps the handler for SIGTERM in one that ends a validation without a word, and in which several
        # processes wait for each other wherever they are.
        if threading.current_thread() is threading.main_thread():
            for number in asked.SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the form of a signal handler
        asked.tell(number)
        if self.signal_number is not None:
            raise RunKilled(number)
        self.signal_number = number

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002 - Lightning's hook
        outputs: Any,  # noqa: ANN401, ARG002 - Lightning's hook
        batch: Any,  # noqa: ANN401, ARG002 - Lightning's hook
        batch_idx: int,  # noqa: ARG002 - Lightning's hook
    ) -> None:
        """Stop between two steps, with a checkpoint."""
        if not ends_epoch(trainer) and self._all_asked(trainer):
            self._checkpoints.save(trainer)
            raise RunKilled(self.signal_number or signal.SIGTERM)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop between two epochs; the first of them is saved."""
        if self._all_asked(trainer):
            raise RunKilled(self.signal_number or signal.SIGTERM)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Stop before the test; the last epoch is saved."""
        if self._all_asked(trainer):
            raise RunKilled(self.signal_number or signal.SIGTERM)

    def on_test_batch_end(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - Lightning's hook
        """Stop between two batches; the training is complete and is not repeated."""
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Raise where only this process is concerned.

        Raises:
            RunKilled: a signal came.
        """
        if self.signal_number is not None:
            raise RunKilled(self.signal_number)

    def _all_asked(self, trainer: Trainer) -> bool:
        asked = self.signal_number is not None
        if trainer.world_size > 1:
            # Every process must stop at the same step, or the others wait for it for ever.
            asked = bool(trainer.strategy.reduce_boolean_decision(asked, all=False))
        return asked
