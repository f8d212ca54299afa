"""What a training starts from: weights copied into its network, and what of it stays as it is."""

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, open_dict
from torch import nn

from experiments.errors import UserError
from experiments.measures.network import NetworkMeasures
from experiments.runs.checkpoints import StateDict
from experiments.runs.parts import part_of
from experiments.runs.start_keys import KEY
from experiments.runs.weight_sources import Place, read_weights
from experiments.runs.weights import Copied, copy_weights
from lightning_modules.fine_tuning import FineTuning


@dataclass(frozen=True)
class Start:
    """Where the weights that a training starts from lay, their digest, and what became of them in its network."""

    place: Place
    digest: str
    copied: Copied

    def __str__(self) -> str:
        of = self.place.source if self.place.run is None else f"{self.place.source} ({self.place.run})"
        return f"weights: {self.copied}; from {of}, digest {self.digest[:10]}"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        place = {"source": self.place.source, "run_id": self.place.run_id, "run": self.place.run}
        return {**place, "digest": self.digest, **self.copied.as_dict()}

    def tags(self) -> dict[str, str]:
        """Return what the run is found by in the store, as one that began from these weights."""
        return {"whydeep.weights": self.digest, "whydeep.weights_run": self.place.run_id or "none"}

    def recorded_in(self, cfg: DictConfig) -> DictConfig:
        """Return the configuration that will find these weights again, and refuse others."""
        told = cfg.copy()
        with open_dict(told):
            told.model.weights, told.model.weights_digest = self.place.source, self.digest
        return told


def begin_from(cfg: DictConfig, network: nn.Module, measures: NetworkMeasures) -> Start:
    """Copy into `network` what `model.weights` and `model.copy` ask for.

    A last layer for another number of classes keeps its initial weights.

    Raises:
        UserError: no such weights or part, or they do not fit.
    """
    weights = read_weights(cfg)
    return Start(weights.place, weights.digest, copy_part(cfg, network, measures, weights.state))


def copy_part(cfg: DictConfig, network: nn.Module, measures: NetworkMeasures, state: StateDict) -> Copied:
    """Copy into `network` what `model.copy` asks for of the weights `state`, which `model.weights` means.

    Raises:
        UserError: no such part, or they do not fit.
    """
    word = str(cfg.model.get("copy", "all"))
    part = None if word == "all" else part_of("model.copy", word, network, measures)
    named = f"{KEY}={cfg.model.weights}"
    copied = copy_weights(network, state, named, key_map=cfg.model.key_map, new_head=True, part=part)
    if not copied.copied:
        raise UserError(f"{named}: nothing of it was copied")
    return copied


def fine_tuning(cfg: DictConfig, network: nn.Module, measures: NetworkMeasures) -> FineTuning:
    """Return what `cfg` freezes of `network`, and the rate of its trunk; older configurations freeze nothing.

    Raises:
        UserError: no such part, or a value out of its range.
    """
    model = cfg.model
    word = str(model.get("freeze", "none"))
    frozen = part_of("model.freeze", word, network, measures)
    if frozen.issuperset(name for name, _ in network.named_parameters()):
        raise UserError(f"model.freeze={word}: leaves nothing to be trained")
    return FineTuning(
        frozen=frozen,
        batch_norm=str(model.get("frozen_batch_norm", "fixed")),
        trunk_lr_factor=float(model.get("trunk_lr_factor", 1.0)),
    )
