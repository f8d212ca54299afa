"""A recorded run, opened again: its configuration, checked before it builds anything, and its best weights."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from experiments.errors import UserError
from experiments.runs.allowed import check_allowed
from experiments.runs.build import Assembly, assemble
from experiments.runs.configuration import load, nearest
from experiments.runs.record import CONFIG_FILE
from experiments.runs.weights import load_weights

BEST = Path("checkpoints") / "best.ckpt"


def open_recorded(run_dir: Path, overrides: Sequence[str]) -> Assembly:
    """Build the run in `run_dir` with its best weights; `overrides` (`key=value`) may say where the data lie now.

    Raises:
        UserError: no run, no checkpoint yet, an unknown key, or a configuration that names what it may not.
    """
    cfg = change(load(run_dir / CONFIG_FILE), overrides)
    check_allowed(cfg)
    checkpoint = best_checkpoint(run_dir)
    # Where the run's own training started from does not matter any more.
    cfg.model.weights = None
    assembly = assemble(cfg)
    load_weights(assembly.network, str(checkpoint), key_map=None)
    return assembly


def best_checkpoint(run_dir: Path) -> Path:
    """Return the best checkpoint of the run in `run_dir`.

    Raises:
        UserError: it has none yet.
    """
    checkpoint = run_dir / BEST
    if not checkpoint.is_file():
        raise UserError(f"{run_dir}: has no {BEST} yet; a run writes it after its first epoch")
    return checkpoint


def change(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return `cfg` with some values changed; only keys that it has.

    Raises:
        UserError: not of the form `key=value`, or an unknown key.
    """
    changed = cfg.copy()
    for override in overrides:
        key, assigned, _ = override.partition("=")
        if not assigned:
            raise UserError(f"{override}: not of the form key=value")
        parent, _, last = key.rpartition(".")
        node = OmegaConf.select(changed, parent) if parent else changed
        if not isinstance(node, DictConfig) or last not in node:
            siblings = (
                [f"{parent}.{name!s}" if parent else str(name) for name in node]
                if node
                else [str(name) for name in changed]
            )
            raise UserError(f"{key}: unknown key; {nearest(key, siblings)}")
        if isinstance(node[last], DictConfig):
            raise UserError(f"{override}: a recorded run keeps its {key}; change one of its keys, such as {key}.…")
        OmegaConf.update(changed, key, OmegaConf.select(OmegaConf.from_dotlist([override]), key), merge=False)
    return changed
