"""The effective receptive field, how much each pixel matters to one unit: `effective_field(network, images)`.

Luo, Li, Urtasun & Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NeurIPS
2016 (arXiv 1701.04128): of the theoretical receptive field, which says what can reach a unit at all, most hardly does.
Its measure here is the energy of the unit's gradient with respect to the pixels. Gradients themselves have a mean of
zero under random weights (section 2.2), their squares do not.
"""

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from experiments.measures.centre import MAP_RANK, CentreUnit, centre_unit
from experiments.measures.forward import trace_of
from experiments.measures.layers import Field, field_of
from experiments.measures.propagation import Known, Origin
from experiments.measures.sight import Sight
from experiments.measures.tap import tapped
from experiments.measures.trace import Trace

FloatArray = npt.NDArray[np.float64]

# What a normal distribution holds within two standard deviations of its mean: the paper's threshold (section 3.1).
SHARE = 0.9545

CLOSEST = 3  # of the many names, those that an error lists


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """The effective receptive field of the centre unit of a map, at one input size.

    Positions are in pixels, 0 the middle of the first one. What padding shows has no energy: where the theoretical
    receptive field is `clipped`, the sizes are those of what is left of it, and larger images show more.

    Attributes:
        energy: `(H, W)`, the share of every pixel in the squares of the unit's gradient, summed over the channels of
            the input and of the unit, over all images; they sum to 1.
        layer: the module that puts the map out; None for the last map of units.
        unit: the centre unit, with the middle and the window of its theoretical receptive field.
        theoretical: the theoretical receptive field of the map, as `measure` gives it.
    """

    energy: FloatArray
    layer: str | None
    unit: CentreUnit
    theoretical: Field

    @property
    def side(self) -> float:
        """Side, in pixels, of the smallest square around `unit.centre` that holds 95.45 % of the energy.

        It ends between pixels: the energy of a pixel is spread evenly over its area. "The" size of the effective
        receptive field; squares of this kind, of other shares, are what the script of Ding et al. measures, "Scaling Up
        Your Kernels to 31x31", CVPR 2022, of gradients that are not squared.
        """
        from scipy.optimize import brentq  # noqa: PLC0415 - half a second, for those who ask

        y, x = (_distances(size, at) for size, at in zip(self.energy.shape, self.unit.centre, strict=True))

        def missing(half: float) -> float:
            return SHARE - float(_covered(y, half) @ self.energy @ _covered(x, half))

        return 2 * float(brentq(missing, 0, max(y.max(), x.max()) + 0.5, xtol=1e-9))

    @property
    def standard_deviation(self) -> tuple[float, float]:
        """Standard deviation of the energy per axis (y, x), in pixels, around its own mean.

        For zero-mean random weights its square is expected to be the sum over layers of (k² − 1)/12 times the squared
        stride that the layer meets, as if all weights were the same (section 2).
        """
        return deviations(self.energy)

    @property
    def gradient(self) -> FloatArray:
        """`(H, W)`: root mean square of the unit's gradient, in units of its sum over all pixels."""
        root = np.sqrt(self.energy)
        gradient: FloatArray = root / root.sum()
        return gradient

    @property
    def luo_size(self) -> float:
        """Size as the paper measures it (section 3.1), in pixels, of the root mean square of the gradient.

        The root of the number of pixels whose gradient is more than 1 − 0.9545 of that at `unit.centre`, which is
        interpolated where it lies between pixels.
        """
        y, x = (
            np.maximum(1 - _distances(size, at), 0)
            for size, at in zip(self.energy.shape, self.unit.centre, strict=True)
        )
        gradient = self.gradient
        return sqrt(np.count_nonzero(gradient > (1 - SHARE) * float(y @ gradient @ x)))

    @property
    def ratio(self) -> float | None:
        """`side` per larger side of the theoretical receptive field: at most 1 unless that is centred elsewhere.

        Where the status of `theoretical` is whole image, per what the unit can see at this input size; None where the
        theoretical receptive field is not known.
        """
        sizes = [size for size in self.theoretical.size if size]
        return self.side / max(sizes) if sizes else None

    @property
    def clipped(self) -> bool | None:
        """Whether a part of the theoretical receptive field lies outside the input; None where it has no window."""
        if self.unit.window is None:
            return None
        return any(
            first < 0 or last >= size for (first, last), size in zip(self.unit.window, self.energy.shape, strict=True)
        )

    def totals(self) -> dict[str, float | None]:
        """Return the measures that are one number each; of the standard deviation the larger axis."""
        return {
            "effective_receptive_field": self.side,
            "effective_receptive_field_ratio": self.ratio,
            "effective_receptive_field_standard_deviation": max(self.standard_deviation),
            "effective_receptive_field_luo_size": self.luo_size,
        }


