"""What every tensor of a forward pass sees, carried from operator to operator."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from experiments.measures.memory import memory_of, overlap, same_layout, written_to
from experiments.measures.multiplications import factors_of
from experiments.measures.reach import Reach, Status
from experiments.measures.rules import mixing, shape, spatial
from experiments.measures.rules.call import RULES, Call, kind_of, tensors_in
from experiments.measures.rules.pointwise import is_pointwise, pointwise
from experiments.measures.sight import LostError, Part, Sight, axes_of, plain

# Imported for the rules that they register.
RULE_MODULES = (mixing, shape, spatial)

# Their result has the shape of their argument and none of its values.
_SHAPE_ONLY = frozenset(
    {"empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "new_empty", "new_zeros"}
    | {"new_ones", "new_full", "new_empty_strided"}
)
# What they put out are units of the same map.
_PICKING = frozenset({"select", "unbind"})


@dataclass(frozen=True)
class Origin:
    """Which operator puts a tensor out: the `call`-th that module `where` makes of it, and which of its `output`s.

    A pass over numbers meets the same one, whatever its memory layout and device add in between.
    """

    where: str
    op: str
    call: int
    output: int = 0


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a tensor that depends on the image.

    Attributes:
        sight: what its units see; None where an operator was not understood on the way.
        lost: that operator.
        depth: the weighted layers on the longest chain behind it.
        last_map: the last map of units on the way that was put together by global pooling or flattening; where several
            were, the one behind the most weighted layers.
        source: of such a map, its tensor's own sight and origin (None: the image); None where the operator took the
            tensor apart to go on with its units.
    """

    sight: Sight | None
    lost: str | None = None
    depth: int = 0
    last_map: "Known | None" = None
    source: tuple[Sight, Origin | None] | None = None


def operator_name(op: str) -> str:
    """Return the name under which calls of an operator are counted, the same on all devices and memory layouts."""
    if op in ("_unsafe_view", "_reshape_alias"):
        return "view"
    return "batch_norm" if "batch_norm" in op else op


