"""Weights from elsewhere copied into a network: all of them, or none and one line that says why."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from experiments.errors import UserError
from experiments.runs.architecture_hints import hint
from experiments.runs.checkpoints import published, read_checkpoint
from experiments.runs.tensor_names import counted, paired, read_rules, renamed, without_strangers

_LOG = logging.getLogger(__name__)
_TORCHVISION = "torchvision:"
_FEW_NAMES = 4


class Copied(NamedTuple):
    """What was copied: how many tensors, and the names in the checkpoint of what was left out."""

    tensors: int
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        said = f"copied {self.tensors} tensors"
        if not self.left_out:
            return said
        more = len(self.left_out) - _FEW_NAMES
        return f"{said}, left out {', '.join(self.left_out[:_FEW_NAMES])}" + (f" and {more} more" if more > 0 else "")


def load_weights(
    network: nn.Module,
    source: str,
    *,
    key_map: str | None,
    key: str | None = None,
    architecture: str | None = None,
    new_head: bool = False,
) -> Copied:
    """Copy weights into `network`.

    Args:
        network: gets the weights.
        source: a checkpoint file (of torch, of Lightning, of a run, of safetensors), or `torchvision:NAME` for
            published weights.
        key_map: `None` takes the names as they are, less the prefixes of wrappers; `auto` pairs the tensors by name
            where all names agree, else by order and shape; else a YAML file `{pattern: replacement}` of regular
            expressions, applied in order.
        key: the key that `source` is the value of; errors name it.
        architecture: torchvision's name of the network, for `torchvision:NAME`.
        new_head: a last layer for another number of classes keeps its initial weights instead of being an error.

    Returns:
        What was copied, and what of the checkpoint was left out.

    Raises:
        UserError: no such file, not loadable without running code from it, tensors that do not fit, or that hold values
            which are not finite.
    """
    named = source if key is None else f"{key}={source}"
    found = (
        published(architecture, source.removeprefix(_TORCHVISION), named)
        if source.startswith(_TORCHVISION)
        else read_checkpoint(Path(source), named)
    )
    own = network.state_dict()
    tensors, strange = without_strangers(found.tensors, network)
    if key_map == "auto":
        head = frozenset(name for name in own if _is_head(name, own))
        tensors = paired(tensors, network, named, other_head=head if new_head else frozenset())
    else:
        tensors = renamed(tensors, own, () if key_map is None else read_rules(Path(key_map)), named)
    if new_head:
        tensors = _without_other_head(tensors, own)
    _check(tensors, network, named, new_head=new_head)
    _check_finite(tensors, named)
    network.load_state_dict({**own, **tensors})
    copied = Copied(len(tensors), found.left_out + strange)
    _LOG.info("weights: of %d tensors %s from %s", len(own), copied, source)
    return copied


def _without_other_head(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out layers that differ in their outputs alone: heads for another number of classes."""
    kept = {}
    for name, tensor in tensors.items():
        mine = own.get(name)
        if mine is not None and mine.shape != tensor.shape and mine.shape[1:] == tensor.shape[1:]:
            _LOG.warning(
                "weights: %s keeps its initial values (%d classes here, %d there)", name, len(mine), len(tensor)
            )
        else:
            kept[name] = tensor
    return kept


def _check(tensors: Mapping[str, Tensor], network: nn.Module, named: str, *, new_head: bool) -> None:
    own = network.state_dict()
    shapes = {name: tuple(tensors[name].shape) for name in counted(tensors)}
    stem = next(name for name, tensor in own.items() if tensor.dim() > 1)
    for name, tensor in tensors.items():
        if name not in own:
            likely = hint(network, shapes, name, None)
            raise UserError(
                f"{named}: '{name}' {tuple(tensor.shape)} is not in the network{likely and '; '}{likely}; "
                "key_map=auto pairs tensors by order, a YAML file maps names"
            )
        if tensor.shape == own[name].shape:
            continue
        theirs, ours = tuple(tensor.shape), tuple(own[name].shape)
        if name == stem and theirs[0] == ours[0] and theirs[2:] == ours[2:]:
            raise UserError(
                f"{named}: was trained on pictures of {theirs[1]} channels, these have {ours[1]} ('{name}' {theirs})"
            )
        likely = hint(network, shapes, name, name)
        raise UserError(f"{named}: '{name}' is {theirs}, the network's is {ours}{likely and '; '}{likely}")
    missing = [name for name in counted(own) if name not in tensors and not (new_head and _is_head(name, own))]
    if missing:
        likely = hint(network, shapes, None, missing[0]) or "see key_map"
        raise UserError(f"{named}: lacks '{missing[0]}' ({len(missing)} tensors of the network are missing); {likely}")


def _check_finite(tensors: Mapping[str, Tensor], named: str) -> None:
    for name, tensor in tensors.items():
        wrong = int((~tensor.isfinite()).sum())
        if wrong:
            raise UserError(
                f"{named}: '{name}' holds {wrong} of {tensor.numel()} values that are not finite (NaN or infinite): "
                "the weights of a training that diverged"
            )


def _is_head(name: str, own: Mapping[str, Tensor]) -> bool:
    """Whether a tensor belongs to the last layer, which transfer learning replaces."""
    return name.rpartition(".")[0] == list(own)[-1].rpartition(".")[0]
