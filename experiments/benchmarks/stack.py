"""Steps per second of a default tracked run against a plain PyTorch loop.

python -m experiments.benchmarks.stack [pairs=8] [steps=24] [batch=128] [size=32]

Both train ResNet-20 on the same batches, made beforehand, in turn and in one process: a machine whose speed drifts
slows both. The tracked run is everything that `whydeep train` does per step and per epoch: Lightning, error counts,
the loss of every step, progress, journal, delivery to MLflow (SQLite); its time ends when the store has everything.
The checkpoint at its end, a constant per epoch, is timed apart. The plain loop is forward, loss, backward, and a step
of the optimizer and of its schedule.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, Dataset

from experiments.arguments import split_arguments
from experiments.errors import UserError
from experiments.runs.build import build_trainer
from experiments.runs.chatter import quiet
from experiments.runs.configuration import compose
from experiments.runs.training import watchers
from experiments.runs.validation import validate
from experiments.tracking.logger import TrackerLogger
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from lightning_modules import schedules
from lightning_modules.classification import ClassificationBatch, ClassificationModule
from lightning_modules.initialisation import initialise
from lightning_modules.networks.resnet import CifarResNet

WARM_UP = 4  # steps before the clock starts, in both
CLASSES = 10
WARM_UP_SHARE = 0.05  # of the learning rate, as by default


def network() -> nn.Module:
    """Return ResNet-20 with the same weights every time."""
    made = CifarResNet(depth=20, num_classes=CLASSES)
    initialise(made, seed=0)
    return made


def optimizer(params: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the default optimizer of a run."""
    return torch.optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=1e-4)


def batches(count: int, batch: int, size: int) -> list[ClassificationBatch]:
    """Return `count` batches of random pictures `(batch, 3, size, size)`."""
    generator = torch.Generator().manual_seed(0)
    return [
        {
            "image": torch.randn(batch, 3, size, size, generator=generator),
            "label": torch.randint(CLASSES, (batch,), generator=generator),
        }
        for _ in range(count)
    ]


def plain(data: list[ClassificationBatch]) -> float:
    """Train in a plain loop; return steps per second after the warm-up."""
    model = network().train()
    sgd = optimizer(model.parameters())
    schedule = schedules.cosine(sgd, total_steps=len(data), warmup=WARM_UP_SHARE)
    began = 0.0
    for number, batch in enumerate(data):
        if number == WARM_UP:
            began = time.perf_counter()
        sgd.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(batch["image"]), batch["label"])
        loss.backward()  # type: ignore[no-untyped-call]
        sgd.step()
        schedule.step()
    return (len(data) - WARM_UP) / (time.perf_counter() - began)


class Clock(Callback):
    """Takes the time of the first timed step and of the end of the last."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0

    def on_train_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002 - Lightning's hook
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401, ARG002
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,
    ) -> None:
        """Take the time after each step."""
        if batch_idx + 1 == WARM_UP:
            self.began = time.perf_counter()
        self.ended = time.perf_counter()


def tracked(data: list[ClassificationBatch], folder: Path) -> tuple[float, float]:
    """Train as `whydeep train` does; return steps per second after the warm-up, and seconds of the epoch's end."""
    cfg = compose(["trainer.max_epochs=1"])
    options = TrackingOptions(runs_dir=str(folder), interval_seconds=cfg.tracking.interval_seconds)
    tracker = open_run(folder / f"run-{time.time_ns()}", options, name="stack", tags={})
    tracker.wait_for_run_id(60)
    watch, clock = watchers(validate(cfg), tracker.run_dir, tracker, name="stack"), Clock()
    module = ClassificationModule(
        network(), num_classes=CLASSES, optimizer=optimizer, scheduler=partial(schedules.cosine, warmup=WARM_UP_SHARE)
    )
    trainer = build_trainer(
        cfg, callbacks=[*watch.callbacks, clock], logger=TrackerLogger(tracker), run_dir=str(tracker.run_dir)
    )
    loader = DataLoader(cast("Dataset[ClassificationBatch]", data), batch_size=None)
    trainer.fit(module, train_dataloaders=loader)
    ended = time.perf_counter()
    tracker.flush()
    tracker.finish("FINISHED")
    delivery = time.perf_counter() - ended
    steps = len(data) - WARM_UP
    return steps / (clock.ended - clock.began + delivery), ended - clock.ended


def main(argv: list[str]) -> int:
    """Measure and print the ratio, pair by pair.

    Raises:
        UserError: an unknown key, or a value that is no number.
    """
    keys, others = split_arguments(argv, {"pairs": "8", "steps": "24", "batch": "128", "size": "32"})
    if others:
        raise UserError(f"{others[0]}: unknown key; allowed: {', '.join(keys)}")
    try:
        pairs, steps, batch, size = (int(str(keys[name])) for name in ("pairs", "steps", "batch", "size"))
    except ValueError as error:
        raise UserError(f"{error}; each key is a whole number") from error
    data = batches(steps + WARM_UP, batch, size)
    ratios: list[float] = []
    print(f"ResNet-20, {size} px, batch {batch}, {steps} steps a run, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as name:
        run = partial(tracked, data, Path(name))
        run()  # imports, the store's tables
        for pair in range(pairs):
            # The order changes with every pair, so that neither always runs on the warmer machine.
            if pair % 2:
                (ours, epoch_end), theirs = run(), plain(data)
            else:
                theirs = plain(data)
                ours, epoch_end = run()
            ratios.append(ours / theirs)
            print(
                f"  pair {pair + 1}: tracked {ours:.3f} steps/s, plain {theirs:.3f} steps/s, ratio {ratios[-1]:.3f}, "
                f"epoch end {epoch_end:.3f} s"
            )
    print(
        f"tracked / plain: median {statistics.median(ratios):.3f}, "
        f"from {min(ratios):.3f} to {max(ratios):.3f}, {pairs} pairs"
    )
    return 0


if __name__ == "__main__":
    quiet()
    sys.exit(main(sys.argv[1:]))