def effective_field(
    network: nn.Module, images: Tensor, *, layer: str | None = None, draws: int = 1, seed: int = 0
) -> EffectiveField:
    """Measure the effective receptive field of the centre unit of a map, in evaluation mode, on the network's device.

    The energy is the sum of the squared gradients of all channels of the unit. One backward pass gives it without bias
    but with noise: of the channels' sum with random signs, the square of whose gradient is expected to be that sum,
    as the mixed terms cancel (Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1990). The
    signs differ between images, and between `draws`. The network is left as it was found, and so is torch's random
    state.

    Args:
        network: takes images `(N, C, H, W)`; an image must not change what another one gives in evaluation mode.
        images: `(N, C, H, W)`, floating point, normalised as the network takes them.
        layer: the module whose output is the map, in its last call, as in `named_modules`; None for the last map of
            units, the output or what goes into global pooling or flattening.
        draws: backward passes; as many as channels, or more, give the sum of the channels without noise.
        seed: of the signs.

    Raises:
        ValueError: the network cannot take the images, has no such layer, or that puts out no map; a gradient is zero
            everywhere or not finite.
    """
    _check(network, images, draws)
    what = "the last map" if layer is None else f"layer={layer}"
    count, channels, height, width = images.shape
    trace = trace_of(network, (channels, height, width))
    known, sight, shape, at = _last_map(network, trace) if layer is None else _output_of(network, trace, layer)
    try:
        unit = centre_unit(sight, shape, (height, width))
    except ValueError as error:
        raise ValueError(f"{what} {error}") from error
    with _gradients(_example(network, images).device):
        pixels = _prepared(network, images)
        # A copy, for networks that begin with an operator in place.
        main = trace.main_output if at == "" else None
        maps = tapped(network, pixels.clone(), at, main.place if main else None)
        if maps is None:
            raise ValueError(f"{what}: no gradient leads from there to the images")
        if maps.shape != (count * shape[0], *shape[1:]):
            raise ValueError(f"{what}: does not have one map {tuple(shape[1:])} per image, but {tuple(maps.shape)}")
        energy = _energy(unit.values(maps, count), pixels, draws, seed)
    total = energy.sum()
    if not np.isfinite(total):
        raise ValueError(f"{what}: the gradient of its centre unit is not finite")
    if total == 0:
        raise ValueError(f"{what}: the gradient of its centre unit is zero at every pixel")
    return EffectiveField(energy / total, layer, unit, field_of(known))


def _check(network: nn.Module, images: Tensor, draws: int) -> None:
    if images.ndim != MAP_RANK or len(images) == 0 or not images.is_floating_point():
        what = f"{images.dtype} {tuple(images.shape)}"
        raise ValueError(f"images={what}: must be floating point, (N, C, H, W), N at least 1")
    if draws < 1:
        raise ValueError(f"draws={draws}: must be at least 1")
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        raise ValueError("the network is on the meta device: without weights it has no gradients")


_Place = tuple[Known, Sight | None, Sequence[int], Origin | str | None]


def _last_map(network: nn.Module, trace: Trace) -> _Place:
    """Return what is known of the last map of units, its own sight, its shape, and where it is met."""
    known = trace.last_map
    if known is None:
        raise ValueError("the output of the network does not depend on its input")
    if trace.ends_in_map:
        return _output_of(network, trace, "")
    if (source := trace.last_source) is None:
        reason = field_of(known).reason
        raise ValueError(f"the last map of units is not known ({reason}): name the layer whose output it is")
    sight, origin = source
    return known, sight, sight.shape, origin


def _output_of(network: nn.Module, trace: Trace, layer: str) -> _Place:
    """Return the same of the output of a module."""
    modules = dict(network.named_modules())
    if layer not in modules:
        close = difflib.get_close_matches(layer, modules, n=CLOSEST, cutoff=0)
        raise ValueError(f"layer={layer}: the network has no such module; the closest: {', '.join(close)}")
    kind = type(modules[layer]).__name__
    steps = [step for step in trace.steps if (step.name, step.kind) == (layer, kind)]
    if not steps:
        raise ValueError(f"layer={layer}: is not called in evaluation mode, or its output does not depend on the image")
    return steps[-1].known, steps[-1].known.sight, steps[-1].shape, layer


def _prepared(network: nn.Module, images: Tensor) -> Tensor:
    """Return the images as the network takes them, to be differentiated by."""
    example = _example(network, images)
    return images.detach().to(example.device, example.dtype).clone().requires_grad_()


def _example(network: nn.Module, images: Tensor) -> Tensor:
    """Return a tensor of the type that the network computes in, on its device."""
    return next((tensor for tensor in network.parameters() if tensor.is_floating_point()), images)


@contextlib.contextmanager
def _gradients(device: torch.device) -> Iterator[None]:
    """Compute gradients in full precision, whatever the surroundings; torch's random state is left as it was found."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        # Ends torch.no_grad(), too.
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.autocast(device.type, enabled=False))
        yield


def _energy(values: Tensor, pixels: Tensor, draws: int, seed: int) -> FloatArray:
    """Return the summed squares of the gradients of `values`, `(N, channels)`, towards `pixels`, as `(H, W)`."""
    count, channels = values.shape
    if draws < channels:
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randint(0, 2, (draws, count, channels), generator=generator) * 2 - 1
    else:
        weights = torch.eye(channels)[:, None].expand(-1, count, -1)
    energy = torch.zeros(pixels.shape[2:], dtype=torch.float64)
    for weight in weights.to(values):
        (gradient,) = torch.autograd.grad(values, pixels, weight, retain_graph=True)
        energy += gradient.detach().cpu().double().square().sum((0, 1))
    return energy.numpy()


def _distances(size: int, at: float) -> FloatArray:
    """Return how far the middle of every pixel of an axis is from a point."""
    distances: FloatArray = np.abs(np.arange(size) - at)
    return distances


def _covered(distances: FloatArray, half: float) -> FloatArray:
    """Return the part of every pixel within `half` of the point that their middles are `distances` away from."""
    inner, outer = np.maximum(distances - 0.5, -half), np.minimum(distances + 0.5, half)
    covered: FloatArray = np.maximum(outer - inner, 0)
    return covered


def deviations(density: FloatArray) -> tuple[float, float]:
    """Return the standard deviations of a density `(H, W)` along its axes (y, x)."""
    y, x = (_deviation(density.sum(axis)) for axis in (1, 0))
    return y, x


def _deviation(density: FloatArray) -> float:
    positions = np.arange(len(density))
    mean = np.average(positions, weights=density)
    return sqrt(float(np.average((positions - mean) ** 2, weights=density)))
