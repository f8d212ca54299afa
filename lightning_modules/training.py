"""What every task shares: optimizer, schedule, and the random stream of a training step."""

import hashlib
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from pytorch_lightning import LightningModule
from torch import distributed, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_modules.fine_tuning import FineTuning


class OptimizerFactory(Protocol):
    """Makes the optimizer of some parameters, e.g. `functools.partial(torch.optim.SGD, lr=0.1)`."""

    def __call__(self, params: Iterable[nn.Parameter]) -> Optimizer:
        """Return the optimizer of `params`."""


class SchedulerFactory(Protocol):
    """Makes the schedule of an optimizer over `total_steps` optimizer steps, e.g. `schedules.cosine`."""

    def __call__(self, optimizer: Optimizer, *, total_steps: int) -> LRScheduler:
        """Return the schedule, stepped after every optimizer step."""


class TrainingModule(LightningModule):
    """Base of the tasks: the network, how it is optimised, and where its randomness comes from.

    Dropout and its like draw from a stream that is a function of (seed, process, step) alone: a resumed training
    repeats the draws of one that was never interrupted, whatever was drawn before.

    Args:
        network: what is trained.
        optimizer: makes the optimizer of the trainable parameters; needed for `fit` only.
        scheduler: makes the learning-rate schedule; `None` keeps the rate.
        seed: of the random stream of the training steps.
        fine_tuning: what of the network is frozen, and the rate of its trunk; `None` trains all of it alike.

    Raises:
        ValueError: as `FineTuning.freeze`.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        seed: int = 0,
        fine_tuning: FineTuning | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.seed = seed
        self.fine_tuning = fine_tuning or FineTuning()
        self.fine_tuning.freeze(network)
        self._fixed: list[nn.Module] = []
        self._optimizer = optimizer
        self._scheduler = scheduler

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's union of eleven forms
        """Return the optimizer of the trainable parameters and its schedule per step.

        Raises:
            ValueError: the module was made without an optimizer.
        """
        optimizer = self.make_optimizer()
        if self._scheduler is None:
            return optimizer
        scheduler = self._scheduler(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def make_optimizer(self) -> Optimizer:
        """Return the optimizer of the trainable parameters: of all alike, or of the head and, at its rate, the trunk.

        Raises:
            ValueError: the module was made without an optimizer, or head or trunk has nothing to be trained.
        """
        if self._optimizer is None:
            raise ValueError("optimizer: missing; training needs one")
        factor = self.fine_tuning.trunk_lr_factor
        if factor == 1:
            return self._optimizer(parameter for parameter in self.parameters() if parameter.requires_grad)
        # Every optimizer of torch takes groups in the stead of parameters.
        optimizer = self._optimizer(self.fine_tuning.groups(self, self.network))  # type: ignore[arg-type]
        optimizer.param_groups[1]["lr"] *= factor
        return optimizer

    def on_train_start(self) -> None:
        """Find the batch norm that is to stay as it is, after Lightning may have put in one over all processes."""
        self._fixed = self.fine_tuning.fixed_norms(self.network)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ANN401, ARG002 - Lightning's hook
        """Set torch's generator from (seed, process, step); keep frozen batch norm in evaluation mode."""
        # Whoever looks at the network between two steps may put all of it into training mode.
        for norm in self._fixed:
            norm.eval()
        key = f"{self.seed}/{self.global_rank}/{self.trainer.fit_loop.epoch_loop.total_batch_idx}".encode()
        torch.manual_seed(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1)

    def on_validation_epoch_start(self) -> None:
        """Give every process the first one's buffers, such as the statistics of batch norm.

        Each process collects them from its own share; those of the first are what a checkpoint holds, so they are
        what is validated. Data-parallel training would send them before every batch instead, of which the processes
        may have unequal numbers in a validation.
        """
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                distributed.broadcast(buffer, src=0)
