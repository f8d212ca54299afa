"""One forward pass without data: every operator and every module of a network, in the order of the calls.

The network runs on torch's meta device, where tensors have shapes and no numbers, under a `TorchDispatchMode` that
meets every operator below autograd: also functional calls, `a + b` and modules that are called twice, none of which
the hooks of modules see.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.measures.circular import OPERATOR, CircularPadding
from experiments.measures.memory import memory_of
from experiments.measures.multiplications import macs_of
from experiments.measures.outputs import Output, main_output, tensors_of
from experiments.measures.propagation import Known, Origin, Propagation
from experiments.measures.rules.call import kind_of, tensors_in
from experiments.measures.sight import Sight, axes_of
from experiments.measures.weightless import SHAPES, meta_arguments, mode_set, shadows

# Operators whose result, or its shape, depends on the numbers in tensors.
_READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_COPIES = frozenset({"clone", "_to_copy", "detach", "alias", "lift_fresh", "copy_"})


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a module, or of an operator outside of the innermost modules.

    Attributes:
        name: of the module, as in `named_modules`; of an operator's step, of the module that called it.
        kind: the class of the module, or the operator.
        layer: whether it is a step of its own, rather than a module that contains others.
        shape: of its (first) output, the batch dimension included.
        known: what that output sees; None where it does not depend on the image.
        parameters: elements of the parameters that it is the first to use.
        macs: multiply-accumulates of convolutions and matrix products.
        activations: elements that these put out.
    """

    name: str
    kind: str
    layer: bool
    shape: tuple[int, ...]
    known: Known
    parameters: int
    macs: int
    activations: int


