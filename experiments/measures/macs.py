"""The multiply-accumulates of a network and nothing else: what is asked of many networks in a row."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from experiments.measures.forward import scripted, trace_of
from experiments.measures.multiplications import macs_of
from experiments.measures.weightless import ShapesOnly, image_of, mode_set, shadows, usual_modes


class _Counter(ShapesOnly):
    """Adds up the multiply-accumulates of all operators."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def met(self, func: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], out: object) -> None:
        """Count one operator."""
        self.total += macs_of(func, args, kwargs, out) or 0


def count_macs(network: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Return what `measure` gives as `macs`, in evaluation mode, in about a quarter of the time.

    Raises:
        ValueError: as `measure`.
    """
    if scripted(network) is not None:
        return trace_of(network, input_shape).macs
    counter = _Counter()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(mode_set(network, training=False))
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(torch.no_grad())
            stack.enter_context(usual_modes())
            stack.enter_context(counter)
            functional_call(network, shadows(network), (image_of(network, 1, input_shape),))
    except Exception:  # noqa: BLE001 - networks of users raise anything; the trace knows where, and says why
        return trace_of(network, input_shape).macs
    return counter.total
