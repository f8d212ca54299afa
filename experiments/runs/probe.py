"""How long a run would take: a few of its own training steps, timed."""

import copy
import itertools
import math
import statistics
import time
from dataclasses import dataclass

import torch

from experiments.runs.allocator import keep_freed_memory
from experiments.runs.build import Assembly

WARM_UP, MOST_STEPS = 2, 20
ENOUGH_SECONDS = 1.5


@dataclass(frozen=True)
class StepTimes:
    """Seconds of one batch: of a training step, and of a forward pass for evaluation."""

    train: float
    evaluate: float


def time_steps(assembly: Assembly) -> StepTimes:
    """Time training steps on the CPU with a copy of the module: augmentation, both passes, update; the median."""
    keep_freed_memory()
    module = copy.deepcopy(assembly.module).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0)
    batches = itertools.chain.from_iterable(itertools.repeat(assembly.datamodule.train_dataloader()))
    times: list[float] = []
    began = time.perf_counter()
    while len(times) <= WARM_UP or (len(times) < MOST_STEPS and time.perf_counter() - began < ENOUGH_SECONDS):
        start = time.perf_counter()
        batch = next(batches)
        batch["image"] = assembly.datamodule.normalise(batch["image"])
        optimizer.zero_grad(set_to_none=True)
        loss = module.training_step(batch, 0)
        torch.autograd.backward(loss)
        optimizer.step()
        times.append(time.perf_counter() - start)
    module.eval()
    with torch.inference_mode():
        start = time.perf_counter()
        module(batch["image"])
        evaluate = time.perf_counter() - start
    return StepTimes(statistics.median(times[WARM_UP:]), evaluate)


def forecast_seconds(assembly: Assembly, times: StepTimes) -> float:
    """Return the seconds that the run would train, validate and test for, at these times a batch."""
    cfg, split = assembly.cfg, assembly.datamodule.split
    batch = int(cfg.datamodule.batch_size)

    def batches(name: str) -> int:
        every = math.ceil(len(getattr(split, name)) / batch)
        limit = cfg.trainer.get(f"limit_{name}_batches")
        if limit is None:
            return every
        return min(every, limit) if isinstance(limit, int) else int(every * limit)

    steps = batches("train") * max(0, int(cfg.trainer.max_epochs))
    if cfg.trainer.max_steps not in (None, -1):
        steps = min(steps, int(cfg.trainer.max_steps) * int(cfg.trainer.accumulate_grad_batches))
    epochs = math.ceil(steps / max(1, batches("train")))
    validations = epochs // int(cfg.trainer.get("check_val_every_n_epoch") or 1)
    training = steps * times.train + validations * batches("val") * times.evaluate
    if (limit := cfg.trainer.get("max_time")) is not None:
        days, hours, minutes, seconds = map(int, str(limit).split(":"))
        training = min(training, float(((24 * days + hours) * 60 + minutes) * 60 + seconds))
    return training + batches("test") * times.evaluate
