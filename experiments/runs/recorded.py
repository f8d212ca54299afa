"""A recorded run, opened again: its configuration, checked before it builds anything, and its best weights."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from datamodules.normalisation import Normalisation
from experiments.errors import UserError
from experiments.runs.allowed import check_allowed
from experiments.runs.build import Assembly, assemble
from experiments.runs.configuration import load, nearest
from experiments.runs.options import REOPENED_KEYS
from experiments.runs.record import CONFIG_FILE, DATA_FILE
from experiments.runs.start_keys import NO_WEIGHTS
from experiments.runs.weight_sources import best_checkpoint
from experiments.runs.weights import load_weights


@dataclass(frozen=True)
class RecordedData:
    """What a run wrote down of its data: see `record.write_inputs`."""

    class_names: tuple[str, ...]
    channels: int
    image_size: int
    normalisation: Normalisation
    digest: str
    split_digest: str


def open_recorded(run_dir: Path, overrides: Sequence[str]) -> Assembly:
    """Build the run in `run_dir` with its best weights; `overrides` (`key=value`) may say where the data lie now.

    Raises:
        UserError: no run, no checkpoint yet, a key that would change what is tested, other data than the run's, or a
            configuration that names what it may not.
    """
    cfg = change(load(run_dir / CONFIG_FILE), overrides)
    check_allowed(cfg)
    checkpoint = best_checkpoint(run_dir)
    recorded = recorded_data(run_dir)
    # Where the run's own training started from does not matter any more.
    without_weights(cfg)
    assembly = assemble(cfg)
    data = assembly.datamodule
    if (data.digest, data.split.digest) != (recorded.digest, recorded.split_digest):
        where = f"datamodule.root={cfg.datamodule.root}" if "root" in cfg.datamodule else f"datamodule={data.name}"
        raise UserError(
            f"{where}: not the pictures that {run_dir.name} was divided by, so that it might be tested on what it was "
            f"trained on; evaluate checkpoint={checkpoint} tests its weights on other data"
        )
    load_weights(assembly.network, str(checkpoint), key_map=None)
    return assembly


def without_weights(cfg: DictConfig) -> None:
    """Let `cfg`, which may have been recorded by older code, start from no weights."""
    for key, nothing in NO_WEIGHTS.items():
        if key in cfg.model:
            cfg.model[key] = nothing


def recorded_data(run_dir: Path) -> RecordedData:
    """Return what the run in `run_dir` wrote down of its data.

    Raises:
        UserError: it is missing, or not what a run writes.
    """
    file = run_dir / DATA_FILE
    try:
        recorded = json.loads(file.read_text(encoding="utf-8"))
        spec, normalisation = recorded["spec"], recorded["normalisation"]
        return RecordedData(
            class_names=tuple(map(str, spec["class_names"])),
            channels=int(spec["channels"]),
            image_size=int(spec["image_size"]),
            normalisation=Normalisation(tuple(normalisation["mean"]), tuple(normalisation["std"])),
            digest=str(recorded["digest"]),
            split_digest=str(recorded["split_digest"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: missing or not what a run writes ({error})") from error


def change(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return `cfg` with some values changed: those of `REOPENED_KEYS` that it has.

    Raises:
        UserError: not of the form `key=value`, an unknown key, or one that the recorded run keeps.
    """
    changed = cfg.copy()
    allowed = [key for key in sorted(REOPENED_KEYS) if OmegaConf.select(cfg, key, default=_ABSENT) is not _ABSENT]
    for override in overrides:
        key, assigned, _ = override.partition("=")
        if not assigned:
            raise UserError(f"{override}: not of the form key=value")
        if key not in allowed:
            if OmegaConf.select(cfg, key, default=_ABSENT) is not _ABSENT:
                raise UserError(f"{override}: a recorded run keeps its {key}; allowed: {', '.join(allowed)}")
            raise UserError(f"{key}: unknown key; {nearest(key, allowed)}")
        try:
            value = OmegaConf.select(OmegaConf.from_dotlist([override]), key)
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            raise UserError(f"{override}: cannot be read; write key=value") from error
        OmegaConf.update(changed, key, value, merge=False)
        if key == "data_dir" and OmegaConf.select(cfg, "datamodule.root") == cfg.get("data_dir"):
            changed.datamodule.root = value
    return changed


_ABSENT = object()
