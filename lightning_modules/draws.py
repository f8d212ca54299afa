"""Random numbers that are functions of a key: what a training that is resumed draws as one never interrupted would."""

import hashlib

import numpy as np
from numpy.typing import NDArray

FRACTION_BITS = 53  # what a float64 holds exactly


def fractions(count: int, *key: str | int) -> NDArray[np.float64]:
    """Return numbers from 0 to just below 1, `(count,)`, that depend on `key` alone."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()
    # Only Philox's raw words: their stream is what NumPy promises to keep (NEP 19).
    words = np.asarray(np.random.Philox(key=int.from_bytes(digest, "little")).random_raw(count), dtype=np.uint64)
    return (words >> np.uint64(64 - FRACTION_BITS)) / 2.0**FRACTION_BITS
