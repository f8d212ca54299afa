"""Weights from elsewhere copied into a network: all of a part of it, or nothing and one line that says why."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from experiments.errors import UserError
from experiments.runs.architecture_hints import hint
from experiments.runs.checkpoints import StateDict, read_checkpoint
from experiments.runs.tensor_names import counted, paired, read_rules, renamed, without_strangers
from lightning_modules.fine_tuning import head_of

_LOG = logging.getLogger(__name__)
_FEW_NAMES = 4


class Named(NamedTuple):
    """A tensor: its name, and its shape."""

    name: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {'x'.join(map(str, self.shape)) or 'scalar'}"


@dataclass(frozen=True)
class Copied:
    """What became of the tensors of a checkpoint, and of those of the network.

    Attributes:
        copied: of the network, that have the checkpoint's values.
        skipped: of the checkpoint, that went nowhere, by the network's names as far as it has them.
        new: of the network, that keep their initial values; without batch norm's counters.
        left_out: names of what cannot be the network's, such as a profiler's counts.
    """

    copied: tuple[Named, ...]
    skipped: tuple[Named, ...] = ()
    new: tuple[Named, ...] = ()
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = [f"copied {len(self.copied)} tensors"]
        for what, tensors in (("skipped", self.skipped), ("newly initialised", self.new)):
            if tensors:
                said.append(f"{what} {len(tensors)} ({_some(list(map(str, tensors)))})")
        if self.left_out:
            said.append(f"left out {_some(self.left_out)}")
        return ", ".join(said)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        tables = {name: [tensor._asdict() for tensor in getattr(self, name)] for name in ("copied", "skipped", "new")}
        return {**tables, "left_out": list(self.left_out)}


def _some(names: tuple[str, ...] | list[str]) -> str:
    more = len(names) - _FEW_NAMES
    return ", ".join(names[:_FEW_NAMES]) + (f" and {more} more" if more > 0 else "")


def load_weights(network: nn.Module, source: str, *, key_map: str | None, key: str | None = None) -> Copied:
    """Copy all weights of a checkpoint file into `network`; see `copy_weights`."""
    named = source if key is None else f"{key}={source}"
    return copy_weights(network, read_checkpoint(Path(source), named), named, key_map=key_map)


def copy_weights(
    network: nn.Module,
    found: StateDict,
    named: str,
    *,
    key_map: str | None,
    new_head: bool = False,
    part: frozenset[str] | None = None,
) -> Copied:
    """Copy weights into `network`, by name and shape.

    Args:
        network: gets the weights.
        found: the weights.
        named: what an error calls them.
        key_map: `None` takes the names as they are, less the prefixes of wrappers; `auto` pairs the tensors by name
            where all names agree, else by order and shape; else a YAML file `{pattern: replacement}` of regular
            expressions, applied in order.
        new_head: a last layer for another number of classes keeps its initial weights instead of being an error.
        part: names of the network's tensors that are wanted; others keep their initial values, and may be missing or of
            another shape there. `None`: all.

    Returns:
        What was copied, and what was not.

    Raises:
        UserError: tensors that do not fit, or that hold values which are not finite.
    """
    own = network.state_dict()
    tensors, strange = without_strangers(found.tensors, network)
    if key_map == "auto":
        tensors = paired(tensors, network, named, other_head=head_of(network) if new_head else frozenset())
    else:
        tensors = renamed(tensors, own, () if key_map is None else read_rules(Path(key_map)), named)
    wanted = tensors if part is None else {name: tensor for name, tensor in tensors.items() if name in part}
    if new_head:
        wanted = _without_other_head(wanted, own)
    _check(wanted, network, named, part=frozenset(own) if part is None else part, new_head=new_head)
    _check_finite(wanted, named)
    network.load_state_dict({**own, **wanted})
    return Copied(
        copied=_named(wanted),
        skipped=_named({name: tensor for name, tensor in tensors.items() if name not in wanted}),
        new=_named({name: own[name] for name in counted(own) if name not in wanted}),
        left_out=found.left_out + strange,
    )


def _named(tensors: Mapping[str, Tensor]) -> tuple[Named, ...]:
    return tuple(Named(name, tuple(tensor.shape)) for name, tensor in tensors.items())


def _without_other_head(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out layers that differ in their outputs alone: heads for another number of classes."""
    kept = {}
    for name, tensor in tensors.items():
        mine = own.get(name)
        if mine is None or mine.shape == tensor.shape or mine.shape[1:] != tensor.shape[1:]:
            kept[name] = tensor
    return kept


def _check(
    tensors: Mapping[str, Tensor], network: nn.Module, named: str, *, part: frozenset[str], new_head: bool
) -> None:
    own, head = network.state_dict(), head_of(network)
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
    missing = [
        name for name in counted(own) if name in part and name not in tensors and not (new_head and name in head)
    ]
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
