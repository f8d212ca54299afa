"""One GPU for one job at a time, where a machine has several and several processes want them."""

import contextlib
import fcntl
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, ListConfig

from experiments.errors import UserError
from experiments.runs import asked, processes
from experiments.runs.callbacks import RunKilled

POLL_SECONDS = 0.5


class Lease:
    """Devices that nobody else of this machine leases until they are released, or until this process dies.

    Args:
        files: of the locks, open.
        devices: their numbers.
    """

    def __init__(self, files: Sequence[int], devices: Sequence[int]) -> None:
        self._files = list(files)
        self.devices = list(devices)

    def release(self) -> None:
        """Let others have them; a second call does nothing."""
        while self._files:
            os.close(self._files.pop())


def try_lease(wanted: int | Sequence[int], names: Sequence[str], folder: Path) -> Lease | None:
    """Lease a number of devices, the first that are free, or certain ones: all of them or none.

    Args:
        wanted: how many, or which.
        names: of all devices, by number; two processes may number the same ones differently.
        folder: of the lock files, the same for all processes that share the devices.

    Returns:
        `None` where not enough of them are free now.

    Raises:
        UserError: one of them does not exist.
    """
    if not isinstance(wanted, int) and not set(wanted) <= set(range(len(names))):
        raise UserError(f"trainer.devices={list(wanted)}: this machine has the devices 0 to {len(names) - 1}")
    number, candidates = (wanted, range(len(names))) if isinstance(wanted, int) else (len(wanted), wanted)
    files: list[int] = []
    held: list[int] = []
    for device in candidates:
        if len(held) == number:
            break
        file = os.open(folder / f"gpu-{names[device]}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            files.append(file)
            held.append(device)
    lease = Lease(files, held)
    if len(held) == number:
        return lease
    # Whoever holds some and waits for more could wait for another that does the same.
    lease.release()
    return None


@contextlib.contextmanager
def leased(cfg: DictConfig, *, count: int | None = None, folder: Path | None = None) -> Iterator[DictConfig]:
    """Yield `cfg` with the GPUs that are its own while inside; unchanged where it wants none, or the machine has one.

    Waits until enough of them are free.

    Args:
        cfg: of a run.
        count: of the machine's GPUs; asked where it is `None`.
        folder: of the locks.

    Raises:
        RunKilled: this process was told to stop while it waited.
    """
    count = torch.cuda.device_count() if count is None else count
    gpus = cfg.trainer.accelerator in ("gpu", "cuda", "auto")
    if not gpus or count < 2 or processes.launched_by_others():  # noqa: PLR2004 - one needs no choice
        yield cfg
        return
    asks = cfg.trainer.devices
    wanted = [int(device) for device in asks] if isinstance(asks, ListConfig) else processes.device_count(cfg)
    if (len(wanted) if isinstance(wanted, list) else wanted) > count:
        yield cfg  # Lightning says what is wrong
        return
    lease = _wait_for(wanted, count, folder or _folder())
    try:
        changed = cfg.copy()
        changed.trainer.devices = lease.devices
        yield changed
    finally:
        lease.release()


def _wait_for(wanted: int | list[int], count: int, folder: Path) -> Lease:
    names = _names(count)
    while (lease := try_lease(wanted, names, folder)) is None:
        if (number := asked.stopped_by()) is not None:
            raise RunKilled(number)
        # Not all at the same moments: one that wants several would never find them free together.
        time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
    return lease


def _names(count: int) -> list[str]:
    """Return what the machine calls the devices that CUDA shows to this process."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return [name.replace("/", "-") for name in visible] if len(visible) == count else [str(n) for n in range(count)]


def _folder() -> Path:
    """Return the folder of this user's locks."""
    folder = Path(tempfile.gettempdir()) / f"whydeep-{os.getuid()}-gpus"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
