"""Operators in which every unit of the output reads the unit at the same place of each tensor."""

import functools

import torch

from experiments.measures.rules.call import Call, rule, tensors_in
from experiments.measures.sight import LostError, Sight, axes_of, joined, plain, size_of

# Pointwise, but not tagged as such in torch.
_UNTAGGED = frozenset(
    {"hardswish", "log_sigmoid_forward", "native_dropout", "rrelu_with_noise", "_prelu_kernel", "mish"}
)


@functools.cache
def is_pointwise(op: str) -> bool:
    """Tell whether torch declares the operator `op`, in place or not, to work element by element."""
    packet = getattr(torch.ops.aten, op, None)
    if packet is None:
        return False
    overloads = [getattr(packet, name) for name in packet.overloads()]
    return op in _UNTAGGED or any(torch.Tag.pointwise in overload.tags for overload in overloads)


def pointwise(call: Call) -> Sight:
    """(…) and tensors that broadcast with it → (…)."""
    tensors = tensors_in((*call.args, *call.kwargs.values()))
    sights = [sight for tensor in tensors if (sight := call.sight(tensor)) is not None]
    together = joined(sights, call.title)
    if together.shape == call.shape:
        return together
    # A constant of more positions spreads it: along new dimensions, or along those of one position.
    dims = [()] * (len(call.shape) - len(together.dims)) + list(together.dims)
    for index, size in enumerate(call.shape):
        if size_of(dims[index]) != size:
            together = together.along(axes_of(dims[index : index + 1]), lambda reach: reach.at(0))
            dims[index] = plain(size)
    return together.with_dims(dims)


@rule("copy_")
def overwritten(call: Call) -> Sight:
    """Copy into the first argument what the second holds."""
    sight = call.sight(call.args[1])
    if sight is None or sight.shape != call.shape:
        raise LostError
    return sight


@rule("glu")
def gated(call: Call) -> Sight:
    """(…, 2k, …) → (…, k, …): one half of the channels times the sigmoid of the other."""
    dim = call.dim(call.arg(1, "dim", -1))
    dims = list(call.source.dims)
    if axes_of(dims[dim : dim + 1]):
        raise LostError("of the image's own dimensions")
    dims[dim] = plain(call.shape[dim])
    return call.source.in_other_channels().with_dims(dims)
