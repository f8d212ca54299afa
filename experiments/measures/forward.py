"""One forward pass of a network without data, and in one line why there is none."""

import operator
from collections.abc import Iterable
from typing import SupportsIndex

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from experiments.measures.parameters import count_parameters
from experiments.measures.refusal import Refusal, Refused, refusal_of
from experiments.measures.trace import Trace
from experiments.measures.weightless import image_of, usual_modes

LARGEST_SEARCHED = 1024
LARGEST_SIZE = 10**6  # of the image's sides and channels: one number is held for each
# Of sides that are refused for other reasons than their size: networks take multiples of a power of two.
MOST_REFUSED = 64


class NumbersNeededError(ValueError):
    """A network cannot run without the numbers of an image: it decides by them what to do."""


def trace_of(network: nn.Module, input_shape: tuple[int, int, int], *, training: bool = False) -> Trace:
    """Return the forward pass of `network` over images `(C, H, W)`, without numbers.

    Raises:
        TypeError: `network` is no network, but for instance a class, or one that `DataParallel` spreads.
        NumbersNeededError: the network decides by the values of tensors what to do.
        ValueError: it cannot take that input, or is (in part) TorchScript.
    """
    _check(network)
    shape = checked_shape(input_shape)
    if (script := scripted(network)) is not None:
        where = f"its module {script}" if script else "the network"
        raise ValueError(f"{where} is TorchScript, which runs out of sight: measure the module that it was made of")
    trace = _traced(network, shape, training=training)
    if isinstance(trace, Refused):
        kind = NumbersNeededError if trace.refusal is Refusal.VALUES else ValueError
        raise kind(_explained(network, shape, trace)) from trace.cause
    return trace


def scripted(network: nn.Module) -> str | None:
    """Return the name of the first module that is TorchScript, "" for the network itself; None where none is."""
    return next((name for name, part in network.named_modules() if isinstance(part, torch.jit.ScriptModule)), None)


def smallest_input(network: nn.Module, channels: int) -> int:
    """Return the side of the smallest square image that `network` takes, in pixels.

    Raises:
        ValueError: it takes no square image of that many channels up to 1024 pixels a side; or none of the first 64
            that are large enough.
    """

    def outcome(side: int) -> Refusal | None:
        trace = _traced(network, checked_shape((channels, side, side)))
        return trace.refusal if isinstance(trace, Refused) else None

    too_small = 0
    side = 1
    while side <= LARGEST_SEARCHED:
        refusal = outcome(side)
        if refusal in (Refusal.CHANNELS, Refusal.VALUES):
            raise ValueError(f"the network takes no image of {channels} channels, whatever its size ({refusal.value})")
        if refusal is not Refusal.TOO_SMALL:
            break
        too_small, side = side, side * 2
    # Between a side that is too small and one that is not: the first that is not, which may be refused for another
    # reason (sides that do not fit together); then the first that is taken.
    low, high = too_small + 1, side
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if outcome(middle) is Refusal.TOO_SMALL else (low, middle)
    largest = min(low + MOST_REFUSED - 1, LARGEST_SEARCHED)
    for candidate in range(low, largest + 1):
        refusal = outcome(candidate)
        if refusal is None:
            return candidate
        if refusal is Refusal.TOO_LARGE:
            break
    raise ValueError(f"the network takes no square image of {channels} channels up to {largest} pixels a side")


def checked_shape(input_shape: Iterable[SupportsIndex]) -> tuple[int, int, int]:
    """Return a shape as plain numbers, those of NumPy included.

    Raises:
        ValueError: it is not (C, H, W), or has sides that no image has.
    """
    try:
        given = [-1 if isinstance(size, bool) else operator.index(size) for size in input_shape]
    except TypeError:
        given = []
    match given:
        case [channels, height, width] if all(1 <= size <= LARGEST_SIZE for size in given):
            return channels, height, width
    raise ValueError(
        f"input_shape={input_shape}: must be (C, H, W), three whole numbers from 1 to {LARGEST_SIZE:,}, "
        "e.g. (3, 224, 224)"
    )


def _check(network: object) -> None:
    """Refuse what is no network of known shapes.

    Raises:
        TypeError: it is no module, or one that only distributes another.
        ValueError: it has parameters whose shapes follow from the first batch.
    """
    if not isinstance(network, nn.Module):
        given = f"the class {network.__name__}" if isinstance(network, type) else f"a {type(network).__name__}"
        raise TypeError(f"network: must be a torch.nn.Module, not {given}")
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise TypeError(f"network: {type(network).__name__} spreads a network over devices; measure its .module")
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(tensor):
            raise ValueError(f"{name}: has no shape before the first batch; call the network once, then measure it")


def _traced(network: nn.Module, shape: tuple[int, int, int], *, training: bool = False) -> Trace | Refused:
    """Run the network forward without data; whatever it raises is a refusal of the input."""
    # Batch norm in training mode refuses one image whose map is one pixel.
    trace = Trace(network, image_of(network, 2 if training else 1, shape), training=training)
    try:
        with usual_modes():
            trace.run()
    except Exception as error:  # noqa: BLE001 - networks of users raise anything
        return refusal_of(error, trace)
    return trace


def _explained(network: nn.Module, shape: tuple[int, int, int], refused: Refused) -> str:
    """Say in one line why the network does not take an image."""
    channels, height, width = shape
    if refused.refusal is Refusal.TOO_SMALL:
        try:
            least = smallest_input(network, channels)
        except ValueError:
            return f"input {height}x{width} is too small for this network ({refused.text})"
        return f"input {height}x{width} is too small for this network: the smallest square image is {least}x{least}"
    no_memory = isinstance(refused.cause, MemoryError)
    if no_memory or refused.refusal is Refusal.TOO_LARGE:
        what = "the memory of this machine" if no_memory else "this network"
        return f"input {height}x{width} is too large for {what} ({refused.text})"
    if refused.refusal is Refusal.CHANNELS:
        return f"the network does not take images of {channels} channels ({refused.text})"
    if refused.refusal is Refusal.VALUES:
        known = count_parameters(network).total
        return f"of its {known:,} parameters nothing more can be known without numbers: {refused.text}"
    return f"the network does not take an input of {channels}x{height}x{width}: {refused.text}"
