"""Products: which operators multiply and accumulate, what they multiply, and how often.

The counts of convolutions and matrix products are torch's own (`torch.utils.flop_counter`, two operations each); it
leaves out products with vectors, bilinear forms and deformable convolution, which are counted here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class _Product:
    """Where the factors stand among the arguments; how many multiply-accumulates, if torch does not count them."""

    factors: tuple[int, ...]
    macs: Callable[[Sequence[Any], Tensor], int] | None = None


def macs_of(func: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], out: object) -> int | None:
    """Return the multiply-accumulates of one call of an operator; None if it is no kind of product."""
    product = _product(func)
    if product is not None and product.macs is not None and isinstance(out, Tensor):
        return product.macs(args, out)
    formula = flop_registry.get(func.overloadpacket)
    if product is not None and formula is None:  # in place
        formula = flop_registry.get(getattr(torch.ops.aten, func.overloadpacket.__name__.removesuffix("_")))
    return None if formula is None else int(formula(*args, **kwargs, out_val=out)) // 2


def factors_of(func: torch._ops.OpOverload, args: Sequence[Any]) -> list[Tensor]:
    """Return what an operator multiplies with each other, a weight if it does not depend on the image.

    Nothing if the operator is no kind of product.
    """
    product = _product(func)
    return [] if product is None else [args[position] for position in product.factors]


def _product(func: torch._ops.OpOverload) -> _Product | None:
    return _PRODUCTS.get(func._schema.name.removesuffix("_"))  # noqa: SLF001 - no public name


def _deformable_convolution(args: Sequence[Any], out: Tensor) -> int:
    """Each output is one weighted sum, as without the offsets, whose interpolation is not counted."""
    weight: Tensor = args[1]
    return out.numel() * weight[0].numel()


_PRODUCTS: dict[str, _Product] = {
    "aten::mv": _Product((0, 1), lambda args, _: args[0].numel()),
    "aten::addmv": _Product((1, 2), lambda args, _: args[1].numel()),
    "aten::dot": _Product((0, 1), lambda args, _: args[0].numel()),
    "aten::vdot": _Product((0, 1), lambda args, _: args[0].numel()),
    "aten::addbmm": _Product((1, 2), lambda args, _: args[1].numel() * args[2].shape[-1]),
    # x1 W x2, as in torch.nn.Bilinear
    "aten::_trilinear": _Product((0, 1, 2), lambda args, out: out.numel() * args[0].shape[-1] * args[2].shape[-1]),
    "torchvision::deform_conv2d": _Product((0, 1), _deformable_convolution),
}
_PRODUCTS |= dict.fromkeys(("aten::addmm", "aten::baddbmm"), _Product((1, 2)))
_PRODUCTS |= dict.fromkeys(
    (
        *("aten::mm", "aten::bmm", "aten::_scaled_mm"),
        *("aten::convolution", "aten::_convolution", "aten::cudnn_convolution", "aten::convolution_overrideable"),
        "aten::_slow_conv2d_forward",
    ),
    _Product((0, 1)),
)
_PRODUCTS |= {
    f"aten::{name}": _Product((0, 1, 2))
    for name in (
        *(f"_scaled_dot_product_{kind}_attention" for kind in ("efficient", "flash", "cudnn")),
        *("_scaled_dot_product_flash_attention_for_cpu", "_flash_attention_forward", "_efficient_attention_forward"),
    )
}
