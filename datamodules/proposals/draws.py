"""Random fractions that are a function of a key, as all random numbers here."""

import numpy as np
from numpy.typing import NDArray

from datamodules.randomness import key_digest

FRACTION_BITS = 53  # what a float64 holds exactly


class Draws:
    """An endless row of numbers from 0 to just below 1 that depends on `key` alone."""

    def __init__(self, *key: str | int) -> None:
        # Only Philox's raw words: their stream is what NumPy promises to keep (NEP 19).
        self._philox = np.random.Philox(key=int.from_bytes(key_digest(*key), "little"))

    def next(self, count: int) -> NDArray[np.float64]:
        """Return the next `count` numbers, `(count,)`."""
        words = np.asarray(self._philox.random_raw(count), dtype=np.uint64)
        return (words >> np.uint64(64 - FRACTION_BITS)) / 2.0**FRACTION_BITS
