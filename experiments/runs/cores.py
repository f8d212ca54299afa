"""How many processor cores a process may take."""

import os

SHARE = "WHYDEEP_CORES"


def cores() -> int:
    """Return this process's share of the machine, where it is one of several workers; else all that it may run on."""
    if (share := os.environ.get(SHARE, "")).isdigit():
        return max(1, int(share))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
