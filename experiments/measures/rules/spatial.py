"""Operators that read a neighbourhood: convolution, pooling, interpolation."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from experiments.measures.reach import Status
from experiments.measures.rules.call import Call, rule
from experiments.measures.sampling import Adaptive, Resampled, Sampling, Strided, Transposed
from experiments.measures.sight import LostError, Sight, axes_of


def _per_dim(value: int | Sequence[int], count: int) -> list[int]:
    """Return one number per spatial dimension; a single one counts for all."""
    values = [value] if isinstance(value, int) else list(value)
    return values * count if len(values) == 1 else values


@rule("convolution")
def convolved(call: Call) -> Sight:
    """(N, C, …) → (N, C', …): convolution and transposed convolution, of any number of dimensions."""
    sight, weight = call.source, call.args[1]
    if any(call.sight(tensor) is not None for tensor in call.args[1:3]):
        raise LostError("with weights that depend on the image")
    count = weight.ndim - 2
    first = len(sight.dims) - count
    stride, padding, dilation = (_per_dim(call.args[index], count) for index in (3, 4, 5))
    transposed = call.args[6]
    if across := axes_of(sight.dims[first - 1 : first]):
        # Of several groups each sees only a part of these channels.
        status = Status.WHOLE_IMAGE if call.args[8] == 1 else Status.BOUND
        sight = sight.collapsed(across, call.reason("over channels that hold the whole map"), status)
    for index in range(count):
        kernel = weight.shape[2 + index]
        sampling: Sampling
        if transposed:
            sampling = Transposed(kernel, stride[index], padding[index], dilation[index])
        else:
            sampling = Strided(-padding[index], stride[index], kernel, dilation[index])
        sight = _neighbourhood(call, sight, first + index, sampling)
    return sight.in_groups(first - 1, call.args[8], call.shape[first - 1], call.title)


def _neighbourhood(call: Call, sight: Sight, dim: int, sampling: Sampling) -> Sight:
    if sampling == Strided() and call.shape[dim] == sight.shape[dim]:
        return sight  # 1 × 1: also along a flattened dimension
    return sight.through(dim, sampling, call.shape[dim], call.title)


@rule("max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d")
def pooled(call: Call) -> Sight:
    """(…, H, W) → (…, H', W'): a window that moves; ceil mode lets the last ones hang over the border."""
    count = int(call.op[call.op.index("pool") + len("pool")])
    sight = call.source
    kernel = _per_dim(call.arg(1, "kernel_size"), count)
    stride = _per_dim(call.arg(2, "stride") or kernel, count)
    padding = _per_dim(call.arg(3, "padding", 0), count)
    dilation = _per_dim(call.arg(4, "dilation", 1) if call.op.startswith("max") else 1, count)
    first = len(sight.dims) - count
    for index in range(count):
        sampling = Strided(-padding[index], stride[index], kernel[index], dilation[index])
        sight = _neighbourhood(call, sight, first + index, sampling)
    return sight


@rule(
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
)
def adaptively_pooled(call: Call) -> Sight:
    """(…, H, W) → (…, h, w): windows whose size follows from the input's; into 1 × 1 they are the whole image."""
    sight = call.source
    bins = call.arg(1, "output_size")
    first = len(sight.dims) - len(bins)
    for index, count in enumerate(bins):
        dim = first + index
        if count == 1:
            sight = sight.collapsed(axes_of(sight.dims[dim : dim + 1]), call.reason("over the whole map"))
            sight = sight.with_dims([*sight.dims[:dim], (), *sight.dims[dim + 1 :]])
        elif count != sight.shape[dim]:
            sight = sight.through(dim, Adaptive(sight.shape[dim], count), count, call.title)
            sight = sight.noted(axes_of(sight.dims[dim : dim + 1]), call.reason("to a fixed size: at this input size"))
    return sight


@rule(
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d",
    "upsample_linear1d",
    "upsample_bilinear2d",
    "upsample_trilinear3d",
    "upsample_bicubic2d",
)
def interpolated(call: Call) -> Sight:
    """(N, C, …) → (N, C, …), larger or smaller, by the true ratio or by the scale factors that were given."""
    sight = call.source
    count = len(sight.dims) - 2
    nearest = "nearest" in call.op
    exact = "nearest_exact" in call.op
    corners = not nearest and bool(call.arg(2, "align_corners", default=False))
    scales: list[Any] = list(call.args[2 if nearest else 3 :])[:count]
    scales += [None] * (count - len(scales))
    for index in range(count):
        dim = 2 + index
        size, target = sight.shape[dim], call.shape[dim]
        mode: Literal["nearest", "linear", "cubic"] = (
            "nearest" if nearest else "cubic" if "cubic" in call.op else "linear"
        )
        step = _step(size, target, scales[index], corners=corners)
        # Kernels with a shorter way for these sizes, whatever the scale factor.
        if target == size and (mode == "linear" or (nearest and not exact)):
            step = Fraction(1)
        if target == 2 * size and nearest and not exact:
            step = Fraction(1, 2)
        half_pixel = exact or not (corners or nearest)
        sampling = Resampled(step, mode, half_pixel, rounded=nearest)
        sight = sight.through(dim, sampling, target, call.title)
        if step != 1 and (corners or (scales[index] is None and 1 not in step.as_integer_ratio())):
            sight = sight.noted(axes_of(sight.dims[dim : dim + 1]), call.reason("to a fixed size: at this input size"))
    return sight


def _step(size: int, target: int, scale: float | None, *, corners: bool) -> Fraction:
    """Return how many input positions one output position lies further."""
    if corners:
        return Fraction(size - 1, target - 1) if target > 1 else Fraction(0)
    if scale is not None and scale > 0:
        return 1 / Fraction(scale).limit_denominator(1000)
    return Fraction(size, target)
