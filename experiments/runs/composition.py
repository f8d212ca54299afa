"""Composing many configurations that choose the same options: their files are read once, values are set in a copy.

Hydra reads and merges some twenty files for each configuration, which is most of its time; a study of hundreds of arms
composes hundreds of them. What is set in the copy is set as Hydra sets it; whatever is not simple is left to Hydra.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from experiments.runs.overrides import override_key

KEPT_CHOICES = 64  # of options that were chosen together
KEPT_OVERRIDES = 4096


def compose_quickly(folder: Path, root: str, overrides: Sequence[str]) -> DictConfig | None:
    """Compose `root` of `folder` as Hydra does, unresolved, without its own node, its choices under `choices`.

    Returns `None` where only Hydra can do it.

    Raises:
        HydraException, OmegaConfBaseException, ValueError: an override that cannot be; Hydra tells it better.
    """
    choosing = tuple(text for text in overrides if _chooses(folder, text))
    settings = [_parsed(text) for text in overrides if not _chooses(folder, text)]
    if any(item.is_sweep_override() or item.is_delete() or item.package is not None for item in settings):
        return None
    cfg = _options(folder, root, _stamp(folder), choosing).copy()
    with open_dict(cfg):
        choices = cfg.pop("choices")
    for item in settings:
        key, value = item.key_or_group, item.value()
        if item.is_add() and not isinstance(value, dict | list) and OmegaConf.select(cfg, key) is not None:
            return None
        OmegaConf.update(cfg, key, value, merge=True, force_add=item.is_add() or item.is_force_add())
    with open_dict(cfg):
        cfg.choices = choices
    return cfg


def with_choices(cfg: DictConfig, choices: Mapping[str, Any]) -> DictConfig:
    """Return a composed configuration without Hydra's own node, with the options `choices` that were chosen for it."""
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.pop("hydra", None)
        cfg.choices = {
            str(group): option
            for group, option in choices.items()
            if "hydra" not in str(group) and "@" not in str(group)
        }
    return cfg


def resolved(cfg: DictConfig) -> DictConfig:
    """Return a configuration whose interpolations are values.

    Raises:
        OmegaConfBaseException: one refers to what does not exist.
    """
    plain = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    if not isinstance(plain, DictConfig):
        raise TypeError(f"a run's configuration is a mapping, not {type(plain).__name__}")
    return plain


@lru_cache(KEPT_CHOICES)
def _options(folder: Path, root: str, _stamp: int, choosing: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(folder)):
        cfg = hydra_compose(root, list(choosing), return_hydra_config=True)
    return with_choices(cfg, cfg.hydra.runtime.choices)


def _stamp(folder: Path) -> int:
    """Return what changes when a file of `folder` does: in a notebook they are edited while this process lives."""
    return hash(frozenset((str(file), file.stat().st_mtime_ns) for file in folder.rglob("*.yaml")))


def _chooses(folder: Path, text: str) -> bool:
    """Whether an override chooses an option of a group, or is about Hydra itself."""
    group = override_key(text).partition("@")[0]
    return group.startswith("hydra") or (folder / group).is_dir()


@lru_cache(KEPT_OVERRIDES)
def _parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)
