"""Receptive fields by brute force: which pixels the gradient of one output unit touches.

The network runs as its positive twin, in float64: random positive weights, images of positive numbers, sums instead of
maxima, interpolation with exact weights. No path through it cancels another, is cut by an activation function or hidden
by a larger neighbour, or opened by rounding, so that the gradient is non-zero exactly where a pixel can reach the unit.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from experiments.benchmarks.interpolation import Asked, interpolated

Extents = npt.NDArray[np.int64]


def positive_twin(network: nn.Module, seed: int = 0) -> nn.Module:
    """Return a copy of `network` in evaluation mode with random positive weights of about 1 / fan-in, in float64.

    Buffers stay as they are, but for those on the meta device: the statistics of batch normalisation become neutral.
    """
    twin = copy.deepcopy(network).eval()
    if any(tensor.is_meta for tensor in (*twin.parameters(), *twin.buffers())):
        twin = twin.to_empty(device="cpu")
        for name, buffer in twin.named_buffers():
            buffer.fill_(1.0 if name.endswith("running_var") else 0.0)
    twin = twin.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.uniform_(0.5, 1.5, generator=generator)
            parameter.div_(max(1, parameter[0].numel()))
    return twin


def extents(twin: nn.Module, shape: tuple[int, int, int], units: Sequence[tuple[int, int]] | None = None) -> Extents:
    """Return `(U, 2, 2)`: per unit and axis (y, x) the first and the last pixel of an image `(C, H, W)` that reach it.

    `units` are positions (row, column) of the output map, all of them by default, in rows; an output without a map is
    one unit. Of a unit that nothing reaches, the first pixel comes after the last.
    """
    image = positive_image(shape).requires_grad_()
    with NothingCut():
        out = as_map(twin(image))
    height, width = out.shape
    found = []
    for row, column in units or np.ndindex(height, width):
        (gradient,) = torch.autograd.grad(out[row, column], image, retain_graph=True)
        touched = (gradient[0] != 0).any(0)
        found.append([_extent(touched.any(1)), _extent(touched.any(0))])
    return np.array(found)


def positive_image(shape: tuple[int, int, int]) -> Tensor:
    """Return one image `(1, C, H, W)` of positive numbers, always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.empty(1, *shape, dtype=torch.float64).uniform_(0.5, 1.5, generator=generator)


def as_map(out: Tensor) -> Tensor:
    """(N, C, H, W) → (H, W), all channels together; of anything else `(1, 1)`."""
    return out.sum((0, 1)) if out.ndim == 4 else out.sum()[None, None]  # noqa: PLR2004 - (N, C, H, W)


def _extent(touched: Tensor) -> tuple[int, int]:
    """Return the first and the last of the pixels that are touched; `(n, -1)` where none is."""
    where = touched.nonzero()
    return (int(where[0]), int(where[-1])) if len(where) else (len(touched), -1)


def sum_pool(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    pad: Callable[[Tensor, Sequence[int]], Tensor] = F.pad,
) -> Tensor:
    """(N, C, H, W) → (N, C, H', W'): the sum over each window of `torch.nn.functional.max_pool2d`.

    `pad` puts something, zeros by default, where windows hang over the borders.
    """
    assert not return_indices  # noqa: S101 - a sum has no position
    height, width = F.max_pool2d(x.detach(), kernel_size, stride, padding, dilation, ceil_mode).shape[-2:]  # type: ignore[arg-type]
    (ky, kx), (sy, sx), (py, px), (dy, dx) = map(both, (kernel_size, stride or kernel_size, padding, dilation))
    x = pad(x, (px, kx * dx + sx, py, ky * dy + sy))
    pieces = (
        x[..., i * dy : i * dy + (height - 1) * sy + 1 : sy, j * dx : j * dx + (width - 1) * sx + 1 : sx]
        for i in range(ky)
        for j in range(kx)
    )
    return reduce(add, pieces)


def both(value: int | Sequence[int]) -> tuple[int, int]:
    """Return an argument's values for y and x."""
    y, x = (value, value) if isinstance(value, int) else value
    return y, x


def adaptive_sum_pool(x: Tensor, output_size: int | Sequence[int], return_indices: bool = False) -> Tensor:
    """(N, C, H, W) → (N, C, h, w): something of all that each window of `adaptive_max_pool2d` holds."""
    assert not return_indices  # noqa: S101 - a sum has no position
    return F.adaptive_avg_pool2d(x, output_size)  # type: ignore[arg-type]


def unrectified(x: Tensor, *_: Any, **__: Any) -> Tensor:  # noqa: ANN401 - as any activation function
    """(…) → (…): the tensor itself."""
    return x


def interpolate(*args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - as torch.nn.functional.interpolate
    """(N, C, H, W) → (N, C, H', W'): `interpolate` with the absolute values of its weights, which are exact."""
    asked = Asked(*args, **kwargs)
    return interpolated(asked, positive=True) if asked.is_exact_here else F.interpolate(*asked)


_SUBSTITUTES: Mapping[str, Callable[..., Any]] = {
    "max_pool2d": sum_pool,
    "adaptive_max_pool2d": adaptive_sum_pool,
    "amax": torch.sum,
    "interpolate": interpolate,
    **dict.fromkeys(("relu", "relu_", "relu6", "hardtanh", "hardswish"), unrectified),
}


class NothingCut(TorchFunctionMode):
    """Computes sums for maxima, of which one position would take all the gradient, and rectifies nothing.

    Where interpolation gives a neighbour the weight 0, it is 0, and not what rounding makes of it.
    """

    substitutes: Mapping[str, Callable[..., Any]] = _SUBSTITUTES

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Call a function of torch, or its substitute."""
        return self.substitutes.get(getattr(func, "__name__", ""), func)(*args, **(kwargs or {}))
