"""What single channels see, where they differ: after concatenation, until something mixes all of them.

Everywhere else a unit stands for all channels at its place, and sees what any of them does. That is too much for a part
of the channels, as in ShuffleNet, where half of them go on (Ma et al., "ShuffleNet V2", 2018, section 3).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from experiments.measures.reach import Reach

Reaches = tuple[Reach, Reach]
Join = Callable[[Sequence[Reaches]], Reaches]

# More kinds than any known network has; past it, channels are known to differ and no more.
_MOST_KINDS = 1024


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels (plain positions) of a tensor by what they see.

    `labels` has the tensor's dimensions, those of the image's axes left out; `kinds[label]` is what a channel sees
    along y and x. Without `labels`, channels are known to differ and no more.
    """

    labels: npt.NDArray[np.int64] | None = None
    kinds: tuple[Reaches, ...] = ()

    def each(self, change: Callable[[Reaches], Reaches]) -> "Channels":
        """Return the channels after the same change to every kind."""
        return replace(self, kinds=tuple(map(change, self.kinds)))

    def arranged(self, shape: Sequence[int]) -> "Channels":
        """Return the channels in the same order, or repeated along dimensions of one, in dimensions of these sizes."""
        if self.labels is None:
            return self
        if self.labels.size == np.prod(shape, dtype=int):
            return replace(self, labels=self.labels.reshape(shape))
        try:
            return replace(self, labels=np.broadcast_to(self.labels, shape))
        except ValueError:
            return UNKNOWN

    def permuted(self, order: Sequence[int]) -> "Channels":
        """Return the channels with their dimensions in another order."""
        return self if self.labels is None else replace(self, labels=self.labels.transpose(order))

    def taken(self, dim: int, index: npt.NDArray[np.int64]) -> "Channels":
        """Return some of the channels along a dimension, in the order of their `index`."""
        return self if self.labels is None else replace(self, labels=self.labels.take(index, axis=dim))

    def in_groups(self, dim: int, groups: int, outputs: int, join: Join) -> "Channels":
        """Return `outputs` channels, each of which has met those of its group along dimension `dim`."""
        if self.labels is None or self.labels.size != self.labels.shape[dim]:
            return UNKNOWN
        kinds = tuple(self._union(labels, join) for labels in self.labels.reshape(groups, -1))
        shape = [outputs if index == dim else 1 for index in range(self.labels.ndim)]
        return replace(self, labels=np.repeat(np.arange(groups), outputs // groups).reshape(shape), kinds=kinds)

    def together(self, join: Join) -> Reaches | None:
        """Return what all channels together see; None where that is not known."""
        return None if self.labels is None else self._union(self.labels, join)

    def _union(self, labels: npt.NDArray[np.int64], join: Join) -> Reaches:
        return join([self.kinds[label] for label in np.unique(labels)])

    def differ(self) -> bool:
        """Tell whether any channel sees other than the rest."""
        if self.labels is None:
            return True
        first, *others = (self.kinds[label] for label in np.unique(self.labels))
        return any(not one.same(other) for kind in others for one, other in zip(first, kind, strict=True))


UNKNOWN = Channels()


def side_by_side(operands: Sequence[Channels | Reaches], shapes: Sequence[Sequence[int]], dim: int) -> Channels:
    """Return the channels of tensors laid one after the other along `dim`; `shapes` are those of their channels."""
    labels, kinds = [], list[Reaches]()
    for operand, shape in zip(operands, shapes, strict=True):
        if isinstance(operand, Channels):
            if operand.labels is None:
                return UNKNOWN
            labels.append(operand.labels + len(kinds))
            kinds.extend(operand.kinds)
        else:
            labels.append(np.full(shape, len(kinds)))
            kinds.append(operand)
    sizes = [list(item.shape) for item in labels]
    full = [max(column) for column in zip(*sizes, strict=True)]
    spread = [np.broadcast_to(item, [*full[:dim], item.shape[dim], *full[dim + 1 :]]) for item in labels]
    return Channels(np.concatenate(spread, axis=dim), tuple(kinds))


def element_by_element(operands: Sequence[Channels | Reaches], shape: Sequence[int], join: Join) -> Channels:
    """Return the channels of an elementwise operator over tensors that are broadcast to channels of a `shape`."""
    labels, kinds = [], []
    for operand in operands:
        given = operand if isinstance(operand, Channels) else Channels(np.zeros(1, np.int64), (operand,))
        if given.labels is None:
            return UNKNOWN
        try:
            labels.append(np.broadcast_to(given.labels, shape).ravel())
        except ValueError:
            return UNKNOWN
        kinds.append(given.kinds)
    combinations, inverse = np.unique(np.stack(labels, axis=1), axis=0, return_inverse=True)
    if len(combinations) > _MOST_KINDS:
        return UNKNOWN
    pairs = tuple(join([own[label] for own, label in zip(kinds, row, strict=True)]) for row in combinations)
    return Channels(inverse.reshape(shape), pairs)
