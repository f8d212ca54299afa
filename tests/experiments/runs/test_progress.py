"""The bar of a training on narrow terminals."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from experiments.runs.progress import TrainingProgress, shortened


@pytest.mark.parametrize(("width", "name"), [(80, "resnet2…"), (160, "resnet20-digits-none-seed0-d34b97538b")])
def test_the_name_gives_way_and_the_numbers_stay(width: int, name: str) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=width, color_system=None)
    bar = TrainingProgress("resnet20-digits-none-seed0-d34b97538b", console)
    errors = {"train/top1_error": torch.tensor(100.0), "val/top1_error": torch.tensor(87.65)}
    trainer: Any = SimpleNamespace(
        global_step=0, is_global_zero=True, estimated_stepping_batches=12000, max_epochs=3, callback_metrics=errors
    )
    module: Any = None
    bar.on_train_start(trainer, module)
    trainer.global_step, trainer.current_epoch = 4000, 1
    bar.on_train_epoch_start(trainer, module)
    assert bar._bar is not None
    bar._bar.refresh()
    bar._close()
    lines = [line for line in written.getvalue().replace("\r", "\n").splitlines() if "87.65" in line]
    assert lines
    assert f" {name} " in lines[-1]
    assert "4000/12000 steps" in lines[-1]
    assert "error train 100.00 % val 87.65 %" in lines[-1]


def test_a_name_that_fits_is_whole() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcd", 3) == "ab…"
