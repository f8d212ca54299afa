"""Weights from elsewhere: which file, which names, and what was copied."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from experiments.errors import UserError
from experiments.runs.configuration import nearest

_LOG = logging.getLogger(__name__)
# Where training scripts put the weights among the other things that they save.
_CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "network")
# Prefixes that wrappers put before every name.
_WRAPPERS = ("module.", "network.", "_orig_mod.")
_TORCHVISION = "torchvision:"


def load_weights(
    network: nn.Module,
    source: str,
    *,
    key_map: str | None,
    key: str | None = None,
    architecture: str | None = None,
    new_head: bool = False,
) -> None:
    """Copy weights into `network`.

    Args:
        network: gets the weights.
        source: a checkpoint file (of torch, of Lightning, of a run), or `torchvision:NAME` for published weights.
        key_map: `None` takes the names as they are, less the prefixes of wrappers; `auto` pairs the tensors by order
            and shape; else a YAML file `{pattern: replacement}` of regular expressions, applied in order.
        key: the key that `source` is the value of; errors name it.
        architecture: torchvision's name of the network, for `torchvision:NAME`.
        new_head: a last layer for another number of classes keeps its initial weights instead of being an error.

    Raises:
        UserError: no such file, not loadable without running code from it, tensors that do not fit, or that hold values
            which are not finite.
    """
    named = source if key is None else f"{key}={source}"
    tensors = (
        _torchvision(source, architecture, named) if source.startswith(_TORCHVISION) else _read(Path(source), named)
    )
    own = network.state_dict()
    tensors = _by_order(tensors, own, named) if key_map == "auto" else _renamed(tensors, own, key_map)
    if new_head:
        tensors = _without_other_head(tensors, own)
    _check(tensors, own, named, new_head=new_head)
    _check_finite(tensors, named)
    network.load_state_dict({**own, **tensors})
    _LOG.info("weights: copied %d of %d tensors from %s", len(tensors), len(own), source)


def _read(path: Path, named: str) -> dict[str, Tensor]:
    if not path.is_file():
        problem = "is a folder, not a checkpoint file" if path.is_dir() else "no such checkpoint file"
        raise UserError(f"{named}: {problem}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # What torch.load raises of a file that is none of its own is of any class, and long.
        raise UserError(
            f"{named}: not a checkpoint of torch, or one that holds more than tensors and plain values, which could "
            "run code; save the state dict alone"
        ) from error
    while isinstance(content, Mapping):
        inner = next((content[name] for name in _CONTAINERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    tensors = {str(name): value for name, value in content.items()} if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(f"{named}: holds no state dict; expected names with tensors, at the top or under {_CONTAINERS}")
    return tensors


def _torchvision(source: str, architecture: str | None, named: str) -> dict[str, Tensor]:
    from torchvision import models  # noqa: PLC0415 - two seconds that only this source needs

    name = source.removeprefix(_TORCHVISION)
    try:
        published = models.get_model_weights(str(architecture))
    except ValueError as error:
        raise UserError(f"{named}: torchvision publishes none for '{architecture}'") from error
    if name not in published.__members__:
        raise UserError(f"{named}: unknown; {nearest(name, published.__members__)}")
    try:
        return dict(published[name].get_state_dict(progress=True, check_hash=True))
    except OSError as error:
        raise UserError(f"{named}: cannot be fetched ({error}); give a file instead") from error


def _renamed(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], key_map: str | None) -> dict[str, Tensor]:
    rules = _rules(Path(key_map)) if key_map is not None else []
    renamed = {}
    for name, tensor in tensors.items():
        target = name
        for wrapper in _WRAPPERS:
            if target not in own:
                target = target.removeprefix(wrapper)
        for pattern, replacement in rules:
            target = pattern.sub(replacement, target)
        renamed[target] = tensor
    return {name: tensor for name, tensor in renamed.items() if not name.startswith("counts.")}


def _rules(path: Path) -> list[tuple[re.Pattern[str], str]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise UserError(f"key_map={path}: must hold a mapping {{pattern: replacement}}")
        return [(re.compile(str(pattern)), str(replacement or "")) for pattern, replacement in content.items()]
    except OSError as error:
        raise UserError(f"key_map={path}: no such file; allowed: null, auto, or a YAML file") from error
    except (yaml.YAMLError, re.error) as error:
        raise UserError(f"key_map={path}: not readable ({str(error).splitlines()[0]})") from error


def _by_order(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], named: str) -> dict[str, Tensor]:
    """Pair the tensors in the order in which both networks define them; counters of batch norm may be missing."""

    def counted(names: Mapping[str, Tensor]) -> list[str]:
        return [name for name in names if not name.endswith("num_batches_tracked")]

    theirs, ours = counted(tensors), counted(own)
    if len(theirs) != len(ours):
        raise UserError(
            f"{named}: has {len(theirs)} tensors, the network {len(ours)}; key_map=auto pairs them one by one"
        )
    for their, our in zip(theirs, ours, strict=True):
        if tensors[their].shape != own[our].shape:
            raise UserError(
                f"{named}: '{their}' {tuple(tensors[their].shape)} stands where the network has "
                f"'{our}' {tuple(own[our].shape)}; give a key_map file"
            )
    return {our: tensors[their] for their, our in zip(theirs, ours, strict=True)}


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


def _check(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], named: str, *, new_head: bool) -> None:
    stem = next(name for name, tensor in own.items() if tensor.dim() > 1)
    for name, tensor in tensors.items():
        if name not in own:
            raise UserError(f"{named}: '{name}' is not in the network; {_similar(name, own)}")
        if tensor.shape == own[name].shape:
            continue
        theirs, ours = tuple(tensor.shape), tuple(own[name].shape)
        if name == stem and theirs[0] == ours[0] and theirs[2:] == ours[2:]:
            raise UserError(
                f"{named}: was trained on pictures of {theirs[1]} channels, these have {ours[1]} ('{name}' {theirs})"
            )
        raise UserError(f"{named}: '{name}' is {theirs}, the network's is {ours}")
    optional = ("num_batches_tracked",)
    missing = [name for name in own if name not in tensors and not name.endswith(optional)]
    missing = [name for name in missing if not (new_head and _is_head(name, own))]
    if missing:
        raise UserError(
            f"{named}: lacks '{missing[0]}' ({len(missing)} tensors of the network are missing); see key_map"
        )


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


def _similar(name: str, own: Mapping[str, Tensor]) -> str:
    hint = nearest(name, own)
    if hint.startswith("did you mean"):
        return f"{hint.partition('?')[0]}? Or map names with key_map"
    return f"it begins '{next(iter(own))}'; map names with key_map"
