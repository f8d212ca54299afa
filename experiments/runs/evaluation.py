"""Counting the errors of an assembled run on one of its splits."""

import tempfile
from dataclasses import dataclass

from torch import Tensor

from experiments.runs.build import Assembly, build_trainer


@dataclass(frozen=True)
class Evaluation:
    """What was counted: `errors` holds loss (nats) and top-x errors (percent); `confusion` is int64 `(K, K)`."""

    errors: dict[str, float]
    error_per_class: list[float | None]
    confusion: Tensor

    @property
    def samples(self) -> int:
        """How many samples were counted."""
        return int(self.confusion.sum())


def evaluate(assembly: Assembly, split: str) -> Evaluation:
    """Count every sample of `split` (val or test) once, as it is, without augmentation."""
    cfg, module = assembly.cfg.copy(), assembly.module
    cfg.trainer.limit_val_batches = cfg.trainer.limit_test_batches = None
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(cfg, callbacks=[], logger=None, run_dir=folder)
        run, counts = (trainer.validate, module.val_counts) if split == "val" else (trainer.test, module.test_counts)
        run(module, datamodule=assembly.datamodule, verbose=False)
    return Evaluation(counts.errors(), counts.error_per_class(), counts.confusion.cpu())
