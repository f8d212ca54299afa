"""Several arrays of pictures under one row of indices."""

from collections.abc import Sequence

import numpy as np

from datamodules.randomness import IndexArray
from datamodules.storage import Pictures


class JoinedStore:
    """Pictures of several arrays, one array after the other, none of which is copied.

    Args:
        arrays: uint8 `(N, C, H, W)` each, alike but for N.
    """

    def __init__(self, arrays: Sequence[Pictures]) -> None:
        self._arrays = arrays
        self._ends = np.cumsum([len(array) for array in arrays])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, indices: IndexArray) -> Pictures:
        """Return the pictures at `indices`, `(n,)`, as a new array `(n, C, H, W)`."""
        pictures = np.empty((len(indices), *self._arrays[0].shape[1:]), dtype=np.uint8)
        numbers = np.searchsorted(self._ends, indices, side="right")
        for number in np.unique(numbers):
            chosen, array = numbers == number, self._arrays[number]
            pictures[chosen] = array[indices[chosen] - (self._ends[number] - len(array))]
        return pictures
