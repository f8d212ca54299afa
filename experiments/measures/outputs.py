"""The tensors that a network puts out, and the one of them that its depth and its receptive field are those of.

Of several outputs it is the one named `out`, as torchvision's segmentation networks name theirs beside auxiliary ones;
without one the output behind the most weighted layers, of several such the first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass

from torch import Tensor

MAIN = "out"


@dataclass(frozen=True)
class Output:
    """One of the tensors of an output.

    Attributes:
        name: its key, its field or its place, after those of what it lies in, with points between; empty for the only
            one.
        place: its place among all tensors of the output.
    """

    name: str
    place: int


def tensors_of(value: object) -> list[Tensor]:
    """Return the tensors of an output, in order, whatever it is made of."""
    return [tensor for _, tensor in _named(value, "")]


def main_output(value: object, depth: Callable[[Tensor], int | None]) -> Output | None:
    """Return which tensor of an output counts, given how deep each is; None where none counts."""
    named = [(name, place, depth(tensor)) for place, (name, tensor) in enumerate(_named(value, ""))]
    known = [(name, place, layers) for name, place, layers in named if layers is not None]
    if not known:
        return None
    chosen = next((item for item in known if item[0] == MAIN), None) or max(known, key=lambda item: item[2])
    return Output(chosen[0] if len(known) > 1 else "", chosen[1])


def _named(value: object, name: str) -> Sequence[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(name, value)]
    if isinstance(value, Mapping):
        parts = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        names = getattr(value, "_fields", None) or map(str, range(len(value)))
        parts = list(zip(names, value, strict=True))
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [(field.name, getattr(value, field.name)) for field in fields(value)]
    else:
        return []
    return [found for key, item in parts for found in _named(item, f"{name}.{key}" if name else key)]
