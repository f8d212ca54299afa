"""Why a network does not take an image: too small, too large, the wrong number of channels, or something else."""

from dataclasses import dataclass
from enum import Enum

from experiments.measures.rules.call import tensors_in
from experiments.measures.trace import Trace


class Refusal(Enum):
    """What is wrong with the image."""

    TOO_SMALL = "too small"
    TOO_LARGE = "too large"
    CHANNELS = "channels"
    OTHER = "other"


@dataclass(frozen=True)
class Refused:
    """A forward pass that ended early: `text` says in one line where and by what."""

    refusal: Refusal
    text: str
    cause: Exception


_WINDOWED = ("convolution", "pool", "reflection_pad", "replication_pad", "upsample")
_PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}


def refusal_of(error: Exception, trace: Trace) -> Refused:
    """Tell from the operator at which a forward pass ended what is wrong with its image."""
    where, op, args = trace.at
    shapes = [tuple(tensor.shape) for tensor in tensors_in(args)]
    first_line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if op == "_local_scalar_dense" or "nonzero" in first_line:
        first_line = "it decides by the values of a tensor what to do, which are not known before it runs"
    text = f"{where or 'network'}: {first_line}"
    refusal = Refusal.OTHER
    if op == "convolution" and trace.macs == 0 and not args[6] and shapes[0][1] != shapes[1][1] * args[8]:
        refusal = Refusal.CHANNELS
        text = f"{where or 'network'} takes {shapes[1][1] * args[8]}"
    elif any(name in op for name in _WINDOWED):
        refusal = Refusal.TOO_SMALL
    elif op in _PRODUCTS:
        left, right = shapes[_PRODUCTS[op] :][:2]
        refusal = Refusal.TOO_SMALL if left[-1] < right[-2] else Refusal.TOO_LARGE
        text = f"{where or 'network'} takes {right[-2]} features, not {left[-1]}"
    return Refused(refusal, text, error)
