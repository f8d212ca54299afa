"""Circular padding as one operator: torch spells it out in copies of slices, in which it can no longer be told."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

OPERATOR = "circular_pad{}d"


class CircularPadding(TorchFunctionMode):
    """Calls `instead(pad, rank)` for every circular padding, along `rank` dimensions, that functions of torch ask for.

    `pad(mode)` pads in any mode. A padding that torch refuses is left to torch.
    """

    def __init__(self, instead: Callable[[Callable[[str], Tensor], int], Tensor]) -> None:
        super().__init__()
        self._instead = instead

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Call a function of torch."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") != "pad":
            return func(*args, **kwargs)
        given = {**dict(zip(("input", "pad", "mode", "value"), args, strict=False)), **kwargs}
        tensor, widths = given.get("input"), list(given.get("pad", ()))
        if given.get("mode") != "circular" or not isinstance(tensor, Tensor) or _wraps_twice(tensor, widths):
            return func(*args, **kwargs)
        return self._instead(lambda mode: func(tensor, widths, mode), len(widths) // 2)


def _wraps_twice(tensor: Tensor, widths: Sequence[int]) -> bool:
    sizes = [size for size in reversed(tensor.shape) for _ in range(2)]
    return any(width > size for width, size in zip(widths, sizes, strict=False))
