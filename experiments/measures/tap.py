"""One tensor of a forward pass over numbers, with the gradients that lead back to the image.

Modules put out fewer maps than there are: what a functional call or `a + b` makes is met by operators alone. Below
autograd their arguments still carry the graph behind them, so that a `TorchDispatchMode` can hand one out.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.measures.circular import OPERATOR, CircularPadding
from experiments.measures.memory import same_numbers
from experiments.measures.outputs import tensors_of
from experiments.measures.propagation import Origin, operator_name
from experiments.measures.rules.call import tensors_in
from experiments.measures.weightless import mode_set


class _ReachedError(Exception):
    """Ends a forward pass at the first operator that takes the tensor in question."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        self.tensor = tensor


class _Tap(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Wait for the tensor of an origin to be used."""

    def __init__(self, network: nn.Module, origin: Origin) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._origin = origin
        self._names = {id(module): name for name, module in network.named_modules()}
        self._frames: list[str] = []
        self._calls: Counter[tuple[str, str]] = Counter()
        self._made: Tensor | None = None
        self._padding = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare the import of torch's compiler, which takes a second and has no part in this."""
        return False

    def enter(self, module: nn.Module, _: tuple[Any, ...]) -> None:
        """Note that the call of a module begins; one made during the pass belongs to the module that makes it."""
        self._frames.append(self._names.get(id(module), self._frames[-1] if self._frames else ""))

    def leave(self, *_: object) -> None:
        """Note that the call of a module ends."""
        self._frames.pop()

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        """Run one operator, unless it takes the tensor."""
        kwargs = kwargs or {}
        # Autograd detaches what it saves of a tensor that is not finished.
        if self._made is not None and func.overloadpacket is not torch.ops.aten.detach:
            for tensor in tensors_in((*args, *kwargs.values())):
                if tensor.requires_grad and same_numbers(tensor, self._made):
                    raise _ReachedError(tensor)
        out = func(*args, **kwargs)
        if self._padding:
            return out
        self._count(func.overloadpacket.__name__, out)
        return out

    def pad_circularly(self, pad: Callable[[str], Tensor], rank: int) -> Tensor:
        """Pad as one operator, whatever it is made of."""
        self._padding = True
        try:
            out = pad("circular")
        finally:
            self._padding = False
        self._count(OPERATOR.format(rank), out)
        return out

    def _count(self, op: str, out: Any) -> None:  # noqa: ANN401 - whatever the operator returns
        key = (self._frames[-1] if self._frames else "", operator_name(op))
        self._calls[key] += 1
        if (*key, self._calls[key]) == (self._origin.where, self._origin.op, self._origin.call):
            self._made = (tensors_in(out) if isinstance(out, tuple | list) else [out])[self._origin.output]


def tapped(network: nn.Module, images: Tensor, at: Origin | str | None, place: int | None = None) -> Tensor | None:
    """Run `network` over `images` in evaluation mode, and return a tensor on the way with its graph.

    Gradients lead from it to `images` alone. The network is left as it was found.

    Args:
        network: takes images `(N, C, H, W)`.
        images: these; they take gradients.
        at: the operator that puts the tensor out; or the module ("": the network) that does in its last call, of
            several tensors the one at `place`, or the first through which gradients flow; or None for `images`.
        place: among the tensors that the module puts out.

    Returns:
        The tensor; None where the pass does not meet it, or no gradient flows through it.
    """
    if at is None:
        return images
    return _of_module(network, images, at, place) if isinstance(at, str) else _of_operator(network, images, at)


def _of_operator(network: nn.Module, images: Tensor, origin: Origin) -> Tensor | None:
    tap = _Tap(network, origin)
    with contextlib.ExitStack() as stack:
        for handle in (register_module_forward_pre_hook(tap.enter), register_module_forward_hook(tap.leave)):
            stack.callback(handle.remove)
        stack.enter_context(CircularPadding(tap.pad_circularly))
        stack.enter_context(tap)
        try:
            _call(network, images)
        except _ReachedError as reached:
            return reached.tensor
    return None


def _of_module(network: nn.Module, images: Tensor, name: str, place: int | None) -> Tensor | None:
    found: list[Tensor] = []

    def keep(_: nn.Module, __: tuple[Any, ...], output: object) -> None:
        # A copy, as operators in place would turn the tensor itself into their own output.
        tensors = tensors_of(output)
        tensors = tensors if place is None else tensors[place : place + 1]
        found.extend([tensor.clone() for tensor in tensors if tensor.requires_grad][:1])

    handle = network.get_submodule(name).register_forward_hook(keep)
    try:
        _call(network, images)
    finally:
        handle.remove()
    return found[-1] if found else None


def _call(network: nn.Module, images: Tensor) -> None:
    # Tensors made in inference mode take part in no gradients; buffers may be changed.
    parameters = {
        name: (parameter.clone() if parameter.is_inference() else parameter).detach()
        for name, parameter in network.named_parameters()
    }
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with mode_set(network, training=False):
        functional_call(network, {**parameters, **buffers}, (images,))
