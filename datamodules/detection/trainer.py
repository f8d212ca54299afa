"""What a data module asks of the trainer that it is attached to, if any."""

from pytorch_lightning import Trainer
from torch import distributed

from datamodules.errors import DataError

HALVED = ("16-true", "bf16-true")


def place(trainer: Trainer | None) -> tuple[int, int]:
    """Return this process's rank and the number of processes."""
    if trainer is not None:
        return trainer.global_rank, trainer.world_size
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def trained_batches(trainer: Trainer | None) -> int:
    """Return the batches of the current epoch that Lightning has counted, before this epoch was interrupted too."""
    if trainer is None or not trainer.training:
        return 0
    return int(trainer.fit_loop.epoch_loop.batch_progress.current.ready)


def check_precision(trainer: Trainer | None) -> None:
    """Refuse a precision that boxes do not survive.

    Raises:
        DataError: Lightning would round every float of a batch to it, before anybody can look at them.
    """
    if trainer is not None and trainer.precision in HALVED:
        mixed = trainer.precision.replace("true", "mixed")
        raise DataError(f"trainer.precision={trainer.precision}: rounds boxes to whole pixels and worse; use {mixed}")
