"""Two real processes under Lightning's DDP: together they do what one process does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from datamodules.digits import DigitsDataModule

Batch = tuple[int, list[tuple[int, str]]]  # epoch; index and digest of each picture

PROGRAM = """
import hashlib, json, sys
import albumentations, torch
import pytorch_lightning as pl
from datamodules.digits import DigitsDataModule

class Learner(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 10)
        self.seen = {"train": [], "val": [], "test": []}

    def note(self, part, batch):
        images = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in batch["image"]]
        self.seen[part].append([self.current_epoch, sorted(zip(batch["index"].tolist(), images))])

    def training_step(self, batch, _):
        self.note("train", batch)
        return self.layer(batch["image"].flatten(1)).square().mean()

    def validation_step(self, batch, _):
        self.note("val", batch)

    def test_step(self, batch, _):
        self.note("test", batch)

    def write(self, stage):
        name = f"{stage}_{self.trainer.global_rank}_of_{self.trainer.world_size}.json"
        with open(f"{sys.argv[1]}/{name}", "w") as file:
            json.dump(self.seen, file)

    def on_fit_end(self):
        self.write("fit")

    def on_test_end(self):
        self.write("test")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

transforms = [albumentations.HorizontalFlip(p=0.5), albumentations.GaussNoise(p=1.0)]
data = DigitsDataModule(image_size=8, batch_size=100, augmentation=transforms)
for devices in (1, 2):
    trainer = pl.Trainer(accelerator="cpu", devices=devices, strategy="ddp_fork" if devices > 1 else "auto",
        max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=devices > 1)
    learner = Learner()
    trainer.fit(learner, datamodule=data)
    trainer.test(learner, datamodule=data, verbose=False)
"""


def test_two_processes_train_and_evaluate_on_what_one_does(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    def seen(process: str) -> dict[str, list[Batch]]:
        fit, test = (json.loads((tmp_path / f"{stage}_{process}.json").read_text()) for stage in ("fit", "test"))
        return {**fit, "test": test["test"]}

    alone, first, second = seen("0_of_1"), seen("0_of_2"), seen("1_of_2")
    data = DigitsDataModule(image_size=8)
    data.setup()
    for part, evaluated in (("val", data.split.val), ("test", data.split.test)):
        shown = [sample for share in (first, second) for _, batch in share[part] for sample in batch]
        assert sorted(shown) == sorted(sample for _, batch in alone[part] for sample in batch)
        repeats = 2 if part == "val" else 1  # one validation an epoch
        assert sorted(index for index, _ in shown) == sorted(np.tile(evaluated, repeats).tolist())
    assert [epoch for epoch, _ in alone["train"]] == [0] * 12 + [1] * 12
    for one, left, right in zip(alone["train"], first["train"], second["train"], strict=True):
        assert left[0] == right[0] == one[0]
        assert sorted(left[1] + right[1]) == one[1]
        assert len(left[1]) == len(right[1]) == 50
