"""Values of the right type but out of range, in one table: what torch and Lightning find too late, or never."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiments.errors import UserError
from experiments.runs.start_keys import check_start

Allows = Callable[[Any], bool]


def _from(least: float, below: float = math.inf) -> Allows:
    """Numbers from `least`, below another one; NaN is none of them."""
    return lambda value: _is_number(value) and least <= value < below


def _whole(least: int) -> Allows:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _share_or_count(value: object) -> bool:
    if isinstance(value, float):
        return 0 < value <= 1
    return _whole(1)(value)


def _betas(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(map(_from(0, 1), value))  # noqa: PLR2004


def _devices(value: object) -> bool:
    if isinstance(value, str):
        return value in ("auto", "-1") or (all(map(str.isdecimal, value.split(","))) and value != "0")
    if isinstance(value, Sequence):
        return len(value) > 0 and len(set(value)) == len(value) and all(map(_whole(0), value))
    return value == -1 or _whole(1)(value)


_ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
_BATCHES = "a number of batches from 1, a share above 0.0 and up to 1.0, or null for all"

# Key, what is allowed, and how that is said; a key that is absent or null is not looked at.
RANGES: tuple[tuple[str, Allows, str], ...] = (
    ("optimizer.lr", _from(0), "must be a number from 0"),
    ("optimizer.momentum", _from(0, 1), "must be a number from 0, below 1"),
    ("optimizer.dampening", _from(0), "must be a number from 0"),
    ("optimizer.weight_decay", _from(0), "must be a number from 0"),
    ("optimizer.eps", _from(0), "must be a number from 0"),
    ("optimizer.betas", _betas, "must be two numbers, each from 0 and below 1"),
    ("trainer.max_epochs", lambda value: value == -1 or _whole(1)(value), "must be at least 1, or -1 with max_steps"),
    ("trainer.max_steps", lambda value: value == -1 or _whole(1)(value), "must be at least 1, or -1 for no limit"),
    ("trainer.accumulate_grad_batches", _whole(1), "must be a number of batches from 1"),
    ("trainer.check_val_every_n_epoch", _whole(1), "must be a number of epochs from 1"),
    ("trainer.limit_train_batches", _share_or_count, f"must be {_BATCHES}"),
    ("trainer.limit_val_batches", _share_or_count, f"must be {_BATCHES}: the best epoch is chosen by validation"),
    ("trainer.limit_test_batches", _share_or_count, f"must be {_BATCHES}: a run ends with its test"),
    ("trainer.overfit_batches", lambda value: value == 0, "must be 0; trainer.limit_train_batches takes few batches"),
    ("trainer.gradient_clip_val", _from(0), "must be a number from 0, or null"),
    ("trainer.num_nodes", _whole(1), "must be a number of machines from 1"),
    ("trainer.accelerator", lambda value: value in _ACCELERATORS, "must be auto, cpu, gpu, cuda or mps"),
    ("trainer.devices", _devices, "must be a number from 1, a list of devices, or auto"),
    ("model.frozen_batch_norm", lambda value: value in ("fixed", "adapt"), "must be fixed or adapt"),
    (
        "model.trunk_lr_factor",
        lambda value: _from(0)(value) and 0 < value < math.inf,
        "must be a factor above 0; model.freeze=trunk keeps the trunk as it is",
    ),
)


def check_ranges(cfg: DictConfig) -> None:
    """Refuse values out of range, and those that contradict each other.

    Raises:
        UserError: one line that names the key, the value and what is allowed.
    """
    for key, allows, allowed in RANGES:
        value = _value(cfg, key)
        if value is not None and not allows(value):
            raise UserError(f"{key}={value}: {allowed}")
    _check_length(cfg)
    devices = _value(cfg, "trainer.devices")
    if cfg.trainer.get("accelerator") == "cpu" and not (devices in (None, "auto") or _whole(1)(devices)):
        raise UserError(f"trainer.devices={devices}: on the CPU must be a number of processes from 1, or auto")
    if cfg.optimizer.get("nesterov") and (not cfg.optimizer.get("momentum") or cfg.optimizer.get("dampening")):
        raise UserError("optimizer.nesterov=true: needs optimizer.momentum above 0 and no optimizer.dampening")
    check_start(cfg.model)


def check_batches(cfg: DictConfig, samples: Mapping[str, int]) -> None:
    """Refuse a share of a split's batches that comes to none.

    Args:
        cfg: the configuration.
        samples: how many each split (`train`, `val`, `test`) has.

    Raises:
        UserError: one line that names the key, the value and what is allowed.
    """
    for split, count in samples.items():
        key = f"trainer.limit_{split}_batches"
        share, batches = OmegaConf.select(cfg, key), math.ceil(count / cfg.datamodule.batch_size)
        if isinstance(share, float) and int(share * batches) < 1:
            raise UserError(f"{key}={share}: less than one of {batches} batches; must be a number, or a larger share")


def _check_length(cfg: DictConfig) -> None:
    """See that the training ends, and validates before it does."""
    epochs, steps = cfg.trainer.get("max_epochs"), cfg.trainer.get("max_steps", -1)
    if epochs in (None, -1) and steps in (None, -1):
        raise UserError(f"trainer.max_epochs={epochs}: must be at least 1 (or set trainer.max_steps)")
    every = cfg.trainer.get("check_val_every_n_epoch")
    if every is not None and epochs not in (None, -1) and every > epochs:
        raise UserError(
            f"trainer.check_val_every_n_epoch={every}: must be at most trainer.max_epochs={epochs}: "
            "the best epoch is chosen by validation"
        )


def _value(cfg: DictConfig, key: str) -> Any:  # noqa: ANN401 - a value of a configuration
    value = OmegaConf.select(cfg, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
