"""Which tensors share memory, on the meta device too, and which of an operator's arguments it writes to."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from torch import Tensor

from experiments.measures.rules.call import tensors_in

# Steps to find out whether two parts of a tensor overlap; those that networks make take a few.
_MOST_WORK = 10_000


def memory_of(tensor: Tensor) -> int:
    """Return what tensors have in common that share memory; on the meta device, too, where no address says so."""
    key: int = tensor.untyped_storage()._cdata  # noqa: SLF001 - torch has no public name for it
    return key


def same_numbers(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are the same part of the same memory."""
    return memory_of(one) == memory_of(other) and same_layout(one, other)


def same_layout(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors that share memory are the same numbers in the same order."""
    layouts = [(tensor.shape, tensor.stride(), tensor.storage_offset()) for tensor in (one, other)]
    return layouts[0] == layouts[1]


def overlap(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors that share memory have numbers in common, or whether that is hard to tell."""
    low, high = sorted((one, other), key=Tensor.storage_offset)
    distance = int(high.storage_offset() - low.storage_offset()) * high.element_size()
    # Addresses to compare, which are never read.
    memory = as_strided(np.empty(1, np.int8), (distance + 1,), (1,))
    first, second = (
        as_strided(
            start,
            tuple(map(int, (*tensor.shape, tensor.element_size()))),
            [*(step * tensor.element_size() for step in tensor.stride()), 1],
        )
        for start, tensor in ((memory, low), (memory[distance:], high))
    )
    try:
        return np.shares_memory(first, second, _MOST_WORK)  # type: ignore[arg-type]  # the stub knows -1 and 0
    except np.exceptions.TooHardError:
        return True


def written_to(func: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """Return the arguments that an operator writes to, in the order in which it returns them.

    The running statistics of batch normalisation, which are written to and not returned, are left out.
    """
    return tensors_in([args[key] if isinstance(key, int) else kwargs.get(key) for key in _destinations(func)])


@functools.cache
def _destinations(func: torch._ops.OpOverload) -> tuple[int | str, ...]:
    """Return the positions, or the names, of the arguments that an operator writes to."""
    schema = func._schema  # noqa: SLF001 - torch has no public name for it
    if not schema.is_mutable or "batch_norm" in schema.name:
        return ()
    return tuple(
        argument.name if argument.kwarg_only else position
        for position, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
