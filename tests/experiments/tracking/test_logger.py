"""Lightning's metrics in a run's journal."""

from pathlib import Path
from typing import cast

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from experiments.tracking.journal import read_metrics
from experiments.tracking.logger import TrackerLogger
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.tracker import RunTracker

NAME = "val/acc@1 [odd]"


class _Line(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.save_hyperparameters({"unwanted": 1})

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        loss = (self.layer(batch[0]) ** 2).mean()
        self.log("train/loss", loss, on_step=True, on_epoch=False)
        return cast("torch.Tensor", loss)

    def validation_step(self, batch: list[torch.Tensor]) -> None:
        self.log(NAME, self.layer(batch[0]).mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def tracker(tmp_path: Path) -> RunTracker:
    options = TrackingOptions(runs_dir=str(tmp_path), deliver=False)
    return open_run(tmp_path / "run", options, name="line", tags={})


def _trainer(tracker: RunTracker | None, tmp_path: Path) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        log_every_n_steps=1,
        logger=TrackerLogger(tracker),
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )


def _loader() -> DataLoader[tuple[torch.Tensor, ...]]:
    data: Dataset[tuple[torch.Tensor, ...]] = TensorDataset(torch.ones(6, 1))
    return DataLoader(data, batch_size=2)


def test_metrics_arrive_under_their_own_names_and_steps(tracker: RunTracker, tmp_path: Path) -> None:
    trainer = _trainer(tracker, tmp_path)
    trainer.fit(_Line(), _loader(), _loader())
    tracker.flush()
    table = read_metrics(tracker.run_dir)
    tracker.finish("FINISHED")

    assert list(table[table["key"] == "train/loss"]["step"]) == [0, 1, 2, 3, 4, 5]
    assert list(table[table["key"] == NAME]["step"]) == [2, 5]
    assert set(table["key"]) == {"train/loss", NAME, "epoch"}


def test_a_process_without_a_tracker_trains_and_records_nothing(tmp_path: Path) -> None:
    logger = TrackerLogger(None)
    assert (logger.name, logger.version, logger.save_dir) == (None, None, None)

    trainer = _trainer(None, tmp_path)
    trainer.fit(_Line(), _loader(), _loader())

    assert trainer.global_step == 6


def test_the_logger_says_whose_it_is(tracker: RunTracker) -> None:
    logger = TrackerLogger(tracker)

    assert (logger.name, logger.version, logger.save_dir) == ("line", None, str(tracker.run_dir))
    tracker.finish("FINISHED")
