"""Under Lightning: an interrupted training goes on with the samples and pictures that are left."""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

import albumentations
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from datamodules.digits import DigitsDataModule
from datamodules.errors import DataError
from datamodules.loading import ClassificationBatch

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")

BATCHES = 12
EPOCHS = 3
Step = tuple[int, tuple[int, ...], str]


class Crash(Exception):  # noqa: N818 - what a kill does to the test's process
    pass


class Learner(pl.LightningModule):
    """A network of one layer, which writes down what it is given: (epoch, indices, digest of the pictures)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.steps: list[Step] = []

    def training_step(self, batch: ClassificationBatch, _: int) -> Tensor:
        pictures = hashlib.sha256(batch["image"].numpy().tobytes()).hexdigest()
        self.steps.append((self.trainer.current_epoch, tuple(batch["index"].tolist()), pictures))
        return nn.functional.cross_entropy(self.layer(batch["image"].flatten(1)), batch["label"])

    def validation_step(self, batch: ClassificationBatch, _: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Interruption(pl.Callback):
    """Saves a checkpoint after `saved_at` steps, in the given hook, and crashes after `crashed_at`."""

    def __init__(self, path: Path, hook: str, saved_at: int, crashed_at: int) -> None:
        self.path, self.saved_at, self.crashed_at = path, saved_at, crashed_at
        setattr(self, hook, self.save)

    def save(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:  # noqa: ANN401 - any hook's arguments
        if trainer.global_step == self.saved_at and not self.path.exists():
            trainer.save_checkpoint(self.path)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:  # noqa: ANN401 - Lightning's hook
        if trainer.global_step == self.crashed_at:
            raise Crash


def fit(
    *callbacks: pl.Callback, workers: int = 0, resumed: Path | None = None, batch_size: int = 10, **options: float
) -> Learner:
    transforms = [albumentations.HorizontalFlip(p=0.5), albumentations.GaussNoise(p=1.0)]
    data = DigitsDataModule(
        image_size=8, few_samples=12, batch_size=batch_size, num_workers=workers, augmentation=transforms
    )
    learner = Learner()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        val_check_interval=BATCHES // 2,
        **options,  # type: ignore[arg-type]
    )
    with contextlib.suppress(Crash):
        trainer.fit(learner, datamodule=data, ckpt_path=resumed)
    return learner


@pytest.fixture(scope="module")
def uninterrupted() -> Learner:
    learner = fit()
    assert len(learner.steps) == EPOCHS * BATCHES
    return learner


@pytest.mark.parametrize(
    ("hook", "saved_at", "workers"),
    [
        ("on_train_batch_end", 5, 0),
        ("on_train_batch_end", 5, 2),
        ("on_train_batch_end", BATCHES, 0),
        ("on_train_batch_end", BATCHES + 1, 2),
        ("on_train_batch_end", 2 * BATCHES - 1, 0),
        ("on_validation_end", BATCHES // 2, 0),
        ("on_validation_end", 3 * BATCHES // 2, 2),
        ("on_validation_end", 2 * BATCHES, 0),
        ("on_train_epoch_end", BATCHES, 0),
    ],
)
def test_a_resumed_training_goes_on_with_what_is_left(
    tmp_path: Path, uninterrupted: Learner, hook: str, saved_at: int, workers: int
) -> None:
    path = tmp_path / "interrupted.ckpt"
    first = fit(Interruption(path, hook, saved_at, saved_at + 3), workers=workers)
    assert first.steps == uninterrupted.steps[: saved_at + 3]
    rest = fit(workers=workers, resumed=path)
    assert rest.steps == uninterrupted.steps[saved_at:]
    for one, other in zip(rest.parameters(), uninterrupted.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.filterwarnings("error:.*your dataloader is not resumable")
def test_an_interrupted_epoch_refuses_another_batch_size(tmp_path: Path) -> None:
    path = tmp_path / "interrupted.ckpt"
    fit(Interruption(path, "on_train_batch_end", 5, 6))
    with pytest.raises(DataError, match=r"^batch_size=8: the checkpoint lies within an epoch of batch_size=10"):
        fit(resumed=path, batch_size=8)
    assert len(fit(resumed=path).steps) == EPOCHS * BATCHES - 5
    torch.load(path, weights_only=True)


def test_overfit_batches_are_refused() -> None:
    with pytest.raises(DataError, match=r"^overfit_batches=2: takes samples without their order"):
        fit(overfit_batches=2)
