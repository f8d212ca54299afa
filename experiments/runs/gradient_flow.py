"""The gradient flow of a training, recorded while it runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from torch import nn
from torch.optim import Optimizer

from experiments.errors import UserError
from experiments.measures.gradient_flow import GradientFlowRecord, layer_norms, weighted_layers

# Every checkpoint holds the whole record; a picture has no room for more columns.
MOST_STEPS = 1024


class GradientFlow(Callback):
    """Records the gradient norms of all weighted layers at every `every`-th optimizer step, the first one included.

    They are those of the gradient that the step is about to use, before any clipping: the mean over the batches that
    are accumulated and, under DDP, over all processes, and free of the factor that scales the loss in 16 bits. The
    norms wait for the device once per recorded step. Of a long training the record stays short: whenever it holds more
    than `MOST_STEPS` steps, every second of them is dropped, and twice as many steps lie between two from then on. A
    training that is resumed goes on with the record of its
    checkpoint; testing a checkpoint leaves the record alone.

    Args:
        every: optimizer steps from one record to the next, at first.
        network: the part of the LightningModule that is watched, and whose names the layers get; `None` watches all.
        calls: names of its modules in the order of their calls (see `weighted_layers`).

    Raises:
        UserError: `every` below 1; from `fit`, a network without weighted layers, a strategy under which no process
            has the whole gradient, or a checkpoint of other layers.
    """

    def __init__(self, every: int, network: nn.Module | None = None, calls: Sequence[str] = ()) -> None:
        if every < 1:
            raise UserError(f"every={every}: must be at least 1, in optimizer steps")
        self.every = every
        self._network = network
        self._calls = tuple(calls)
        self._interval = every
        self._fitting = True
        self._layers: dict[str, tuple[nn.Parameter, ...]] = {}
        self._names: tuple[str, ...] = ()
        self._steps: list[int] = []
        self._norms: list[np.ndarray[Any, np.dtype[np.float64]]] = []
        self._weight_norms: list[np.ndarray[Any, np.dtype[np.float64]]] = []

    @property
    def record(self) -> GradientFlowRecord:
        """What has been recorded so far; without layers before the first training."""
        columns = (len(self._names), len(self._steps))
        norms, weight_norms = (np.array(rows).reshape(columns[::-1]).T for rows in (self._norms, self._weight_norms))
        return GradientFlowRecord(self._names, tuple(self._steps), norms, weight_norms)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Begin a new record with a new training."""
        self._fitting = stage == "fit"
        if self._fitting:
            self._names, self._steps, self._norms, self._weight_norms = (), [], [], []
            self._interval = self.every

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the layers, in the network as it is trained."""
        if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            raise UserError(
                f"{type(trainer.strategy).__name__}: no process has the whole gradient; "
                "the gradient flow is recorded on one device or with ddp"
            )
        try:
            self._layers = weighted_layers(self._network or pl_module, self._calls)
        except ValueError as error:
            raise UserError(f"gradient flow: {error}") from error
        names = tuple(self._layers)
        if self._steps and self._names != names:
            raise UserError("the checkpoint holds the gradient flow of other layers; it is of another network")
        self._names = names

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:  # noqa: ARG002
        """Record the step that is about to be taken, when it is its turn."""
        step = trainer.global_step
        # Some optimizers evaluate a step several times; its first gradient is the one that counts.
        if step % self._interval or (self._steps and step <= self._steps[-1]):
            return
        weights = list(self._layers.values())
        gradients = [[weight.grad for weight in group] for group in weights]
        both = layer_norms([*gradients, *weights])
        norms, weight_norms = np.split(both, 2)
        self._steps.append(step)
        self._norms.append(norms / _loss_scale(trainer, optimizer))
        self._weight_norms.append(weight_norms)
        if len(self._steps) > MOST_STEPS:
            self._interval *= 2
            kept = [index for index, taken in enumerate(self._steps) if taken % self._interval == 0]
            self._steps = [self._steps[index] for index in kept]
            self._norms = [self._norms[index] for index in kept]
            self._weight_norms = [self._weight_norms[index] for index in kept]

    def state_dict(self) -> dict[str, Any]:
        """Return the record so far."""
        record = self.record
        return {
            "layers": list(record.layers),
            "steps": list(record.steps),
            "norms": torch.tensor(record.norms),
            "weight_norms": torch.tensor(record.weight_norms),
            "interval": self._interval,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the record of a checkpoint, if what it is loaded for is training."""
        if self._fitting:
            self._names, self._steps = tuple(state_dict["layers"]), list(state_dict["steps"])
            self._interval = state_dict.get("interval", self.every)
            self._norms = list(state_dict["norms"].numpy().T)
            self._weight_norms = list(state_dict["weight_norms"].numpy().T)


def _loss_scale(trainer: Trainer, optimizer: Optimizer) -> float:
    """Return the factor that the gradients still have: fused optimizers divide by it only as they step."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return float(scaler.get_scale()) if scaler and getattr(optimizer, "_step_supports_amp_scaling", False) else 1.0
