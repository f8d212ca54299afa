"""The processes of one run: several train it together, and the first records it."""

import contextlib
import os
from collections.abc import Iterator

import torch
from omegaconf import DictConfig, ListConfig
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.errors import UserError


class Silence:
    """The recorder of the processes that do not record."""

    def metrics(self, values: dict[str, float], *, step: int) -> None:
        """Record nothing."""

    def flush(self) -> None:
        """Wait for nothing."""


# Looked up once, when the process has just started: Lightning leaves the same variables behind.
_LAUNCHED_BY_OTHERS = "LOCAL_RANK" in os.environ or "SLURM_PROCID" in os.environ
_RANK = int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")))


def launched_by_others() -> bool:
    """Whether this process is one of several that torchrun, SLURM or `launch` started."""
    return _LAUNCHED_BY_OTHERS


def rank() -> int:
    """Return the number of this process among those of the run, from 0."""
    return _RANK


def is_first() -> bool:
    """Whether this process records the run."""
    return _RANK == 0


@contextlib.contextmanager
def left_as_found() -> Iterator[None]:
    """Undo what a training does to this process: the next one must not take its environment for a launcher's.

    A process that others launched keeps its group: it is theirs, and ends with it.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        if not launched_by_others():
            for name in os.environ.keys() - before.keys():
                del os.environ[name]
            os.environ.update(before)
            if distributed.is_available() and distributed.is_initialized():
                distributed.destroy_process_group()


def device_count(cfg: DictConfig) -> int:
    """Return how many devices, hence processes, the run wants on this machine.

    Raises:
        UserError: `trainer.devices` is not a number, a list or "auto".
    """
    devices = cfg.trainer.devices
    if isinstance(devices, ListConfig):
        return len(devices)
    if isinstance(devices, int) and devices > 0:
        return devices
    if devices in ("auto", -1):
        return 1 if cfg.trainer.accelerator == "cpu" else max(1, torch.cuda.device_count())
    raise UserError(f"trainer.devices={devices}: must be a number from 1, a list of devices, or auto")


def process_count(cfg: DictConfig) -> int:
    """Return how many processes train the run, over all hosts.

    Raises:
        UserError: as `device_count`.
    """
    return device_count(cfg) * int(cfg.trainer.num_nodes)


def shares(cfg: DictConfig, network: nn.Module) -> int:
    """Return into how many parts, each normalised by itself, the processes cut a batch.

    Batch norm takes its statistics of the process's own share, so that two processes train another network than one
    does (by some 1e-3). Without it, or with `trainer.sync_batchnorm` (GPUs only), they train the same, and this is 1.

    Raises:
        UserError: as `device_count`.
    """
    normalised = any(isinstance(module, _BatchNorm) for module in network.modules())
    return process_count(cfg) if normalised and not cfg.trainer.get("sync_batchnorm", False) else 1


def strategy(cfg: DictConfig) -> str | DDPStrategy:
    """Return Lightning's strategy for `trainer.strategy`.

    One process needs none. For several, `ddp`, which `auto` then means, sends no buffers between them before each
    batch: the tasks do so before each validation.

    Raises:
        UserError: as `device_count`.
    """
    asked = str(cfg.trainer.strategy)
    if asked not in ("ddp", "auto"):
        return asked
    return DDPStrategy(broadcast_buffers=False) if process_count(cfg) > 1 else "auto"


def must_launch(cfg: DictConfig) -> bool:
    """Whether this process has to start the run's processes."""
    if launched_by_others():
        return False
    if cfg.trainer.num_nodes > 1:
        raise UserError(
            f"trainer.num_nodes={cfg.trainer.num_nodes}: several hosts need torchrun or SLURM to start the processes; "
            "allowed here: 1"
        )
    return device_count(cfg) > 1