class Propagation:
    """The knowledge about all tensors of one forward pass.

    A tensor that is not known does not depend on the image. Tensors and their memory stay referenced, so that no `id`
    is given twice; on the meta device they hold no numbers. `lost_maps` are the operators after which a map was not
    understood.
    """

    def __init__(self, image: Tensor) -> None:
        height, width = image.shape[-2:]
        y = Reach.of_input(height)
        x = y if width == height else Reach.of_input(width)
        dims = [*map(plain, image.shape[:-2]), (Part(height, 0),), (Part(width, 1),)]
        self._known: dict[int, Known] = {}
        self._memory: dict[int, int] = {}
        self._kept: list[Tensor | torch.UntypedStorage] = []
        self._sharing: dict[int, list[Tensor]] = defaultdict(list)
        self._overwritten: dict[int, str] = {}
        self.lost_maps: set[str] = set()
        self._covered: list[tuple[Reach, Reach]] = []
        self._calls: Counter[tuple[str, str]] = Counter()
        self._origins: dict[int, Origin] = {}
        self._remember(image, Known(Sight(tuple(dims), (y, x))))

    def known(self, tensor: Tensor) -> Known | None:
        """Return what is known of `tensor`; None where it does not depend on the image."""
        memory = memory_of(tensor)
        if self._memory.get(id(tensor)) == memory:
            return self._known[id(tensor)]
        # A view of what was written to since, or a tensor that was given the memory of another (`y.data = x`).
        sharing = [other for other in self._sharing.get(memory, ()) if self._memory[id(other)] == memory]
        alike = [other for other in sharing if same_layout(other, tensor)]
        if alike:
            return self._known[id(alike[-1])]
        return self._part_of(memory) if any(overlap(other, tensor) for other in sharing) else None

    def follow(
        self,
        op: str,
        where: str,
        func: torch._ops.OpOverload,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        out: object,
    ) -> None:
        """Carry what is known of the arguments of operator `op`, called by module `where`, over to its outputs."""
        self._calls[where, operator_name(op)] += 1
        inputs = {
            id(tensor): known for tensor in tensors_in((*args, *kwargs.values())) if (known := self.known(tensor))
        }
        outputs = [tensor for tensor in (out if isinstance(out, tuple | list) else [out]) if isinstance(tensor, Tensor)]
        written = written_to(func, args, kwargs)
        name = op.removesuffix("_") if op.endswith("_") and op != "copy_" else op
        if not inputs or not (outputs or written) or name in _SHAPE_ONLY:
            return
        weighted = any(id(factor) not in inputs for factor in factors_of(func, args))
        depth = max(known.depth for known in inputs.values()) + weighted
        lost = next((known.lost for known in inputs.values() if known.lost), None)
        title = f"{where or 'network'}: {kind_of(name) if func.namespace == 'aten' else f'{func.namespace}::{name}'}"
        last_map = max((known.last_map for known in inputs.values() if known.last_map), key=_depth, default=None)
        sights: list[Sight | None] = [None] * len(outputs)
        if lost is None and outputs and outputs[0].numel() == 0:
            lost = f"{title} of an empty tensor"
            self.lost_maps.add(lost)
        if lost is None and outputs:
            seen = {key: known.sight for key, known in inputs.items() if known.sight}
            call = Call(name, where, args, kwargs, tuple(outputs[0].shape), seen)
            try:
                sights = _apply(func.namespace, call, outputs)
                last_map = self._map_before(call, sights[0], depth, last_map)
            except LostError as error:
                lost = f"{title} {error}".strip()
                if any(axes_of(sight.dims) for sight in seen.values()):
                    self.lost_maps.add(lost)
        unknown = Known(None, lost or title, depth, last_map)
        results = [Known(sight, None, depth, last_map) if sight else unknown for sight in sights]
        # What an operator writes to is what it puts out, but for tensors that hold numbers: of these it gets a copy.
        for tensor, known in zip(written, results + [unknown] * (len(written) - len(outputs)), strict=False):
            if torch.Tag.inplace_view not in func.tags:
                self._overwrite(tensor, known, op)
            self._remember(tensor, known)
        call_index = self._calls[where, operator_name(op)]
        for position, (tensor, known) in enumerate(zip(outputs, results, strict=True)):
            self._origins[id(tensor)] = Origin(where, operator_name(op), call_index, position)
            self._remember(tensor, known)

    def _remember(self, tensor: Tensor, known: Known) -> None:
        memory = memory_of(tensor)
        if self._memory.get(id(tensor)) != memory:
            self._kept += [tensor, tensor.untyped_storage()]
            self._sharing[memory].append(tensor)
        self._known[id(tensor)] = known
        self._memory[id(tensor)] = memory

    def _overwrite(self, tensor: Tensor, known: Known, op: str) -> None:
        """Say of the other tensors that share memory with `tensor` what its new content does to them."""
        before = self.known(tensor)
        if before is not None and before.sight is known.sight and before.lost == known.lost:
            return
        memory = memory_of(tensor)
        self._overwritten[memory] = op
        for other in self._sharing[memory]:
            if other is tensor or self._memory[id(other)] != memory:
                continue
            if same_layout(other, tensor):
                self._known[id(other)] = known
            elif overlap(other, tensor):
                self._known[id(other)] = self._part_of(memory, known.depth)

    def _part_of(self, memory: int, depth: int = 0) -> Known:
        lost = f"{self._overwritten.get(memory, 'view')} into a part of a tensor"
        self.lost_maps.add(lost)
        return Known(None, lost, depth)

    def is_pooled(self, sight: Sight) -> bool:
        """Tell whether average pooling has put a whole map together, so that what is left of it is one unit."""
        return sight.reaches in self._covered

    def _map_before(self, call: Call, sight: Sight | None, depth: int, earlier: Known | None) -> Known | None:
        """Return the map of units that an operator puts together, the input of global pooling or flattening.

        If it does not, that is a map from `earlier` on; none, if single positions are picked from what is left of it.
        """
        source = call.sight(call.args[0]) or next(iter(call.sights.values()))
        if sight is None:
            return earlier
        before, after = axes_of(source.dims), axes_of(sight.dims)
        if call.op == "addmm":
            source = call.sight(call.args[1]) or source
            before = axes_of(source.dims)
        one = all(reach.units == 1 for reach in sight.reaches)
        covers = call.op.startswith("avg_pool") and one and any((reach.units or 1) > 1 for reach in source.reaches)
        if covers:
            self._covered.append(sight.reaches)
        elif before <= after or self.is_pooled(source):
            return earlier
        elif call.op in _PICKING:
            return None
        elif earlier and earlier.sight and all(source.reaches[axis] is earlier.sight.reaches[axis] for axis in before):
            return earlier  # of which the other axis was pooled before
        bounded = any(
            after.status is Status.BOUND and before.status is not Status.BOUND
            for before, after in zip(source.reaches, sight.reaches, strict=True)
        )
        origin = next((self._origins.get(key) for key, known in call.sights.items() if known is source), None)
        rearranged = call.op in RULES and RULES[call.op].__module__ == shape.__name__
        return Known(sight if bounded else source, None, depth, source=None if rearranged else (source, origin))


def _depth(known: Known) -> int:
    return known.depth


def _apply(namespace: str, call: Call, outputs: Sequence[Tensor]) -> list[Sight | None]:
    """Apply the rule of an operator; an output that the rule does not speak of is not understood.

    Raises:
        LostError: the operator has no rule, or its rule does not cover these arguments.
    """
    if namespace != "aten":
        raise LostError
    if call.op in RULES:
        result = RULES[call.op](call)
    elif is_pointwise(call.op):
        result = pointwise(call)
    else:
        raise LostError
    sights = result if isinstance(result, list) else [result] * len(outputs)
    # The check of every rule: a sight that is not shaped like the tensor has been carried wrongly.
    checked = [sight if sight.shape == tuple(out.shape) else None for sight, out in zip(sights, outputs, strict=True)]
    if checked[0] is None:
        raise LostError
    return checked
