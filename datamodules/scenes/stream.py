"""The random numbers of one scene: the same on every machine, in any order of calls.

Only Philox's raw words are used, whose stream NumPy promises to keep (NEP 19); what `Generator` makes of them may
change from one version of NumPy to the next. Floats are words divided by a power of two, which is exact.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from datamodules.randomness import key_digest

Item = TypeVar("Item")

_FRACTION_BITS = 24  # what a float32 holds exactly


class Stream:
    """An endless row of random numbers that depends on `index` and `key` alone.

    Args:
        index: of the scene.
        key: whatever else tells this stream from others: version, seed, split, purpose.
    """

    def __init__(self, index: int, *key: str | int) -> None:
        digest = int.from_bytes(key_digest(*key), "little")
        # The first two words of the counter count; the last one tells scenes of one key apart.
        self._philox = np.random.Philox(key=digest, counter=[0, 0, 0, index])

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return the next `count` words, uint64 `(count,)`."""
        return np.asarray(self._philox.random_raw(count), dtype=np.uint64)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number from `low` to just below `high`."""
        return low + (high - low) * self._fraction()

    def uniforms(self, count: int) -> NDArray[np.float32]:
        """Return `count` numbers from 0 to just below 1, float32 `(count,)`."""
        shifted = (self.words(count) >> np.uint64(64 - _FRACTION_BITS)).astype(np.float32)
        return shifted / np.float32(2**_FRACTION_BITS)

    def below(self, count: int) -> int:
        """Return a whole number from 0 to `count - 1`."""
        return int(self._philox.random_raw()) * count >> 64

    def choice(self, items: Sequence[Item]) -> Item:
        """Return one of `items`, all equally likely."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """Return `count` different ones of `items`, in random order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def chance(self, probability: float) -> bool:
        """Return true with `probability`."""
        return self._fraction() < probability

    def turn(self) -> tuple[float, float]:
        """Return cosine and sine of a random angle of the whole circle, by arithmetic that rounds alike everywhere.

        Half angles have uniform tangents from -1 to 1, so that directions near the axes are up to twice as likely.
        """
        tangent = self.uniform(-1.0, 1.0)
        cosine, sine = (1 - tangent * tangent) / (1 + tangent * tangent), 2 * tangent / (1 + tangent * tangent)
        return (cosine, sine) if self.chance(0.5) else (-cosine, -sine)

    def _fraction(self) -> float:
        return float((int(self._philox.random_raw()) >> (64 - _FRACTION_BITS)) / 2**_FRACTION_BITS)
