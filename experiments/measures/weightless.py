"""Running a network without its numbers, on torch's meta device, and leaving it as it was found."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.measures.rules.call import tensors_in


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
    with contextlib.ExitStack() as stack:
        # To switch it, even off, torch imports its compiler.
        if torch.are_deterministic_algorithms_enabled():
            warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
            stack.callback(torch.use_deterministic_algorithms, mode=True, warn_only=warn_only)
            torch.use_deterministic_algorithms(mode=False)
        stack.enter_context(torch.inference_mode(mode=False))
        yield


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


def _concatenated_shape(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return `tensors` one after the other along a dimension; torch says it of those that do not fit."""
    first = tensors[0]
    dim = dim % max(first.ndim, 1)
    others = {(*tensor.shape[:dim], 0, *tensor.shape[dim + 1 :], tensor.dtype) for tensor in tensors}
    if first.ndim == 0 or len(others) > 1:
        return torch.cat(list(tensors), dim)
    return first.new_empty((*first.shape[:dim], sum(tensor.shape[dim] for tensor in tensors), *first.shape[dim + 1 :]))


def _dropout_shapes(units: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    """Return outputs as dropout does: what is left, and the mask."""
    return torch.empty_like(units), torch.empty_like(units, dtype=torch.bool)


def _scaled_shape(units: Tensor, scale: Tensor | float) -> Tensor:
    """Return units times a scale that is broadcast to them; other products are left to torch."""
    if not isinstance(scale, Tensor):
        return torch.mul(units, scale)
    padded = (1,) * (units.ndim - scale.ndim) + scale.shape
    fits = all(size in (1, whole) for size, whole in zip(padded, units.shape, strict=False))
    if units.ndim < scale.ndim or not fits or units.dtype != scale.dtype:
        return torch.mul(units, scale)
    return torch.empty_like(units)


# Operators whose shapes torch works out only after importing its compiler, which takes a second. The usual classifiers
# use no others.
SHAPES: Mapping[str, Callable[..., Any]] = {
    "native_batch_norm": _batch_norm_shapes,
    "mean": torch.sum,
    "addmm": _linear_shape,
    "cat": _concatenated_shape,
    "native_dropout": _dropout_shapes,
    "mul": _scaled_shape,
}


def meta_arguments(arguments: Sequence[Any]) -> list[Any]:
    """Return an operator's arguments with those tensors that hold numbers replaced by their shapes."""
    return [_on_meta(argument) for argument in arguments]


def _on_meta(argument: Any) -> Any:  # noqa: ANN401 - any argument of any operator
    if isinstance(argument, Tensor):
        return argument if argument.device.type == "meta" else torch.empty_like(argument, device="meta")
    if isinstance(argument, list | tuple) and any(isinstance(item, Tensor) for item in argument):
        return type(argument)(meta_arguments(argument))
    return argument


class ShapesOnly(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes the shapes of `SHAPES` where torch would import its compiler, and those of constants that hold numbers."""

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
        kwargs = kwargs or {}
        if any(tensor.is_meta for tensor in tensors_in((*args, *kwargs.values()))):
            args, kwargs = meta_arguments(args), dict(zip(kwargs, meta_arguments([*kwargs.values()]), strict=True))
        out = SHAPES.get(func.overloadpacket.__name__, func)(*args, **kwargs)
        self.met(func, args, kwargs, out)
        return out

    def met(self, func: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], out: object) -> None:
        """Note an operator that has run."""
