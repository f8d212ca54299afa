"""Multiply-accumulates of single operators.

Those of convolutions and matrix products are torch's own (`torch.utils.flop_counter`, two operations each); it leaves
out products with vectors, bilinear forms and deformable convolution, which are counted here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry


def macs_of(func: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], out: object) -> int | None:
    """Return the multiply-accumulates of one call of an operator; None if it is no kind of product."""
    if (formula := flop_registry.get(func.overloadpacket)) is not None:
        return int(formula(*args, **kwargs, out_val=out)) // 2
    if (own := _OWN.get(func._schema.name)) is not None and isinstance(out, Tensor):  # noqa: SLF001 - no public name
        return own(args, out)
    return None


def _deformable_convolution(args: Sequence[Any], out: Tensor) -> int:
    """Each output is one weighted sum, as without the offsets, whose interpolation is not counted."""
    weight: Tensor = args[1]
    return out.numel() * weight[0].numel()


_OWN: Mapping[str, Callable[[Sequence[Any], Tensor], int]] = {
    "aten::mv": lambda args, _: args[0].numel(),
    "aten::addmv": lambda args, _: args[1].numel(),
    "aten::dot": lambda args, _: args[0].numel(),
    "aten::addbmm": lambda args, _: args[1].numel() * args[2].shape[-1],
    # x1 W x2, as in torch.nn.Bilinear
    "aten::_trilinear": lambda args, out: out.numel() * args[0].shape[-1] * args[2].shape[-1],
    "torchvision::deform_conv2d": _deformable_convolution,
}
