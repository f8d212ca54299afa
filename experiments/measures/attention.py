"""What the attention of torch's CPU kernels keeps for the backward pass, met on tensors without numbers.

Without numbers torch spells `scaled_dot_product_attention` out, and the scores of every head would be kept. Its kernel
for CPUs never holds them all (Dao et al., "FlashAttention", 2022): it keeps queries, keys, values, the output and one
number per query, unless dropout, a mask that takes gradients or the shapes rule it out.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

# One tensor is large enough to ask torch about as many images, positions and so on.
_FEW = 2
_HEADS = 3  # counted from the last dimension: (N, heads, positions, channels)
_FULL_RANK = 4
_registering = threading.RLock()


@contextlib.contextmanager
def attention_as_on_cpu() -> Iterator[None]:
    """Let `scaled_dot_product_attention` without numbers keep what it would keep on a CPU, for as long as it lasts."""
    with _registering, torch.library._scoped_library("aten", "IMPL") as library:  # noqa: SLF001 - no public name
        library.impl("scaled_dot_product_attention", _attention, "AutogradMeta")
        yield


class _Flash(torch.autograd.Function):
    """Keeps what the kernel keeps; computes nothing."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:  # noqa: ANN401
        """(N, heads, n, k), (N, heads, m, k), (N, heads, m, k) → (N, heads, n, k)."""
        out = torch.empty_like(query)
        # Sums of exponentials are kept in single precision at least.
        sums = torch.empty(query.shape[:-1], dtype=torch.promote_types(query.dtype, torch.float32), device=query.device)
        ctx.save_for_backward(query, key, value, out, sums, mask)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        """Not to be called: there are no numbers."""
        raise NotImplementedError


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Stand in for torch's operator of that name."""
    if attn_mask is not None and attn_mask.dtype is torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype)
    tensors = (query, key, value, attn_mask)
    choice = torch._fused_sdp_choice(  # noqa: SLF001 - no public name
        _little(query, channels=True),
        _little(key, channels=True),
        _little(value, channels=True),
        None if attn_mask is None else _little(attn_mask, channels=False),
        dropout_p,
        is_causal,
        scale=scale,
        enable_gqa=enable_gqa,
    )
    if choice == SDPBackend.FLASH_ATTENTION.value:
        if query.ndim == _FULL_RANK:
            return _Flash.apply(*tensors)  # type: ignore[no-any-return]
        added = (None if tensor is None else tensor.unsqueeze(0) for tensor in tensors)
        return _Flash.apply(*added).squeeze(0)  # type: ignore[no-any-return]
    out: Tensor = torch.ops.aten._scaled_dot_product_attention_math(  # noqa: SLF001 - no public name
        *tensors, dropout_p, is_causal, None, scale=scale, enable_gqa=enable_gqa
    )[0]
    return out


def _little(tensor: Tensor, *, channels: bool) -> Tensor:
    """Return a tensor on the CPU, of which torch chooses the same kernel: fewer images, and fewer positions.

    The last dimension holds `channels`, or positions as in a mask.
    """
    kept = {tensor.ndim - _HEADS} if tensor.ndim == _FULL_RANK else set()
    kept |= {tensor.ndim - 1} if channels else set()
    shape = [size if dim in kept else min(size, _FEW) for dim, size in enumerate(tensor.shape)]
    little = torch.empty(shape, dtype=tensor.dtype)
    if tensor.ndim > 1 and tensor.shape[-1] > 1 and tensor.stride(-1) != 1:
        little = little.mT.contiguous().mT
    return little.requires_grad_(tensor.requires_grad)
