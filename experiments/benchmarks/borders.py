"""Which units of a map look beyond a border, of the image or of any map on the way, by brute force.

The positive twin runs with something at every place beyond a border that an operator reads: where zeros are padded,
where positions are mirrored, repeated or wrapped, where a window hangs over. Units whose derivative with respect to
that is zero are far from every border, whatever the network crops, resizes or moves; the measures are not asked.

An operator of which no borders are known here is taken to stay inside. A unit that does not is compared nevertheless:
that shows as a mismatch, and hides none.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F

from experiments.benchmarks.interpolation import Asked, beyond, interpolated
from experiments.benchmarks.oracle import NothingCut, as_map, both, positive_image, sum_pool

_MAP_RANK = 4  # (N, C, H, W)


def look_beyond(twin: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """Return `(H', W')`, of an image `(C, H, W)`: whether any channel of each unit looks beyond a border.

    An output without a map is one unit.
    """
    with _derivatives():
        one = torch.ones((), dtype=torch.float64)
        border = forward_ad.make_dual(one, one)  # type: ignore[no-untyped-call]
        return _moved(twin, positive_image(shape), BordersShown(border))


def see_anything(twin: nn.Module, shape: tuple[int, int, int]) -> Tensor:
    """Return `(H', W')`, of an image `(C, H, W)`: whether any channel of each unit sees any pixel.

    Units in the holes of a transposed convolution do not.
    """
    with _derivatives():
        image = positive_image(shape)
        return _moved(twin, forward_ad.make_dual(image, image), NothingCut())  # type: ignore[no-untyped-call]


@contextmanager
def _derivatives() -> Iterator[None]:
    with warnings.catch_warnings(), torch.no_grad(), forward_ad.dual_level():
        warnings.simplefilter("ignore", FutureWarning)  # torch's derivatives come from its own deprecated scripts
        yield


def _moved(twin: nn.Module, image: Tensor, mode: NothingCut) -> Tensor:
    """Return of which units the derivative is not zero."""
    with mode:
        out = as_map(twin(image))
    value, tangent = forward_ad.unpack_dual(out)  # type: ignore[no-untyped-call]
    return torch.zeros_like(value, dtype=torch.bool) if tangent is None else tangent != 0


class BordersShown(NothingCut):
    """Computes as `NothingCut`, with the number `border` at every place beyond a border."""

    def __init__(self, border: Tensor) -> None:
        super().__init__()
        self.border = border
        self.substitutes: dict[str, Callable[..., Any]] = {
            **self.substitutes,
            "conv2d": self._conv2d,
            "conv_transpose2d": self._conv_transpose2d,
            "max_pool2d": partial(sum_pool, pad=self._pad),
            "avg_pool2d": self._avg_pool2d,
            "pad": self._pad,
            "roll": self._roll,
            "interpolate": self._interpolate,
        }

    def _pad(self, x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
        out = F.pad(x, pad, mode, value)
        inside = F.pad(torch.ones(x.shape[-2:], dtype=x.dtype), pad[:4])  # further ones are of channels
        return out + self.border * (1 - inside)

    def _conv2d(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> Tensor:
        pads: list[int] = []
        for axis in (1, 0):
            extent = (weight.shape[2 + axis] - 1) * both(dilation)[axis]
            if isinstance(padding, str):
                before = extent // 2 if padding == "same" else 0
                pads += [before, extent - before if padding == "same" else 0]
            else:
                pads += [both(padding)[axis]] * 2
        return F.conv2d(self._pad(x, pads), weight, bias, both(stride), 0, both(dilation), groups)

    def _conv_transpose2d(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        dilation: int | Sequence[int] = 1,
    ) -> Tensor:
        stride, padding, output_padding, dilation = map(both, (stride, padding, output_padding, dilation))
        # As many more positions on every side as any output can read.
        more_y, more_x = (
            -(-((weight.shape[2 + axis] - 1) * dilation[axis] + output_padding[axis]) // stride[axis])
            for axis in range(2)
        )
        further = (padding[0] + more_y * stride[0], padding[1] + more_x * stride[1])
        wider = self._pad(x, (more_x, more_x, more_y, more_y))
        return F.conv_transpose2d(wider, weight, bias, stride, further, output_padding, groups, dilation)

    def _avg_pool2d(
        self,
        x: Tensor,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
        *_: Any,  # noqa: ANN401 - what the sum is divided by
        **__: Any,  # noqa: ANN401
    ) -> Tensor:
        return sum_pool(x, kernel_size, stride, padding, ceil_mode=ceil_mode, pad=self._pad)

    def _roll(self, x: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int]) -> Tensor:
        out = x.roll(shifts, dims)  # type: ignore[arg-type]
        shifts, dims = ([item] if isinstance(item, int) else item for item in (shifts, dims))
        for shift, dim in zip(shifts, dims, strict=True):
            along_x, along_y = (dim % x.ndim == x.ndim - place for place in (1, 2))
            if x.ndim == _MAP_RANK and (along_x or along_y):
                source = torch.arange(x.shape[dim]) - shift
                wrapped = ((source < 0) | (source >= x.shape[dim])).to(x.dtype)
                out = out + self.border * (wrapped if along_x else wrapped[:, None])
        return out

    def _interpolate(self, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 - as torch.nn.functional.interpolate
        asked = Asked(*args, **kwargs)
        if not asked.is_exact_here:
            return F.interpolate(*asked)
        (y, x), (height, width) = asked.taps(), asked.input.shape[-2:]
        shown = beyond(y, height)[:, None] + beyond(x, width)
        return interpolated(asked, positive=True) + self.border * shown
