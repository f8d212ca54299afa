"""The memory of one training step is kept for the next one, not given back to the system and asked for again."""

import ctypes
import sys
from functools import cache

# malloc.h of the GNU C library.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Have the C library keep what this process frees; once a process, and for all of its life.

    By default it maps every large block anew and unmaps it when it is freed: the system must then clear each page of
    every feature map in every step. Without, the process keeps the most that it ever needed, and computes the same.

    Returns:
        Whether the C library took it; only GNU's is known.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no such function
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
