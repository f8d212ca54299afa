"""What can be known of a network before it is trained: `measure(network, (C, H, W))`.

Parameters, multiply-accumulates, activations, depth and the theoretical receptive field of every layer, for any
`torch.nn.Module` that takes one image, from one forward pass without data.
"""

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from torch import nn

from experiments.measures.forward import checked_shape, trace_of
from experiments.measures.layers import Field, HasField, LayerMeasures, field_of, layer_measures
from experiments.measures.parameters import count_parameters
from experiments.measures.saved import Saved, saved_for_backward
from experiments.measures.weightless import usual_modes


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
    shape = checked_shape(input_shape)
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


def _saved(network: nn.Module, shape: tuple[int, int, int]) -> Saved | str:
    """Return what autograd keeps, or in a line why that is not known."""
    try:
        with usual_modes():
            return saved_for_backward(network, shape)
    except Exception as error:  # noqa: BLE001 - networks of users raise anything, and detectors want targets
        lines = (line.strip() for line in str(error).splitlines())
        return next(filter(None, lines), type(error).__name__)


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
