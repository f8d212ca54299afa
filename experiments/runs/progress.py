"""How a training shows that it moves: a bar on a terminal, a line per epoch elsewhere."""

import sys
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

# Columns of a terminal that up to a million steps, the time left and the errors take; and the least for the others.
_NUMBERS = 68
_SHORTEST_NAME = 8
_SHORTEST_BAR = 4


def shortened(name: str, longest: int) -> str:
    """Return a name of at most `longest` characters: on a narrow terminal it gives way, the numbers never."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


class TrainingProgress(Callback):
    """Shows epoch, steps, time left and the last errors of one run.

    The bar moves ten times a second at the most, so that it costs a training nothing.

    Args:
        name: of the run.
        console: where to; the standard error by default, so that results can be piped.
    """

    refresh_seconds = 0.1

    def __init__(self, name: str, console: Console | None = None) -> None:
        self._name = name
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
        self._bar: Progress | None = None
        self._drawn_at = 0.0
        self._shown_at = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - Lightning's hook
        """Open the bar."""
        self._shown_at = trainer.global_step
        if not (trainer.is_global_zero and self._console.is_terminal):
            return
        spare = self._console.width - _NUMBERS
        name = shortened(self._name, max(_SHORTEST_NAME, spare - _SHORTEST_BAR))
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=max(_SHORTEST_BAR, spare - len(name))),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[errors]}"),
            console=self._console,
            transient=True,
        )
        total = int(trainer.estimated_stepping_batches)
        self._bar.add_task(name, total=total, completed=trainer.global_step, errors="")
        self._bar.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:  # noqa: ANN401, ARG002
        """Move the bar."""
        now = time.monotonic()
        if self._bar is not None and now - self._drawn_at > self.refresh_seconds:
            self._drawn_at = now
            self._bar.update(self._bar.task_ids[0], completed=trainer.global_step)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Show the errors of the epoch before, which are all known by now."""
        if trainer.global_step > self._shown_at:
            self._show(trainer, trainer.current_epoch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Show the last epoch's errors and close the bar."""
        if trainer.global_step > self._shown_at:
            self._show(trainer, trainer.current_epoch)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        """Close the bar, so that the reason can be read."""
        self._close()

    def _show(self, trainer: Trainer, epochs: int) -> None:
        if not trainer.is_global_zero:
            return
        self._shown_at = trainer.global_step
        known = {
            split: float(trainer.callback_metrics[key])
            for split in ("train", "val")
            if (key := f"{split}/top1_error") in trainer.callback_metrics
        }
        if self._bar is not None:
            errors = " ".join(["error", *(f"{split} {error:.2f} %" for split, error in known.items())])
            self._bar.update(self._bar.task_ids[0], completed=trainer.global_step, errors=errors if known else "")
        else:
            errors = "  ".join(f"{split} error {error:.2f} %" for split, error in known.items())
            self._console.print(f"{self._name}  epoch {epochs}/{trainer.max_epochs}  {errors}")

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
