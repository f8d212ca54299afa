"""What can be known of a network before it is trained: `measure(network, (C, H, W))`.

Parameters, multiply-accumulates, activations, depth and the theoretical receptive field of every layer, for any
`torch.nn.Module` that takes one image, from one forward pass without data.
"""

import operator
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, SupportsIndex

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from experiments.measures.layers import Field, HasField, LayerMeasures, field_of, layer_measures
from experiments.measures.refusal import Refusal, Refused, refusal_of
from experiments.measures.saved import Saved, saved_for_backward
from experiments.measures.trace import Trace
from experiments.measures.weightless import image_of, usual_modes

LARGEST_SEARCHED = 1024
LARGEST_SIZE = 10**6  # of the image's sides and channels: one number is held for each
# Of sides that are refused for other reasons than their size: networks take multiples of a power of two.
MOST_REFUSED = 64


@dataclass(frozen=True)
class Parameters:
    """What can be known of any network, also of one that cannot run without numbers.

    Attributes:
        total: elements of all parameters, shared ones counted once.
        trainable: elements of those that take gradients.
        size: bytes of memory.
    """

    total: int
    trainable: int
    size: int


def count_parameters(network: nn.Module) -> Parameters:
    """Count the parameters of `network`, with or without numbers."""
    parameters = list(network.parameters())
    return Parameters(
        total=sum(parameter.numel() for parameter in parameters),
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        size=sum(parameter.numel() * parameter.element_size() for parameter in parameters),
    )


@dataclass(frozen=True)
class NetworkMeasures(HasField):
    """The measures of a network at one input size.

    Attributes:
        input_shape: `(C, H, W)` of one image; MACs and activations are those of one image of this size.
        parameters: elements of all parameters, shared ones counted once.
        trainable_parameters: elements of those that take gradients.
        weight_bytes: memory of the parameters.
        macs: multiply-accumulates of convolutions and matrix products of one image's forward pass, as
            `torch.utils.flop_counter` counts them (two operations each), and of products with vectors, bilinear forms
            and deformable convolution, which it leaves out; biases, normalisation, activation functions and pooling
            are not counted.
        activations: elements that these put out (Radosavovic et al., "Designing Network Design Spaces", 2020,
            section 4, who count convolutions alone).
        saved_elements: numbers that autograd keeps of one image until the backward pass; None where the network does
            not run in training mode without data.
        saved_bytes: the memory that they take: with the weights, their gradients and the optimizer's state, what
            training needs.
        saved_reason: why these are not known; None where they are.
        output: which of several tensors that the network puts out `depth` and `field` are those of: `out`, or the one
            behind the most weighted layers (see `outputs`); empty where there is one.
        depth: weighted layers on the longest chain from input to output.
        field: the receptive field of the last map of units: the output, or what goes into global pooling or flattening.
        layers: in the order of the calls.
        blocks: the modules that contain others, in the order in which their calls end; their parameters and MACs
            include those of the layers inside.
    """

    input_shape: tuple[int, int, int]
    parameters: int
    trainable_parameters: int
    weight_bytes: int
    macs: int
    activations: int
    saved_elements: int | None
    saved_bytes: int | None
    saved_reason: str | None
    output: str
    depth: int
    field: Field
    layers: tuple[LayerMeasures, ...]
    blocks: tuple[LayerMeasures, ...]

    def at(self, name: str) -> LayerMeasures:
        """Return the (last) call of the module `name`.

        Raises:
            KeyError: no module of that name is called in evaluation mode.
        """
        for part in (*reversed(self.blocks), *reversed(self.layers)):
            if part.name == name:
                return part
        raise KeyError(f"{name}: no such module is called in evaluation mode")

    def totals(self) -> dict[str, float | None]:
        """Return the measures that are one number each; of the receptive field the larger axis."""
        return {
            "parameters": self.parameters,
            "trainable_parameters": self.trainable_parameters,
            "weight_bytes": self.weight_bytes,
            "macs": self.macs,
            "activations": self.activations,
            "saved_elements": self.saved_elements,
            "saved_bytes": self.saved_bytes,
            "depth": self.depth,
            "receptive_field": _larger(self.field.size),
            "shortest_path": _larger(self.field.shortest_path),
            "stride": _larger(self.field.stride),
            "padding": _larger(self.field.padding),
            "visible_field": _larger(self.field.visible_size),
            "aligned": None if None in self.field.aligned else float(all(self.field.aligned)),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return all measures as JSON takes them; strides that are no whole numbers are strings such as `1/2`."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


class NumbersNeededError(ValueError):
    """A network cannot run without the numbers of an image: it decides by them what to do."""


def measure(network: nn.Module, input_shape: tuple[int, int, int], *, training: bool = False) -> NetworkMeasures:
    """Measure `network` for images `(C, H, W)`, without running it on numbers.

    The network is left as it is: its weights are not read; torch's random state, its mode and its attributes stay, also
    one in which its forward pass keeps a tensor. What is written to an object that an attribute refers to, such as a
    list, is not undone.

    Args:
        network: any network that takes one image.
        input_shape: `(C, H, W)` of the image, in pixels.
        training: in training mode instead of evaluation mode: auxiliary heads are there, batch norm sees the whole map.

    Raises:
        TypeError: `network` is no network, but for instance a class, or one that `DataParallel` spreads.
        NumbersNeededError: the network decides by the values of tensors what to do.
        ValueError: it cannot take that input, or is (in part) TorchScript.
    """
    shape = _checked(input_shape)
    trace = trace_of(network, shape, training=training)
    saved = _saved(network, shape)
    parameters = count_parameters(network)
    steps = [(step.layer, layer_measures(step)) for step in trace.steps]
    last_map = trace.last_map
    if last_map is None:
        raise ValueError("the output of the network does not depend on its input")
    return NetworkMeasures(
        input_shape=shape,
        parameters=parameters.total,
        trainable_parameters=parameters.trainable,
        weight_bytes=parameters.size,
        macs=trace.macs,
        activations=trace.activations,
        saved_elements=saved.elements if isinstance(saved, Saved) else None,
        saved_bytes=saved.size if isinstance(saved, Saved) else None,
        saved_reason=None if isinstance(saved, Saved) else saved,
        output=trace.main_output.name if trace.main_output else "",
        depth=trace.output.depth if trace.output else 0,
        field=field_of(last_map),
        layers=tuple(part for is_layer, part in steps if is_layer),
        blocks=tuple(part for is_layer, part in steps if not is_layer),
    )


def trace_of(network: nn.Module, input_shape: tuple[int, int, int], *, training: bool = False) -> Trace:
    """Return the forward pass of `network` over images `(C, H, W)`, without numbers.

    Raises:
        TypeError, NumbersNeededError, ValueError: as `measure`.
    """
    _check(network)
    shape = _checked(input_shape)
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
        trace = _traced(network, _checked((channels, side, side)))
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


def _checked(input_shape: Iterable[SupportsIndex]) -> tuple[int, int, int]:
    """Return a shape as plain numbers, those of NumPy included."""
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


def _saved(network: nn.Module, shape: tuple[int, int, int]) -> Saved | str:
    """Return what autograd keeps, or in a line why that is not known."""
    try:
        with usual_modes():
            return saved_for_backward(network, shape)
    except Exception as error:  # noqa: BLE001 - networks of users raise anything, and detectors want targets
        lines = (line.strip() for line in str(error).splitlines())
        return next(filter(None, lines), type(error).__name__)


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


def _larger(pair: tuple[Any, Any]) -> float | None:
    known = [float(value) for value in pair if value is not None]
    return max(known) if known else None


def _plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON takes
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
