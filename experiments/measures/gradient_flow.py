"""How much of the loss's gradient arrives at each weighted layer, at initialisation and during training.

The quantity is the L2 norm of the gradient of the loss with respect to a layer's weights, biases and normalisation left
out: what plain gradient descent moves the layer by, up to the learning rate. Glorot & Bengio 2010, "Understanding the
difficulty of training deep feedforward neural networks", section 4, compare layers by it (figure 8) and warn that it
can be even while the gradient with respect to the activations is not; He et al. 2016, "Deep residual learning for image
recognition", section 4.1, report healthy norms in plain networks that are hard to train. Layers of unlike sizes are
compared by its ratio to the norm of the weights (You et al. 2017, "Large batch training of convolutional networks",
section 4).

In every number here, nan stands for a layer without a gradient (frozen, or without a part in the loss) and inf for a
gradient that is not finite (it holds an inf or a nan).
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_pre_hook

from experiments.measures.weightless import mode_set

Norms = npt.NDArray[np.float64]
_WRAPPED = "parametrizations."


@dataclass(frozen=True, eq=False)
class GradientFlowRecord:
    """The gradient norms of the layers of one network at some of its training steps.

    Attributes:
        layers: names of the weighted layers, from the input to the output.
        steps: optimizer steps that had been taken when the gradient was; 0 is at initialisation.
        norms: `(layers, steps)`, L2 norms of the loss's gradient with respect to the layers' weights.
        weight_norms: `(layers, steps)`, L2 norms of these weights.

    Raises:
        ValueError: the norms are not one per layer and step.
    """

    layers: tuple[str, ...]
    steps: tuple[int, ...]
    norms: Norms
    weight_norms: Norms

    def __post_init__(self) -> None:
        expected = (len(self.layers), len(self.steps))
        for name, norms in (("norms", self.norms), ("weight_norms", self.weight_norms)):
            if norms.shape != expected:
                raise ValueError(f"{name} of shape {norms.shape}: must be {expected}, one per layer and step")

    @property
    def relative(self) -> Norms:
        """Norms of the gradients divided by those of the weights; nan where the weights are all zero or not finite."""
        weights = np.where((self.weight_norms > 0) & np.isfinite(self.weight_norms), self.weight_norms, np.nan)
        ratio: Norms = self.norms / weights
        return ratio

    @property
    def first_to_last(self) -> Norms:
        """`(steps,)`, the norm in the layer next to the input per that in the layer next to the output.

        Far below 1 the gradient vanishes on its way back, far above it explodes; nan where either has none, or no
        finite one, or the last one is zero.
        """
        first, last = (np.where(np.isfinite(row), row, np.nan) for row in (self.norms[0], self.norms[-1]))
        ratio: Norms = first / np.where(last > 0, last, np.nan)
        return ratio

    @property
    def front_to_back(self) -> Norms:
        """`(steps,)`, the relative norm of the first third of the hidden layers per that of the last third.

        Hidden are all but the first layer, which takes the image, and the last, which puts out the answer: at the two
        ends of a deep network stand layers that are unlike all others. Those of a third are taken together, as one
        layer with all of their weights, so that one without a gradient, or with weights of zero, does not count. nan
        where fewer than two layers are hidden, or either third has no finite gradient, or the last one's is zero.
        """
        norms, weights = self.norms[1:-1], self.weight_norms[1:-1]
        if len(norms) < 2:  # noqa: PLR2004 - a first and a last one
            return np.full(len(self.steps), np.nan)
        third = max(1, round(len(norms) / 3))
        front, back = (_relative(norms[part], weights[part]) for part in (slice(third), slice(-third, None)))
        ratio: Norms = front / np.where(back > 0, back, np.nan)
        return ratio

    def totals(self) -> dict[str, float]:
        """Return the measures that are one number each, of the first and the last step; those not known are left out.

        `first_to_last` compares the layers at both ends, `front_to_back` the thirds of those between (see there), also
        by the median over all steps; the relative norms of the first layer say whether it learns at all.
        """
        if not self.steps:
            return {}
        front_to_back = self.front_to_back
        known = front_to_back[np.isfinite(front_to_back)]
        found = {
            f"{when}_{name}": float(values[column])
            for when, column in (("initial", 0), ("last", -1))
            for name, values in (
                ("first_to_last", self.first_to_last),
                ("front_to_back", front_to_back),
                ("first_layer_relative", self.relative[0]),
            )
        }
        found["median_front_to_back"] = float(np.median(known)) if len(known) else math.nan
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON takes it, a row per layer: null for nan, the string "inf" for inf."""
        return {
            "layers": list(self.layers),
            "steps": list(self.steps),
            "gradient_norms": _as_json(self.norms),
            "weight_norms": _as_json(self.weight_norms),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "GradientFlowRecord":
        """Return the record that `as_dict` made `content` of, to the bit.

        Raises:
            ValueError: it did not.
        """
        try:
            layers, steps = tuple(map(str, content["layers"])), tuple(map(int, content["steps"]))
            norms, weights = (_from_json(content[name], len(steps)) for name in ("gradient_norms", "weight_norms"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no record of a gradient flow: {type(error).__name__} {error}") from error
        return cls(layers, steps, norms, weights)


def weighted_layers(network: nn.Module, calls: Sequence[str] = ()) -> dict[str, tuple[nn.Parameter, ...]]:
    """Return the weights of each layer that has some, in forward order.

    Weights are the parameters called so with at least two dimensions: kernels and matrices, not the scales of
    normalisation. Those that two layers share belong to the one that is registered first.

    Args:
        network: any module; the names are those of `named_modules`, the empty one its own.
        calls: names of modules in the order in which they are called, such as those of `measure(...).layers`. A layer
            that is not among them follows the one that it is registered after; without any this is the order.

    Raises:
        ValueError: no layer has weights.
    """
    found: dict[str, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        # A weight that is computed from others (weight normalisation …) is registered below the layer that it is of.
        outer, wrapped, inner = name.rpartition(_WRAPPED)
        layer, _, own = (outer.removesuffix("."), "", inner) if wrapped else name.rpartition(".")
        if "weight" in own and parameter.ndim >= 2:  # noqa: PLR2004 - vectors are no weights of connections
            found.setdefault(layer, []).append(parameter)
    if not found:
        raise ValueError("the network has no weighted layer")
    first_call: dict[str, int] = {}
    for position, name in enumerate(calls):
        first_call.setdefault(name, position)
    place: dict[str, int] = {}
    before = -1
    for name in found:
        place[name] = before = first_call.get(name, before)
    return {name: tuple(found[name]) for name in sorted(found, key=place.__getitem__)}


def layer_norms(layers: Sequence[Sequence[Tensor | None]]) -> Norms:
    """Return the L2 norm of each layer's tensors taken together, after waiting for the device once.

    Sums are in float64 where the device has it: in float32 the squares of a gradient of 1e-23 vanish.
    """
    dense = [tensor.coalesce().values() if tensor.is_sparse else tensor for tensor in _present(layers)]
    if not dense:
        return np.full(len(layers), np.nan)
    device = dense[0].device
    precision = torch.float32 if device.type == "mps" else torch.float64
    norms = torch._foreach_norm(dense, 2, dtype=precision)  # noqa: SLF001 - what torch's own clipping calls
    values = iter(torch.stack([norm.to(device) for norm in norms]).tolist())
    joint = [[next(values) for tensor in tensors if tensor is not None] for tensors in layers]
    return np.array([_joint(norms_of_layer) for norms_of_layer in joint])


def gradient_norms(network: nn.Module, calls: Sequence[str] = ()) -> dict[str, float]:
    """Return the gradient norm of each weighted layer, as the last backward pass has left it in `.grad`.

    Layers and their order are those of `weighted_layers`.

    Raises:
        ValueError: no layer has weights.
    """
    layers = weighted_layers(network, calls)
    norms = layer_norms([[weight.grad for weight in weights] for weights in layers.values()])
    return dict(zip(layers, norms.tolist(), strict=True))


def initial_gradient_flow(
    network: nn.Module, images: Tensor, loss: Callable[[Any], Tensor], *, seed: int = 0
) -> GradientFlowRecord:
    """Return the gradient norms of one batch in training mode, as the only step, 0, of a record.

    The network is left as it was found: its weights, gradients, buffers (running statistics too) and mode. So is the
    state of the random generators.

    Args:
        network: any module.
        images: `(N, C, H, W)`, on the network's device.
        loss: maps the network's output in training mode to a scalar, e.g.
            `lambda logits: torch.nn.functional.cross_entropy(logits, labels)`.
        seed: of dropout and its like.

    Raises:
        ValueError: no layer has weights, or the loss does not depend on any.
    """
    leaves = {
        name: parameter.detach().requires_grad_(parameter.requires_grad)
        for name, parameter in network.named_parameters()
    }
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mode_set(network, training=True))
        stack.enter_context(_random_stream(images.device, seed))
        calls = stack.enter_context(_calls(network))
        stack.enter_context(torch.enable_grad())
        value = loss(functional_call(network, {**leaves, **buffers}, (images,)))
    layers = weighted_layers(network, calls)
    leaf_of = {id(parameter): leaves[name] for name, parameter in network.named_parameters()}
    weights = [[leaf_of[id(weight)] for weight in weights] for weights in layers.values()]
    trained = [weight for group in weights for weight in group if weight.requires_grad]
    if not trained or not value.requires_grad:
        raise ValueError("the loss does not depend on any weight that is trained")
    gradients = torch.autograd.grad(value, trained, allow_unused=True)
    gradient_of = {id(weight): gradient for weight, gradient in zip(trained, gradients, strict=True)}
    norms = layer_norms([[gradient_of.get(id(weight)) for weight in group] for group in weights])
    return GradientFlowRecord(tuple(layers), (0,), norms[:, None], layer_norms(weights)[:, None])


def _relative(norms: Norms, weight_norms: Norms) -> Norms:
    """Return `(steps,)`, the norm of the gradients of several layers together per that of their weights, or nan."""
    there = ~np.isnan(norms)
    together, weights = (np.hypot.reduce(np.where(there, rows, 0.0), axis=0) for rows in (norms, weight_norms))
    known = np.isfinite(together) & np.isfinite(weights) & (weights > 0)
    relative: Norms = np.where(known, together, np.nan) / np.where(known, weights, np.nan)
    return relative


def _present(layers: Sequence[Sequence[Tensor | None]]) -> list[Tensor]:
    return [tensor.detach() for tensors in layers for tensor in tensors if tensor is not None]


def _joint(norms: Sequence[float]) -> float:
    """Return the norm of what has these norms, with nan and inf as they are read here."""
    if not norms:
        return math.nan
    return math.hypot(*norms) if all(map(math.isfinite, norms)) else math.inf


@contextlib.contextmanager
def _random_stream(device: torch.device, seed: int) -> Iterator[None]:
    """Draw from a stream of `seed` on the CPU and on `device`, then go on as if nothing had been drawn."""
    if device.type == "cpu":
        with torch.random.fork_rng(devices=()):
            # torch.manual_seed would also set the generators of accelerators.
            torch.default_generator.manual_seed(seed)
            yield
    else:
        everywhere = range(torch.get_device_module(device).device_count())
        with torch.random.fork_rng(everywhere, device_type=device.type):
            torch.manual_seed(seed)
            yield


@contextlib.contextmanager
def _calls(network: nn.Module) -> Iterator[list[str]]:
    """Note the names of the modules in the order of their calls."""
    names = {id(module): name for name, module in network.named_modules()}
    calls: list[str] = []

    def note(module: nn.Module, _: tuple[Any, ...]) -> None:
        if (name := names.get(id(module))) is not None:
            calls.append(name)

    handle = register_module_forward_pre_hook(note)
    try:
        yield calls
    finally:
        handle.remove()


def _as_json(norms: Norms) -> list[list[float | str | None]]:
    def plain(norm: float) -> float | str | None:
        return None if math.isnan(norm) else "inf" if math.isinf(norm) else norm

    return [[plain(norm) for norm in row] for row in norms.tolist()]


def _from_json(rows: Sequence[Sequence[float | str | None]], steps: int) -> Norms:
    values = [[math.nan if value is None else float(value) for value in row] for row in rows]
    return np.array(values, dtype=np.float64).reshape(len(rows), steps)
