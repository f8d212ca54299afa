"""How much the kernels of each convolution look like edges: their orientation selectivity, with its chance level.

The number is the coherence of a kernel's structure tensor J = Σ ∇w ∇wᵀ, summed over the kernel and its input channels:
(λ₁ − λ₂) / (λ₁ + λ₂), from 0 (no direction is preferred: blobs, centre-surround) to 1 (all gradients are parallel:
edges, lines, gratings). Bigün & Granlund 1987, "Optimal orientation detection of linear symmetry"; Jähne 2005, "Digital
image processing", section 13.3.

The gradient ∇w is taken in the middle of every four neighbouring weights, half of the sum of the two differences along
each axis. It stays within the kernel, so that the kernel's rim is no edge, and it is parallel everywhere in a sampled
grating of any direction, wave length and phase, whose coherence is therefore exactly 1. A kernel is seen in the maps
that it reads: for the first layer in the image, for later ones in the features before.

A small kernel has a direction by chance: the coherence of random 3x3 kernels of one channel is 0.57 on average, of 7x7
ones 0.22. The chance level of a layer is that of its own kernels with their positions shuffled, in all input channels
alike; layers, and runs by their first one, are compared by `adjusted`: (coherence - chance) / (1 - chance).
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from experiments.measures.network import NetworkMeasures

SHUFFLES = 32
AT_ONCE = 65_536  # weights
ROUNDING = 1e-9


@dataclass(frozen=True)
class LayerSelectivity:
    """The orientation selectivity of the kernels of one layer.

    Attributes:
        name: of the module.
        depth: weighted layers on the longest chain from the input to here, this one included.
        kernel_size: `(kH, kW)`.
        units: kernels, one per output channel, that the numbers are the means of; those without any gradient, such as
            constant ones and checkerboards, have no coherence and are left out.
        coherence: mean over the units, from 0 to 1; nan where there is none.
        chance: the same of shuffled kernels, on average.
        chance_deviation: standard deviation of that mean from one shuffling to the next.
    """

    name: str
    depth: int
    kernel_size: tuple[int, int]
    units: int
    coherence: float
    chance: float
    chance_deviation: float

    @property
    def adjusted(self) -> float:
        """Coherence with chance at 0 and the largest at 1: (coherence - chance) / (1 - chance).

        It is nan where every kernel has coherence 1, as those of 2x2 weights of one channel have.
        """
        room = 1 - self.chance
        return (self.coherence - self.chance) / room if room > ROUNDING else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON takes them; null for nan."""
        numbers = {**asdict(self), "kernel_size": list(self.kernel_size), "adjusted": self.adjusted}
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value for key, value in numbers.items()
        }


def filter_selectivity(network: nn.Module, measures: NetworkMeasures, *, seed: int = 0) -> list[LayerSelectivity]:
    """Return the orientation selectivity of the layers that convolve maps, in the order of the calls.

    Kernels with less than two weights along an axis have no direction to prefer: their layers are left out. A kernel's
    distances are those of its own grid, whatever its dilation.

    Args:
        network: any module; its weights are read.
        measures: of the same network, for the order and the depth of its layers.
        seed: of the shuffling.

    Raises:
        ValueError: the weights are on the meta device, which holds no numbers.
    """
    selectivity = []
    for name, depth, module in _convolutions(network, measures):
        kernels = kernels_of(module)
        if min(kernels.shape[-2:]) > 1:
            selectivity.append(_selectivity(name, depth, kernels, seed))
    return selectivity


def first_filters(network: nn.Module, measures: NetworkMeasures) -> Tensor | None:
    """Return the kernels `(O, I, kH, kW)` of the convolution that is called first; None where there is none.

    Raises:
        ValueError: the weights are on the meta device, which holds no numbers.
    """
    first = next(_convolutions(network, measures), None)
    return None if first is None else kernels_of(first[2])


