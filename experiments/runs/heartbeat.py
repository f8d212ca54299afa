"""How far a run is, in a small file, for a process that shows many runs at once."""

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


@dataclass(frozen=True)
class Beat:
    """How far a run was at `time`, in seconds since the epoch.

    `began` and `first_step` are of the session that trains it; `epochs` and `steps` are 0 before the training, when
    nobody knows them yet.
    """

    run_dir: str
    time: float
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    began: float = 0.0
    first_step: int = 0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest of the training takes at this pace; `None` before the first step."""
        done = self.step - self.first_step
        return (self.time - self.began) / done * (self.steps - self.step) if done > 0 else None

    def write(self, path: Path) -> None:
        """Write it, whole or not at all. A full disk is no reason to end a training."""
        fresh = path.with_name(f"{path.name}.new")
        with contextlib.suppress(OSError):
            fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
            fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Beat | None":
        """Return the last one; `None` where none can be read."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


class Heartbeat(Callback):
    """Writes how far the training is: at its beginning, once a second at the most, and at its end.

    Args:
        path: of the file.
        run_dir: of the run.
    """

    every_seconds = 1.0

    def __init__(self, path: Path, run_dir: Path) -> None:
        self._path = path
        self._run_dir = str(run_dir)
        self._written_at = self._began = 0.0
        self._first_step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002 - Lightning's hook
        """Start the clock."""
        self._began, self._first_step = time.time(), trainer.global_step
        self._write(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any, **__: Any) -> None:  # noqa: ANN401, ARG002
        """Write, where the last time is long enough ago."""
        if time.time() - self._written_at > self.every_seconds:
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Say that all steps are done."""
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        self._written_at = time.time()
        Beat(
            run_dir=self._run_dir,
            time=self._written_at,
            epoch=trainer.current_epoch,
            epochs=trainer.max_epochs or 0,
            step=trainer.global_step,
            steps=int(trainer.estimated_stepping_batches),
            began=self._began,
            first_step=self._first_step,
        ).write(self._path)
