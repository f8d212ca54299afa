"""Running a network without its numbers, on torch's meta device, and leaving it as it was found."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


@contextlib.contextmanager
def mode_set(network: nn.Module, *, training: bool) -> Iterator[None]:
    """Switch every module to training or to evaluation for the time of the context, whatever its `train` does.

    Afterwards modules have the attributes that they had, also those in which a forward pass keeps a tensor or a count.
    """
    before = [(module, [dict(table) for table in _tables(module)]) for module in network.modules()]
    try:
        for module, _ in before:
            module.training = training
        yield
    finally:
        for module, tables in before:
            for now, then in zip(_tables(module), tables, strict=True):
                if now.keys() != then.keys() or any(now[name] is not then[name] for name in then):
                    now.clear()
                    now.update(then)


def _tables(module: nn.Module) -> list[dict[str, Any]]:
    """Return where a module has its attributes, parameters, buffers and modules, by name."""
    tables = [module.__dict__, *(module.__dict__.get(name) for name in ("_parameters", "_buffers", "_modules"))]
    # Scripted modules have theirs elsewhere.
    return [table for table in tables if isinstance(table, dict)]


@contextlib.contextmanager
def usual_modes() -> Iterator[None]:
    """Leave torch's deterministic mode and its inference mode.

    In the one it spells upsampling out in operators whose windows have no rule, in the other a trace meets operators
    whole, and without rules.
    """
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(mode=False)
    try:
        with torch.inference_mode(mode=False):
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


def shadows(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers without numbers, by name, to call the network with; all take gradients."""
    tensors = {
        name: torch.empty_like(parameter, device="meta").requires_grad_(parameter.is_floating_point())
        for name, parameter in network.named_parameters()
    }
    return tensors | {name: torch.empty_like(tensor, device="meta") for name, tensor in network.named_buffers()}


def image_of(network: nn.Module, batch: int, shape: tuple[int, int, int]) -> Tensor:
    """Return `batch` images `(C, H, W)` without numbers, of the type of the network's parameters."""
    dtype = next((item.dtype for item in network.parameters() if item.is_floating_point()), torch.get_default_dtype())
    return torch.empty((batch, *shape), device="meta", dtype=dtype)


def _batch_norm_shapes(image: Tensor, *args: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401 - as the operator
    """Return outputs as batch normalisation does: the maps, and per channel mean and deviation if it computes them."""
    training = args[4]
    statistics = image.new_empty(image.shape[1] if training else 0)
    return torch.empty_like(image), statistics, torch.empty_like(statistics)


def _linear_shape(_: Tensor, left: Tensor, right: Tensor, **__: Any) -> Tensor:  # noqa: ANN401 - as the operator
    """Return the product of `(n, k)` and `(k, m)`, to which a bias is added."""
    return torch.mm(left, right)


# Operators whose shapes torch works out only after importing its compiler, which takes a second. The usual classifiers
# use no others.
SHAPES: Mapping[str, Callable[..., Any]] = {
    "native_batch_norm": _batch_norm_shapes,
    "mean": torch.sum,
    "addmm": _linear_shape,
}


class ShapesOnly(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes the shapes of `SHAPES` where torch would import its compiler."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare the import of torch's compiler, which takes a second and has no part in this."""
        return False

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        """Run one operator."""
        return SHAPES.get(func.overloadpacket.__name__, func)(*args, **(kwargs or {}))
