"""Names of a checkpoint's tensors brought to the names of a network's."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import yaml
from torch import Tensor, nn

from experiments.errors import UserError
from experiments.runs.architecture_hints import hint

Rules = Sequence[tuple[re.Pattern[str], str]]

# Names that wrappers (DataParallel, torch.compile) put anywhere into the path of a module.
_WRAPPERS = ("module", "_orig_mod")
# Attributes that training scripts hold the network by.
_HOLDERS = ("network", "model", "net")
_LOSSES = ("criterion", "loss", "loss_fn")
# What the profiler thop leaves in the modules that it counted.
_PROFILED = ("total_ops", "total_params")
_ROLES = ("weight", "bias", "running_mean", "running_var")
_COUNTER = "num_batches_tracked"
_MISSING = object()
_ANOTHER = "another architecture, or another order: if only that, give a key_map file"
_ALPHABETICAL = "in alphabetical order, as in safetensors, nothing pairs: give a key_map file"


def counted(names: Iterable[str]) -> list[str]:
    """Return `names` without batch norm's counters, which old checkpoints lack and no output depends on."""
    return [name for name in names if not name.endswith(_COUNTER)]


def without_strangers(tensors: Mapping[str, Tensor], network: nn.Module) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Part `tensors` from those that cannot be the network's; return both, of the second the names.

    These are the counts of a profiler, the weights of a loss function, and heads that the network could have but was
    built without (its attribute is `None`: GoogLeNet's `aux1`, `aux2`).
    """
    own = network.state_dict()
    strange = tuple(name for name in tensors if _strange(_unwrapped(name, own, _HOLDERS), network))
    return {name: tensor for name, tensor in tensors.items() if name not in strange}, strange


def _strange(name: str, network: nn.Module) -> bool:
    first, last = name.partition(".")[0], name.rpartition(".")[2]
    member = getattr(network, first, _MISSING)
    return last in _PROFILED or member is None or (first in _LOSSES and member is _MISSING)


def read_rules(path: Path) -> Rules:
    """Read a map of names: a YAML file `{pattern: replacement}` of regular expressions.

    Raises:
        UserError: no such file, or something else in it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise UserError(f"key_map={path}: must hold a mapping {{pattern: replacement}}")
        return [(re.compile(str(pattern)), str(replacement or "")) for pattern, replacement in content.items()]
    except OSError as error:
        raise UserError(f"key_map={path}: no such file; allowed: null, auto, or a YAML file") from error
    except (yaml.YAMLError, re.error) as error:
        raise UserError(f"key_map={path}: not readable ({str(error).splitlines()[0]})") from error


def renamed(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], rules: Rules, named: str) -> dict[str, Tensor]:
    """Return `tensors` by names without the prefixes of wrappers, after `rules` in their order.

    Raises:
        UserError: two tensors get one name.
    """
    by_name: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        target = _unwrapped(name, own, ("network",))
        for pattern, replacement in rules:
            target = pattern.sub(replacement, target)
        target = _unwrapped(target, own, _HOLDERS)
        if target in by_name:
            raise UserError(f"{named}: '{name}' and another tensor both become '{target}'; mend key_map")
        by_name[target] = tensor
    return by_name


def _unwrapped(name: str, own: Mapping[str, Tensor], holders: Sequence[str]) -> str:
    if name in own:
        return name
    path = [part for part in name.split(".") if part not in _WRAPPERS]
    while len(path) > 1 and path[0] in holders and ".".join(path) not in own:
        del path[0]
    return ".".join(path)


def paired(
    tensors: Mapping[str, Tensor], network: nn.Module, named: str, *, other_head: frozenset[str] = frozenset()
) -> dict[str, Tensor]:
    """Bring `tensors` to the network's names: by name where all names agree, else by the order of definition.

    Two tensors of one place must have one shape, and their names must not contradict: a bias is no weight, and a name
    that the network has elsewhere says that the order is another (a pre-activation network has the tensors of its
    twin, but computes something else). Numbers in names may be shifted, as those of a `Sequential` with other layers
    between, while they count up.

    Args:
        tensors: of the checkpoint.
        network: whose names are wanted.
        named: what an error calls the checkpoint.
        other_head: names of the network whose first dimension, the classes, may differ.

    Raises:
        UserError: they do not pair; the first tensor that differs is named.
    """
    own = network.state_dict()
    alike = renamed(tensors, own, (), named)
    theirs, ours = counted(alike), counted(own)
    if set(theirs) == set(ours):
        return alike
    shapes, own_shapes = ({name: tuple(by_name[name].shape) for name in counted(by_name)} for by_name in (alike, own))
    counts_up = _counts_up(theirs)
    for their, our in zip_longest(theirs, ours):
        if their is None or our is None or not _same(shapes[their], own_shapes[our], head=our in other_head):
            why = hint(network, shapes, their, our) or _ANOTHER
        elif _contradict(their, our, own, counts_up=counts_up):
            why = _ALPHABETICAL if theirs == sorted(theirs) else _ANOTHER
        else:
            continue
        there = f"'{their}' {shapes[their]}" if their else "nothing"
        here = f"'{our}' {own_shapes[our]}" if our else "nothing"
        counts = f"({len(theirs)} tensors there, {len(ours)} here)"
        raise UserError(f"{named}: {there} stands where the network has {here} {counts}; {why}")
    return {our: alike[their] for their, our in zip(theirs, ours, strict=True)}


def _same(there: tuple[int, ...], here: tuple[int, ...], *, head: bool) -> bool:
    return there == here or (head and there[1:] == here[1:])


def _contradict(their: str, our: str, own: Mapping[str, Tensor], *, counts_up: bool) -> bool:
    """Whether names tell that two tensors of one shape are not the same."""
    role, own_role = their.rpartition(".")[2], our.rpartition(".")[2]
    if role != own_role and role in _ROLES and own_role in _ROLES:
        return True
    if their == our or their not in own:
        return False
    return _skeleton(their) != _skeleton(our) or not counts_up


def _skeleton(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _counts_up(names: Sequence[str]) -> bool:
    """Whether names that differ in their numbers alone come in the order of these numbers."""
    last: dict[str, list[int]] = {}
    for name in names:
        numbers = [int(digits) for digits in re.findall(r"\d+", name)]
        if last.get(_skeleton(name), [-1]) > numbers:
            return False
        last[_skeleton(name)] = numbers
    return True
