"""What makes two runs the same run: configuration, code, data and seed."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from experiments.runs.options import EXECUTION_KEYS
from experiments.runs.source_files import code_digests, code_files, file_digest


@dataclass(frozen=True)
class Identity:
    """The digests that make up a run's identity; hexadecimal.

    `configuration` leaves out the execution keys, and has the digest of weights in the stead of their place; `code`
    covers the source files that the configuration reaches; `data` is the datamodule's digest of the data set's content,
    the same under every seed. What a seed takes of it (its split, `few_samples`) follows from content, configuration
    and code, and has a digest of its own in the run's record.
    """

    configuration: str
    code: str
    data: str

    @property
    def digest(self) -> str:
        """The identity itself: the hash of its ingredients."""
        return _digest([self.configuration, self.code, self.data])


def identify(cfg: DictConfig, data_digest: str, *, shares: int = 1) -> Identity:
    """Return the identity of the run that `cfg` describes on data with that digest.

    `shares` is the number of processes where it decides the result (`processes.shares`), else 1.
    """
    cfg = with_weights_digest(cfg)
    return Identity(_digest(_configuration(cfg, shares)), _code_digest(cfg), data_digest)


def identities(
    cfg: DictConfig, seeds: Iterable[int], data_digest: str, *, keys: Sequence[str] = ("seed",), shares: int = 1
) -> dict[int, Identity]:
    """Return the identity under each seed of a configuration that holds its seed at `keys` and nowhere else.

    Code and configuration are looked at once, so that thousands of seeds take hardly longer than one.
    """
    cfg = with_weights_digest(cfg)
    configuration, code = _configuration(cfg, shares), _code_digest(cfg)
    nodes: list[tuple[dict[str, object], str]] = []
    for key in keys:
        *parents, last = key.split(".")
        node: Any = configuration
        for parent in parents:
            node = node[parent]
        nodes.append((node, last))
    found = {}
    for seed in seeds:
        for node, last in nodes:
            node[last] = seed
        found[seed] = Identity(_digest(configuration), code, data_digest)
    return found


def with_weights_digest(cfg: DictConfig) -> DictConfig:
    """Return `cfg` with the digest of the weights that `model.weights` means, found out where it does not say it.

    Raises:
        UserError: there are no such weights.
    """
    if cfg.model.get("weights") is None or cfg.model.get("weights_digest") or cfg.model.get("weights_identity"):
        return cfg
    from experiments.runs.weight_sources import weights_digest  # noqa: PLC0415 - torch takes seconds, few runs need it

    told = cfg.copy()
    with open_dict(told):
        told.model.weights_digest = weights_digest(cfg)
    return told


def _configuration(cfg: DictConfig, shares: int) -> dict[str, object]:
    return {**ingredients(cfg), **({"shares": shares} if shares > 1 else {})}


def ingredients(cfg: DictConfig) -> dict[str, object]:
    """Return the configuration without the execution keys: what decides the result."""
    content = OmegaConf.to_container(cfg, resolve=True)
    if not isinstance(content, dict):
        raise TypeError("a run's configuration is a mapping")
    if isinstance(model := content.get("model"), dict):
        # Where a file lies says nothing of what is in it.
        if isinstance(name := model.get("key_map"), str) and Path(name).is_file():
            model["key_map"] = file_digest(Path(name))
        digest, source = model.pop("weights_digest", None), model.pop("weights_identity", None)
        # Of a run that a study plans before it has run, what it will be is known, and its weights are not.
        if (weights := source or digest) is not None:
            model["weights"] = weights
    for key in EXECUTION_KEYS:
        *parents, last = key.split(".")
        node: object = content
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)
    return {str(key): value for key, value in content.items()}


def _code_digest(cfg: DictConfig) -> str:
    return _digest(code_digests(code_files(cfg).items()))


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
