"""Which samples make up which batch, on which process: a function of (seed, epoch, position) alone."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch.utils.data.distributed import DistributedSampler

from datamodules.errors import DataError
from datamodules.randomness import IndexArray, permutation


class BatchRequest(NamedTuple):
    """One batch of one process; the epoch travels with it, so that it reaches workers that live for many epochs."""

    epoch: int
    indices: IndexArray


class TrainingSampler(DistributedSampler[BatchRequest]):
    """Cuts each epoch's order into global batches and hands every process its share.

    The order of an epoch depends on (seed, epoch) alone; of each global batch of `batch_size` samples, process r of w
    takes every w-th one, beginning with the r-th. An incomplete last batch is left out, so that all batches, and all
    processes, weigh the same; where the split is smaller than one batch, it is the batch.

    Its parent is how Lightning recognises a sampler that knows about processes, and leaves it alone.

    Args:
        indices: samples of the training split, `(n,)`.
        batch_size: samples per global batch, over all processes.
        seed: of the order.
        rank: this process, `0 … world_size - 1`.
        world_size: number of processes.
        position: global batches of this epoch that are trained on already, asked when an epoch begins.

    Raises:
        DataError: the global batch cannot be shared evenly between the processes.
    """

    def __init__(
        self,
        indices: IndexArray,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        position: Callable[[], int] = lambda: 0,
    ) -> None:
        # The parent asks its data set for nothing but the length.
        super().__init__(indices, num_replicas=world_size, rank=rank, seed=seed)  # type: ignore[arg-type]
        if batch_size % world_size:
            raise DataError(f"batch_size={batch_size}: must be a multiple of the {world_size} processes that share it")
        self.batch_size = min(batch_size, len(indices))
        if self.batch_size % world_size:
            raise DataError(
                f"batch_size={batch_size}: the {len(indices)} training samples are one batch, "
                f"which {world_size} processes cannot share evenly"
            )
        self._indices = indices
        self._position = position

    def __len__(self) -> int:
        """Return the batches of a whole epoch, also of one that is resumed in its middle."""
        return len(self._indices) // self.batch_size

    def __iter__(self) -> Iterator[BatchRequest]:
        order = self._indices[permutation(len(self._indices), "order", self.seed, self.epoch)]
        for batch in range(self._position(), len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield BatchRequest(self.epoch, chosen[self.rank :: self.num_replicas])


class EvaluationSampler(DistributedSampler[BatchRequest]):
    """Hands out every sample exactly once over all processes, in order, with no padding.

    Processes may get different numbers of samples: what is measured must be summed, not averaged, over them.

    Args:
        indices: samples of the split, `(n,)`.
        batch_size: samples per global batch, over all processes.
        rank: this process, `0 … world_size - 1`.
        world_size: number of processes.

    Raises:
        DataError: there are fewer samples than processes.
    """

    def __init__(self, indices: IndexArray, *, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        super().__init__(indices, num_replicas=world_size, rank=rank, shuffle=False)  # type: ignore[arg-type]
        if len(indices) < world_size:
            raise DataError(f"{len(indices)} samples to evaluate cannot be shared between {world_size} processes")
        self._share = indices[rank::world_size]
        self._batch_size = max(batch_size // world_size, 1)

    def __len__(self) -> int:
        """Return this process's number of batches."""
        return math.ceil(len(self._share) / self._batch_size)

    def __iter__(self) -> Iterator[BatchRequest]:
        for batch in range(len(self)):
            yield BatchRequest(0, self._share[batch * self._batch_size : (batch + 1) * self._batch_size])