def kernels_of(module: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """Return the weights `(O, I, kH, kW)`, I the input channels that one output channel reads, float64 on the CPU.

    Raises:
        ValueError: the weights are on the meta device, which holds no numbers.
    """
    weight = module.weight.detach()
    if weight.is_meta:
        raise ValueError("the weights are on the meta device, which holds no numbers")
    weight = weight.to("cpu", torch.float64)
    if isinstance(module, nn.ConvTranspose2d):
        read, made = weight.shape[:2]
        grouped = weight.view(module.groups, read // module.groups, made, *weight.shape[2:])
        weight = grouped.transpose(1, 2).flatten(0, 1)
    return weight


def coherence(kernels: Tensor) -> Tensor:
    """Return the coherence `(…)` of each of the kernels `(…, I, kH, kW)`; nan for those without any gradient."""
    along_y, along_x = kernels.diff(dim=-2), kernels.diff(dim=-1)
    y, x = along_y[..., 1:] + along_y[..., :-1], along_x[..., 1:, :] + along_x[..., :-1, :]
    yy, xx, xy = ((first * second).sum((-3, -2, -1)) for first, second in ((y, y), (x, x), (x, y)))
    # The largest sums that rounding alone can leave of a constant kernel.
    rounding = torch.finfo(kernels.dtype).eps ** 2 * (kernels**2).sum((-3, -2, -1)) * 64
    return torch.where(xx + yy > rounding, torch.hypot(xx - yy, 2 * xy) / (xx + yy), torch.nan)


def _convolutions(
    network: nn.Module, measures: NetworkMeasures
) -> Iterator[tuple[str, int, nn.Conv2d | nn.ConvTranspose2d]]:
    """Return name, depth and module of each convolution of maps that is called, in the order of the first calls."""
    modules = dict(network.named_modules())
    seen: set[str] = set()
    for layer in measures.layers:
        module = modules.get(layer.name)
        # With a weight that is computed (weight normalisation …), a convolution makes several steps; one multiplies.
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and layer.macs and layer.name not in seen:
            seen.add(layer.name)
            yield layer.name, layer.depth, module


def _selectivity(name: str, depth: int, kernels: Tensor, seed: int) -> LayerSelectivity:
    own = coherence(kernels)
    generator = torch.Generator().manual_seed(seed)
    chance = _shuffled_coherence(_slim(kernels), generator)
    height, width = kernels.shape[-2:]
    return LayerSelectivity(
        name=name,
        depth=depth,
        kernel_size=(height, width),
        units=int((~own.isnan()).sum()),
        coherence=float(own.nanmean()),
        chance=float(chance.mean()),
        chance_deviation=float(chance.std()),
    )


def _shuffled_coherence(kernels: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mean coherence `(SHUFFLES,)` of the kernels, shuffled each time anew."""
    # Of small kernels a call costs more than its numbers do; large ones would not fit in the processor's cache.
    at_once = max(1, min(SHUFFLES, AT_ONCE // kernels.numel()))
    times = [min(at_once, SHUFFLES - begun) for begun in range(0, SHUFFLES, at_once)]
    return torch.stack([each.nanmean() for some in times for each in coherence(_shuffled(kernels, some, generator))])


def _slim(kernels: Tensor) -> Tensor:
    """Return kernels with fewer input channels and the same structure tensors, however their positions are shuffled.

    Structure tensors are made of the inner products, over the input channels, of the weights at two positions; the
    triangular factor of all weights of a kernel has the same ones in as many rows as there are positions.
    """
    channels, height, width = kernels.shape[1:]
    if channels <= height * width:
        return kernels
    factor: Tensor = torch.linalg.qr(kernels.flatten(2), mode="r").R
    return factor.view(len(kernels), -1, height, width)


def _shuffled(kernels: Tensor, times: int, generator: torch.Generator) -> Tensor:
    """Return `(times, O, I, kH, kW)`: the positions of each kernel shuffled, in all of its input channels alike."""
    flat = kernels.flatten(2).expand(times, -1, -1, -1)
    order = torch.rand(times, len(kernels), flat.shape[3], generator=generator).argsort(dim=2)
    return flat.gather(3, order[:, :, None].expand_as(flat)).view(times, *kernels.shape)
