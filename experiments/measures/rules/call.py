"""One call of a tensor operator, as its rule gets to see it, and the table of the rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from experiments.measures.sight import LostError, Sight


@dataclass(frozen=True)
class Call:
    """An operator's name, its arguments, its first output's shape, and what its input tensors see.

    `where` is the name of the module that called it. `sights` holds what depends on the image, by `id` of the tensor:
    a tensor that is not in it (weights, constants) does not.
    """

    op: str
    where: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    shape: tuple[int, ...]
    sights: Mapping[int, Sight]

    def arg(self, position: int, name: str, default: Any = None) -> Any:  # noqa: ANN401 - any argument of any operator
        """Return an argument, wherever it was given."""
        return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)

    def sight(self, tensor: object) -> Sight | None:
        """Return what a tensor's units see; None where it does not depend on the image."""
        return self.sights.get(id(tensor))

    @property
    def source(self) -> Sight:
        """What the units of the first argument see.

        Raises:
            LostError: only other arguments depend on the image (weights that were computed from it).
        """
        sight = self.sight(self.args[0])
        if sight is None:
            raise LostError("of a constant with arguments that depend on the image")
        return sight

    @property
    def title(self) -> str:
        """Where in the network, and by what."""
        return f"{self.where or 'network'}: {kind_of(self.op)}"

    def reason(self, what: str) -> str:
        """Say where and by what something happened to the receptive field."""
        return f"{self.title} {what}"

    def dim(self, index: int) -> int:
        """Return a dimension's index counted from the front."""
        return index % max(len(self.source.dims), 1)

    def alone(self) -> None:
        """Check that no argument but the first depends on the image.

        Raises:
            LostError: one does.
        """
        if any(id(tensor) in self.sights for tensor in tensors_in((*self.args[1:], *self.kwargs.values()))):
            raise LostError("with arguments that depend on the image")


# What an operator is called where a person reads it, if not by its own name.
_KINDS = {
    "convolution": "conv",
    "addmm": "linear",
    "mm": "matmul",
    "mv": "matmul",
    "dot": "matmul",
    "bmm": "matmul",
    "baddbmm": "matmul",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "constant_pad_nd": "pad",
    "native_batch_norm": "batch_norm",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "_safe_softmax": "softmax",
}


def kind_of(op: str) -> str:
    """Return the name of an operator as a person would write it."""
    return _KINDS.get(op, op.strip("_"))


Rule = Callable[[Call], Sight | list[Sight]]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for the operators of these names."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def tensors_in(arguments: Sequence[Any]) -> list[torch.Tensor]:
    """Return the tensors among an operator's arguments, lists of tensors included."""
    tensors: list[torch.Tensor] = []
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            tensors.append(argument)
        elif isinstance(argument, list | tuple):
            tensors.extend(item for item in argument if isinstance(item, torch.Tensor))
    return tensors


def dims_of(value: int | Sequence[int] | None, rank: int) -> list[int]:
    """Return the dimensions that an argument `dim` names; all where it is missing or empty."""
    if value is None or (not isinstance(value, int) and len(value) == 0):
        return list(range(rank))
    return [index % max(rank, 1) for index in ([value] if isinstance(value, int) else value)]
