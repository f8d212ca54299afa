"""Random numbers that are a function of a key: the same in every process, in any order of calls."""

import hashlib

import numpy as np
from numpy.typing import NDArray

IndexArray = NDArray[np.int64]


def key_digest(*key: str | int) -> bytes:
    """Return the 16 bytes that stand for `key`; different keys give independent streams."""
    return hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=16).digest()


def permutation(count: int, *key: str | int) -> IndexArray:
    """Return a permutation of `0 … count - 1`, `(count,)`, that depends on `count` and `key` alone.

    It sorts Philox's raw output, a stream that NumPy promises to keep (NEP 19), unlike `Generator.permutation`.
    """
    stream = np.random.Philox(key=int.from_bytes(key_digest(*key), "little"))
    return np.argsort(stream.random_raw(count), kind="stable").astype(np.int64, copy=False)
