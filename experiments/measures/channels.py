"""What single channels see, where they differ: after concatenation, until something mixes all of them.

Everywhere else a unit stands for all channels at its place, and sees what any of them does. That is too much for a part
of the channels, as in ShuffleNet, where half of them go on (Ma et al., "ShuffleNet V2", 2018, section 3).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from experiments.measures.reach import Reach

Reaches = tuple[Reach, Reach]
Join = Callable[[Sequence[Reaches]], Reaches]
Labels = npt.NDArray[np.int64]

# More kinds than any known network has; past it, channels are known to differ and no more.
_MOST_KINDS = 1024
# So many labels are written out; past it, too. Repetitions of the same ones take no memory and do not count.
_MOST_LABELS = 1 << 22


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels (plain positions) of a tensor by what they see.

    `labels` has the tensor's dimensions, those of the image's axes left out; `kinds[label]` is what a channel sees
    along y and x. Without `labels`, channels are known to differ and no more. With `joins`, channels stand for
    positions of the image: all together see what the tensor does, one alone less; which, `joins` says in words, and
    there are no kinds.
    """

    labels: Labels | None = None
    kinds: tuple[Reaches, ...] = ()
    joins: str | None = None

    def each(self, change: Callable[[Reaches], Reaches]) -> "Channels":
        """Return the channels after the same change to every kind."""
        return replace(self, kinds=tuple(map(change, self.kinds)))

    def arranged(self, shape: Sequence[int]) -> "Channels":
        """Return the channels in the same order, or repeated along dimensions of one, in dimensions of these sizes."""
        if self.labels is None:
            return self
        compact = _compact(self.labels)
        if compact.size == 1:
            return replace(self, labels=np.broadcast_to(compact.ravel(), shape))
        if self.labels.size == prod(shape):
            if self.labels.shape == tuple(shape):
                return self
            return replace(self, labels=self.labels.reshape(shape)) if self.labels.size <= _MOST_LABELS else UNKNOWN
        try:
            return replace(self, labels=np.broadcast_to(self.labels, shape))
        except ValueError:
            return UNKNOWN

    def permuted(self, order: Sequence[int]) -> "Channels":
        """Return the channels with their dimensions in another order."""
        return self if self.labels is None else replace(self, labels=self.labels.transpose(order))

    def taken(self, dim: int, index: Labels) -> "Channels":
        """Return some of the channels along a dimension, in the order of their `index`."""
        if self.labels is None:
            return self
        shape = [*self.labels.shape[:dim], len(index), *self.labels.shape[dim + 1 :]]
        compact = _compact(self.labels)
        some = compact.take(index, axis=dim) if compact.shape[dim] > 1 else compact
        return replace(self, labels=np.broadcast_to(some, shape))

    def in_groups(self, dim: int, groups: int, outputs: int, join: Join) -> "Channels":
        """Return `outputs` channels, each of which has met those of its group along dimension `dim`."""
        if self.joins or self.labels is None or self.labels.size != self.labels.shape[dim]:
            return UNKNOWN
        kinds = tuple(self._union(labels, join) for labels in self.labels.reshape(groups, -1))
        shape = [outputs if index == dim else 1 for index in range(self.labels.ndim)]
        return replace(self, labels=np.repeat(np.arange(groups), outputs // groups).reshape(shape), kinds=kinds)

    def together(self, join: Join) -> Reaches | None:
        """Return what all channels together see; None where that is not known."""
        return None if self.labels is None or self.joins else self._union(self.labels, join)

    def _union(self, labels: Labels, join: Join) -> Reaches:
        return join([self.kinds[label] for label in np.unique(_compact(labels))])

    def differ(self) -> bool:
        """Tell whether any channel sees other than the rest."""
        if self.labels is None:
            return True
        labels = np.unique(_compact(self.labels))
        if self.joins:
            return len(labels) > 1
        first, *others = (self.kinds[label] for label in labels)
        return any(not one.same(other) for kind in others for one, other in zip(first, kind, strict=True))

    def differ_along(self, dim: int) -> bool:
        """Tell whether any sees other than one beside it along `dim`, as far as is known."""
        if self.labels is None:
            return True
        labels = _compact(self.labels)
        return labels.shape[dim] > 1 and bool((labels != labels.take([0], axis=dim)).any())

    def differ_only_along(self, dims: Sequence[int]) -> bool:
        """Tell whether those that have met all others along `dims` see all that any of them does."""
        if self.labels is None:
            return False
        labels = _compact(self.labels)
        others = [dim for dim in range(labels.ndim) if dim not in dims]
        return all(labels.shape[dim] == 1 or bool((labels == labels.take([0], axis=dim)).all()) for dim in others)


UNKNOWN = Channels()


def pairs(shape: Sequence[int], joins: str) -> Channels:
    """Return channels of `shape` that along the last dimension stand for positions of the image."""
    return Channels(np.broadcast_to(np.arange(shape[-1]), shape), joins=joins) if prod(shape) else UNKNOWN


def side_by_side(operands: Sequence[Channels | Reaches], shapes: Sequence[Sequence[int]], dim: int) -> Channels:
    """Return the channels of tensors laid one after the other along `dim`; `shapes` are those of their channels."""
    labels, kinds = [], list[Reaches]()
    for operand, shape in zip(operands, shapes, strict=True):
        if isinstance(operand, Channels):
            if operand.labels is None or operand.joins:
                return UNKNOWN
            labels.append(operand.labels + len(kinds) if kinds else operand.labels)
            kinds.extend(operand.kinds)
        else:
            labels.append(np.broadcast_to(np.int64(len(kinds)), shape))
            kinds.append(operand)
    full = [max(column) for column in zip(*(item.shape for item in labels), strict=True)]
    # A dimension along which no channels differ takes no memory, be it as long as a side of the image.
    compact = [_compact(item) for item in labels]
    varied = [max(column) for column in zip(*(item.shape for item in compact), strict=True)]
    if prod(varied[:dim] + varied[dim + 1 :]) * sum(item.shape[dim] for item in labels) > _MOST_LABELS:
        return UNKNOWN
    spread = [
        np.broadcast_to(item, [*varied[:dim], whole.shape[dim], *varied[dim + 1 :]])
        for item, whole in zip(compact, labels, strict=True)
    ]
    joined = np.concatenate(spread, axis=dim)
    return Channels(np.broadcast_to(joined, [*full[:dim], joined.shape[dim], *full[dim + 1 :]]), tuple(kinds))


def element_by_element(operands: Sequence[Channels | Reaches], shape: Sequence[int], join: Join) -> Channels:
    """Return the channels of an elementwise operator over tensors that are broadcast to channels of a `shape`."""
    given = [
        operand if isinstance(operand, Channels) else Channels(np.zeros(1, np.int64), (operand,))
        for operand in operands
    ]
    labels = []
    for channels in given:
        if channels.labels is None:
            return UNKNOWN
        try:
            labels.append(_compact(np.broadcast_to(channels.labels, shape)))
        except ValueError:
            return UNKNOWN
    varied = np.broadcast_shapes(*(item.shape for item in labels))
    if prod(varied) > _MOST_LABELS:
        return UNKNOWN
    columns = [np.broadcast_to(item, varied).ravel() for item in labels]
    combinations, inverse = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    together = np.broadcast_to(inverse.reshape(varied), shape)
    if joins := next((channels.joins for channels in given if channels.joins), None):
        return Channels(together, joins=joins)
    if len(combinations) > _MOST_KINDS:
        return UNKNOWN
    kinds = (join([own.kinds[label] for own, label in zip(given, row, strict=True)]) for row in combinations)
    return Channels(together, tuple(kinds))


def _compact(labels: Labels) -> Labels:
    """Return the labels without the repetitions that take no memory: one position along those dimensions."""
    return labels[tuple(slice(0, 1) if step == 0 else slice(None) for step in labels.strides)]
