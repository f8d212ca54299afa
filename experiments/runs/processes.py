"""The processes of one run: several train it together, and the first records it.

Lightning's own launcher starts each further process with the command line of the first, so that under a sweep every
one of them runs the whole sweep again. Here a process gets the directory of one run, and nothing else.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig, ListConfig
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from experiments.errors import UserError
from experiments.runs.callbacks import RunFailed, RunKilled

GRACE_SECONDS = 30.0  # for the others to end by themselves once one has failed


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


def launch(run_dir: Path, cfg: DictConfig) -> None:
    """Start the run's processes on this machine and wait until all have ended.

    Raises:
        RunFailed: one of them failed; the others were stopped.
        RunKilled: this process was told to stop; so were they.
    """
    count = device_count(cfg)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = str(max(1, (os.cpu_count() or 1) // count))
    running = [
        subprocess.Popen(  # noqa: S603 - this interpreter, with a module of ours
            [sys.executable, "-m", "experiments.runs.rank", str(run_dir)],
            env={
                **os.environ,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": str(count),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "NODE_RANK": "0",
                "LOCAL_WORLD_SIZE": str(count),
                "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
                "OMP_WAIT_POLICY": "passive",
                # What is recorded in the run's directory lacks the password.
                **({"MLFLOW_TRACKING_URI": cfg.tracking.uri} if cfg.tracking.uri else {}),
            },
        )
        for rank in range(count)
    ]
    try:
        _wait(running)
    except KeyboardInterrupt:
        # The terminal sent the signal to all of them; they save a checkpoint and end.
        _end(running, signal.SIGTERM)
        raise RunKilled(signal.SIGINT) from None
    codes = [process.returncode for process in running]
    if any(code in (128 + signal.SIGINT, 128 + signal.SIGTERM) for code in codes):
        raise RunKilled(next(code for code in codes if code > 128) - 128)  # noqa: PLR2004 - the shell's convention
    if any(codes):
        rank, code = next((rank, code) for rank, code in enumerate(codes) if code)
        raise RunFailed(f"process {rank} of {count} ended with {code}; its messages stand above and in {run_dir}")


def _wait(running: list[subprocess.Popen[bytes]]) -> None:
    """Return when all have ended; as soon as one fails, stop the others, which would wait for it for ever."""
    while any(process.poll() is None for process in running):
        if any(process.poll() not in (None, 0) for process in running):
            _end(running, signal.SIGTERM)
            return
        time.sleep(0.1)


def _end(running: list[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in running:
        if process.poll() is None:
            process.send_signal(number)
    until = time.monotonic() + GRACE_SECONDS
    for process in running:
        try:
            process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