@dataclass
class _Frame:
    """A module that is being called, and the totals when its call began."""

    name: str
    kind: str
    layer: bool
    parameters: int
    macs: int
    activations: int


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A forward pass over images `(N, C, H, W)` on the meta device, with all its steps.

    MACs are those of one image, and of what is computed from weights alone, once for all images.

    `at` is what runs now: the module, and the operator that it has called with its arguments, if any. `output` is what
    is known of the network's output, of several tensors of `main_output`.
    """

    def __init__(self, network: nn.Module, image: Tensor, *, training: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.macs = 0
        self.activations = 0
        self.output: Known | None = None
        self.main_output: Output | None = None
        self.at: tuple[str, str, Sequence[Any]] = ("", "", ())
        self._called: str | None = None
        self._network = network
        self._image = image
        self._training = training
        self._propagation = Propagation(image)
        self._names = {id(module): name for name, module in network.named_modules()}
        self._frames: list[_Frame] = []
        self._parameters = 0
        self._owner: dict[int, int] = {}
        self._used: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare the import of torch's compiler, which takes a second and has no part in this."""
        return False

    @property
    def last_map(self) -> Known | None:
        """What is known of the last map of units: the output, or what goes into global pooling or flattening."""
        output = self.output
        return output if output is None or self.ends_in_map else output.last_map or output

    @property
    def last_source(self) -> tuple[Sight, Origin | None] | None:
        """The sight and the origin (None: the image) of the tensor that goes into global pooling or flattening.

        None where there is none, or its units are taken apart in a manner that is not followed.
        """
        last_map = self.output.last_map if self.output else None
        return last_map.source if last_map else None

    @property
    def ends_in_map(self) -> bool:
        """Whether the output is the last map."""
        output = self.output
        if output is None or output.lost in self._propagation.lost_maps:
            return True
        return bool(output.sight and axes_of(output.sight.dims) and not self._propagation.is_pooled(output.sight))

    def run(self) -> None:
        """Run the network forward; it is left as it was found."""
        tensors = shadows(self._network)
        for name, parameter in self._network.named_parameters():
            self._owner[memory_of(tensors[name])] = parameter.numel()
        with contextlib.ExitStack() as stack:
            stack.enter_context(mode_set(self._network, training=self._training))
            stack.enter_context(torch.random.fork_rng(devices=[]))
            stack.enter_context(torch.no_grad())
            for handle in (
                register_module_forward_pre_hook(self._enter),
                register_module_forward_hook(self._leave),
            ):
                stack.callback(handle.remove)
            stack.enter_context(CircularPadding(self._pad_circularly))
            stack.enter_context(self)
            output = functional_call(self._network, tensors, (self._image,))
        self.main_output = self._main(output)
        self.output = self._propagation.known(tensors_of(output)[self.main_output.place]) if self.main_output else None

    def _main(self, output: object) -> Output | None:
        """Return which tensor of the network's output is taken for it."""

        def depth(tensor: Tensor) -> int | None:
            known = self._propagation.known(tensor)
            return None if known is None else known.depth

        return main_output(output, depth)

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        """Run one operator and note what it does."""
        kwargs = kwargs or {}
        op = self._called or func.overloadpacket.__name__
        where = self._frames[-1].name if self._frames else ""
        self.at = (where, op, args)
        tensors = tensors_in((*args, *kwargs.values()))
        run_args, run_kwargs = args, kwargs
        if any(tensor.device.type == "meta" for tensor in tensors):
            run_args = meta_arguments(args)
            run_kwargs = dict(zip(kwargs, meta_arguments([*kwargs.values()]), strict=True))
        elif _READS & set(func.tags) and any(self._propagation.known(tensor) for tensor in tensors):
            # It would read numbers that are not those of any image.
            raise NotImplementedError(f"{op} cannot be run with Meta tensors")
        out = SHAPES.get(op, func)(*run_args, **run_kwargs)
        self.at = (where, "", ())
        product = macs_of(func, run_args, run_kwargs, out)
        macs = activations = 0
        if product is not None:
            # What is computed from weights alone is computed once for all images.
            of_images = any(self._propagation.known(tensor) for tensor in tensors)
            images = self._image.shape[0] if of_images else 1
            macs = product // images
            activations = out.numel() // images if isinstance(out, Tensor) else 0
            self.macs += macs
            self.activations += activations
        self._propagation.follow(op, where, func, args, kwargs, out)
        self._note_operator(op, args, out, macs, activations)
        return out

    def _pad_circularly(self, pad: Callable[[str], Tensor], rank: int) -> Tensor:
        """Pad by an operator that gives the same shape, under a name of its own."""
        self._called = OPERATOR.format(rank)
        try:
            return pad("replicate")
        finally:
            self._called = None

    def _note_operator(self, op: str, args: Sequence[Any], out: object, macs: int, activations: int) -> None:
        """Make a step of an operator that no innermost module has called."""
        if self._frames and self._frames[-1].layer:
            return
        result = next(iter(tensors_of(out)), None)
        known = None if result is None else self._propagation.known(result)
        if result is None or known is None:
            return
        memories = {memory_of(tensor) for tensor in tensors_in(args)}
        view = memory_of(result) in memories and not op.endswith("_")
        if view or op in _COPIES:
            return
        first_used = (memories & self._owner.keys()) - self._used
        self._used |= first_used
        parameters = sum(self._owner[memory] for memory in first_used)
        self._parameters += parameters
        name = self._frames[-1].name if self._frames else ""
        kind = kind_of(op.removesuffix("_"))
        self.steps.append(Step(name, kind, True, tuple(result.shape), known, parameters, macs, activations))

    def _enter(self, module: nn.Module, _: tuple[Any, ...]) -> None:
        """Note that the call of a module begins."""
        name = self._names.get(id(module))
        # A module that is made during the pass stands for an operator of the module that makes it.
        layer = name is not None and module is not self._network and not any(True for _ in module.children())
        outer = self._frames[-1].name if self._frames else ""
        frame = _Frame(
            outer if name is None else name, type(module).__name__, layer, self._parameters, self.macs, self.activations
        )
        if layer:
            own = {memory_of(parameter) for parameter in module.parameters(recurse=False)}
            first_used = (own & self._owner.keys()) - self._used
            self._used |= first_used
            self._parameters += sum(self._owner[memory] for memory in first_used)
        self._frames.append(frame)

    def _leave(self, module: nn.Module, _: tuple[Any, ...], output: object) -> None:
        """Note that the call of a module ends."""
        frame = self._frames.pop()
        if id(module) not in self._names:
            return
        tensors = tensors_of(output)
        if module is self._network and (main := self._main(output)):
            tensors = [tensors[main.place]]
        for tensor in tensors:
            if known := self._propagation.known(tensor):
                self.steps.append(
                    Step(
                        frame.name,
                        frame.kind,
                        frame.layer,
                        tuple(tensor.shape),
                        known,
                        self._parameters - frame.parameters,
                        self.macs - frame.macs,
                        self.activations - frame.activations,
                    )
                )
                return
