"""How far a network is from one affine map, and the rank of that map: `linearity(network, images)`.

Around an image x a network f is its Jacobian J(x), the matrix of the derivatives of its outputs with respect to its
pixels. What follows of it exactly:

- An affine network f(x) = A x + b has J(x) = A at every image: `jacobian_variation` and `affine_residual` are 0, but
  for rounding, and all ranks are that of A. Convolutions, average pools, batch norm in evaluation mode and their
  compositions are affine.
- A deep linear network is the product of its layers' matrices, whatever its depth: its rank is at most the number of
  outputs and the number of units of its narrowest layer (Saxe, McClelland & Ganguli 2014, "Exact solutions to the
  nonlinear dynamics of learning in deep linear neural networks"). Over many images the rank stays what it is at one.
- A network that is not affine has other Jacobians at other images, so that together they have a higher rank than one.
  The reverse does not hold: a network of rectifiers is affine wherever the same ones are on, and images within one such
  region show nothing else. `affine_residual` then is 0, too.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import nan, sqrt

import torch
from torch import Tensor, nn
from torch.func import functional_call

from experiments.measures.outputs import tensors_of
from experiments.measures.weightless import mode_set

# Of the largest singular value: smaller ones do not count for the rank.
TOLERANCE = 1e-3
FEWEST = 2  # images: one has nothing to differ from
MOST_ELEMENTS = 1 << 27  # of all Jacobians: a gibibyte in double precision


@dataclass(frozen=True)
class Linearity:
    """The Jacobians of a network at some images, compared.

    Attributes:
        images: how many.
        outputs: numbers that the network puts out for each.
        jacobian_variation: root of the mean of ||J(x) - M||² per the mean of ||J(x)||², M being the mean Jacobian, of
            all matrices the nearest to these, and || || the Frobenius norm. 0 where all are the same, at most 1; of N
            that have nothing in common √(1 - 1/N).
        affine_residual: root of the mean of ||f(x) - f̄ - M (x - x̄)||² per the mean of ||f(x) - f̄||², f̄ and x̄ being
            means over the images: how much of what the network makes of their differences the affine map does not say.
            0 where it says all; it can exceed 1. nan where the outputs are the same at every image.
        ranks: of each image's Jacobian, the number of singular values above `TOLERANCE` times its largest.
        joint_rank: the same of all of them, one below the other: to changes of the images in how many dimensions the
            outputs react, at one image or another.
    """

    images: int
    outputs: int
    jacobian_variation: float
    affine_residual: float
    ranks: tuple[int, ...]
    joint_rank: int

    def totals(self) -> dict[str, float]:
        """Return the measures that are one number each; of the ranks of single images the mean."""
        return {
            "jacobian_variation": self.jacobian_variation,
            "affine_residual": self.affine_residual,
            "jacobian_rank": sum(self.ranks) / len(self.ranks),
            "joint_jacobian_rank": float(self.joint_rank),
        }


def linearity(network: nn.Module, images: Tensor) -> Linearity:
    """Compare the Jacobians of `network` at some images, in evaluation mode, on its device, in double precision.

    One backward pass for each output gives a row of every image's Jacobian. The network is left as it was found.

    Args:
        network: takes images `(N, C, H, W)` and puts out one tensor `(N, …)`, of several the first; an image must not
            change what another one gives in evaluation mode.
        images: `(N, C, H, W)`, or whatever else it takes, floating point, N at least 2; normalised as it takes them.

    Raises:
        ValueError: too few images, too many numbers, outputs that do not depend on the images, or a Jacobian that is
            not finite, or zero at every image.
    """
    if len(images) < FEWEST or not images.is_floating_point():
        raise ValueError(f"images={images.dtype} {tuple(images.shape)}: must be floating point and {FEWEST} at least")
    values, pixels, rows = _jacobians(network, images)
    jacobians = torch.stack(rows, dim=1)
    total = jacobians.square().sum()
    if not torch.isfinite(total):
        raise ValueError("the Jacobian of the network is not finite")
    if total == 0:
        raise ValueError("the Jacobian of the network is zero at every image")
    mean = jacobians.mean(dim=0)
    moved = values - values.mean(dim=0)
    unexplained = moved - (pixels - pixels.mean(dim=0)) @ mean.T
    spread = float(moved.square().sum())
    return Linearity(
        images=len(images),
        outputs=values.shape[1],
        jacobian_variation=sqrt(float((jacobians - mean).square().sum() / total)),
        affine_residual=sqrt(float(unexplained.square().sum()) / spread) if spread else nan,
        ranks=tuple(map(_rank, jacobians)),
        joint_rank=_rank(jacobians.flatten(0, 1)),
    )


def _rank(matrix: Tensor) -> int:
    values = torch.linalg.svdvals(matrix)
    return int((values > TOLERANCE * values[0]).sum())


def _jacobians(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return outputs `(N, K)`, pixels `(N, D)`, and for each output its derivatives `(N, D)`."""
    tensors = dict((*network.named_parameters(), *network.named_buffers()))
    device = next(iter(tensors.values()), images).device
    # Apple's processors have no double precision.
    precision = torch.float32 if device.type == "mps" else torch.float64
    copies = {
        name: tensor.detach().to(precision if tensor.is_floating_point() else tensor.dtype, copy=True)
        for name, tensor in tensors.items()
    }
    with _gradients(network, device):
        pixels = images.detach().to(device, precision, copy=True).requires_grad_()
        # A copy, for networks that begin with an operator in place.
        output = next(iter(tensors_of(functional_call(network, copies, (pixels.clone(),)))), None)
        if output is None or len(output) != len(images) or not output.requires_grad:
            raise ValueError("the network puts out nothing for each image that depends on it")
        values = output.flatten(1)
        if (count := values.shape[1] * pixels.numel()) > MOST_ELEMENTS:
            shape = "x".join(map(str, (len(images), values.shape[1], pixels[0].numel())))
            raise ValueError(f"Jacobians of {shape} = {count:,} numbers are too many: take fewer or smaller images")
        rows = []
        for each in values.unbind(dim=1):
            (gradient,) = torch.autograd.grad(each.sum(), pixels, retain_graph=True)
            rows.append(gradient.detach().flatten(1))
    return values.detach(), pixels.detach().flatten(1), rows


@contextlib.contextmanager
def _gradients(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Compute gradients in evaluation mode and in full precision, whatever the surroundings."""
    with (
        mode_set(network, training=False),
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield
