"""Where a run is recorded, looked at before anything runs: its folder and its store."""

import os
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from experiments.errors import UserError
from experiments.tracking.addresses import sqlite_file
from experiments.tracking.options import TrackingOptions


def check_place(cfg: DictConfig) -> None:
    """Refuse a folder that runs cannot be written to, and a store that can never work; nothing is created.

    Raises:
        UserError: one line that names the key, the value and what is allowed.
    """
    check_folder("runs_dir", Path(cfg.runs_dir))
    options = tracking_options(cfg)
    if options.deliver:
        options.check()
        if (file := sqlite_file(options.destination().uri)) is not None:
            check_folder("tracking.uri", file.parent)


def check_folder(key: str, folder: Path) -> None:
    """Refuse a folder, that of the setting `key`, which exists already as a file, or cannot be written to.

    Raises:
        UserError: one line.
    """
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise UserError(f"{key}={folder}: {existing} is a file; it must be a folder that can be written to")
    # The kernel's own folders refuse even the superuser, to whom everything seems writable.
    kernels = any(existing.resolve().is_relative_to(place) for place in ("/proc", "/sys"))
    if kernels or not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{key}={folder}: {existing} cannot be written to; name a folder that can")


def tracking_options(cfg: DictConfig) -> TrackingOptions:
    """Return where and how the run is recorded.

    Raises:
        UserError: an address that cannot be, or a time out of range.
    """
    values = OmegaConf.to_container(cfg.tracking, resolve=True)
    if not isinstance(values, dict):
        raise TypeError("tracking is a mapping")
    return TrackingOptions(**{str(key): value for key, value in values.items() if key != "_target_"})
