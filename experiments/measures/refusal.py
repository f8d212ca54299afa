"""Why a network does not take an image: too small, too large, the wrong number of channels, or something else."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from experiments.measures.rules.call import tensors_in
from experiments.measures.trace import Trace


class Refusal(Enum):
    """What is wrong with the image."""

    TOO_SMALL = "too small"
    TOO_LARGE = "too large"
    CHANNELS = "the number of channels"
    VALUES = "it decides by values"
    OTHER = "other"


@dataclass(frozen=True)
class Refused:
    """A forward pass that ended early: `text` says in one line where and by what."""

    refusal: Refusal
    text: str
    cause: Exception


# How torch says that it needs the numbers of a tensor that has none.
_NUMBERS_MISSING = ("nonzero", "meta tensor", "meta device", "Meta tensors")
# Operators, and what is no operator, that read a tensor to decide something.
_READING = frozenset({"", "_local_scalar_dense", "equal", "index", "is_nonzero", "nonzero", "where"})
_WINDOWED = ("convolution", "pool", "reflection_pad", "replication_pad", "upsample")
_PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}


def refusal_of(error: Exception, trace: Trace) -> Refused:
    """Tell from the operator at which a forward pass ended what is wrong with its image."""
    where, op, args = trace.at
    shapes = [tuple(tensor.shape) for tensor in tensors_in(args)]
    first_line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    text = f"{where}: {first_line}" if where else first_line
    refusal = Refusal.OTHER
    if op == "_local_scalar_dense" or any(sign in first_line for sign in _NUMBERS_MISSING):
        refusal = Refusal.VALUES
        text = f"{where or 'the network'} decides by the values of a tensor what to do, not by its shape"
        if op not in _READING:
            text = f"{where or 'the network'} calls {op}, which needs the numbers in its tensors"
    elif op == "convolution" and (takes := _channels_taken(args)) != args[0].shape[1]:
        # Those of the image only if nothing has been computed yet.
        refusal = Refusal.OTHER if trace.macs else Refusal.CHANNELS
        text = f"{where or 'the network'} takes {takes} channels, not {args[0].shape[1]}"
    elif any(name in op for name in _WINDOWED):
        refusal = Refusal.TOO_SMALL
    elif op in _PRODUCTS:
        left, right = shapes[_PRODUCTS[op] :][:2]
        refusal = Refusal.TOO_SMALL if left[-1] < right[-2] else Refusal.TOO_LARGE
        text = f"{where or 'network'} takes {right[-2]} features, not {left[-1]}"
    return Refused(refusal, text, error)


def _channels_taken(args: Sequence[Any]) -> int:
    """Return how many channels a convolution takes, given its arguments."""
    weight, transposed, groups = args[1], args[6], args[8]
    return int(weight.shape[0] if transposed else weight.shape[1] * groups)
