"""How long a run would take: a few of its own training steps and one look of each kind that it takes, timed."""

import copy
import itertools
import math
import statistics
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch

from datamodules.scenes.probing import KINDS
from experiments.measures.latency import FEWEST
from experiments.runs.allocator import keep_freed_memory
from experiments.runs.build import Assembly
from experiments.runs.inspection import LATENCY_SECONDS, inspect
from experiments.runs.processes import Silence

WARM_UP, MOST_STEPS = 2, 20
ENOUGH_SECONDS = 1.5


class Clock:
    """Seconds that work takes, also where other processes keep the cores from it.

    That is the processor time of this process, as most runs of a study have one thread; where several threads add up to
    more, it is the time on the wall.

    Args:
        alone: whether this process does all of the work; where others read its data, the time on the wall counts.
    """

    def __init__(self, *, alone: bool = True) -> None:
        self._alone = alone
        self._began, self._spent = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        """How many there have been."""
        wall = time.perf_counter() - self._began
        return min(wall, time.process_time() - self._spent) if self._alone else wall


@dataclass(frozen=True)
class StepTimes:
    """Seconds of one batch: of a training step, and of a forward pass for evaluation."""

    train: float
    evaluate: float


@dataclass(frozen=True)
class LookTimes:
    """Seconds of one look at a network: of `inspection.inspect`, and of what its layers respond to (`probe_every`)."""

    inspection: float = 0.0
    layers: float = 0.0


def time_steps(assembly: Assembly) -> StepTimes:
    """Time training steps on the CPU with a copy of the module: augmentation, both passes, update; the median."""
    keep_freed_memory()
    module = copy.deepcopy(assembly.module).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0)
    batches = itertools.chain.from_iterable(itertools.repeat(assembly.datamodule.train_dataloader()))
    times: list[float] = []
    began = time.perf_counter()
    while len(times) <= WARM_UP or (len(times) < MOST_STEPS and time.perf_counter() - began < ENOUGH_SECONDS):
        clock = Clock(alone=assembly.datamodule.num_workers == 0)
        batch = next(batches)
        batch["image"] = assembly.datamodule.normalise(batch["image"])
        optimizer.zero_grad(set_to_none=True)
        loss = module.training_step(batch, 0)
        torch.autograd.backward(loss)
        optimizer.step()
        times.append(clock.seconds)
    module.eval()
    with torch.inference_mode():
        clock = Clock()
        module(batch["image"])
        evaluate = clock.seconds
    return StepTimes(statistics.median(times[WARM_UP:]), evaluate)


def time_looks(assembly: Assembly) -> LookTimes:
    """Time one look of each kind that the run takes on the CPU; its network is left as it was found.

    What `gradient_flow_every` asks for is not among them.
    """
    clock = Clock()
    inspect(assembly)
    inspection = clock.seconds
    if not (every := assembly.options.probe_every):
        return LookTimes(inspection)
    from experiments.runs.layer_probes import LayerProbes, shown  # noqa: PLC0415 - scikit-learn, which few runs need

    network = copy.deepcopy(assembly.network)
    images, measures, datamodule = assembly.options.probe_images, assembly.measures, assembly.datamodule
    probes = LayerProbes(every, images, network, measures, datamodule, Silence())
    trainer: Any = SimpleNamespace(is_global_zero=True, global_step=0)
    channels, size, _ = assembly.input_shape
    for kind in KINDS:
        shown(kind, images, size, channels)  # drawn once for all looks of all runs of a process
    clock = Clock()
    probes.on_train_start(trainer, assembly.module)
    return LookTimes(inspection, clock.seconds)


def forecast_seconds(assembly: Assembly, times: StepTimes, looks: LookTimes = LookTimes()) -> float:
    """Return the seconds that the run would train, validate, test and look at its network for.

    Args:
        assembly: of the run.
        times: of a batch.
        looks: of one look of each kind: the network is inspected before and after its training, its layers before it,
            every `probe_every` epochs and after the last.
    """
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
    if every := assembly.options.probe_every:
        training += (1 + math.ceil(epochs / every)) * looks.layers
    if (limit := cfg.trainer.get("max_time")) is not None:
        days, hours, minutes, seconds = map(int, str(limit).split(":"))
        training = min(training, float(((24 * days + hours) * 60 + minutes) * 60 + seconds))
    beside = 2 * looks.inspection
    if assembly.options.initial_errors:
        beside += batches("val") * times.evaluate
    if size := assembly.options.latency_batch:
        beside += max(LATENCY_SECONDS, FEWEST * times.evaluate * size / batch)
    return training + beside + batches("test") * times.evaluate
