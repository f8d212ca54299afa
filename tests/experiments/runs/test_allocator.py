"""Freed memory is kept where the C library can be told so: a step after the first asks the system for none."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from experiments.runs.allocator import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(3)
def step():
    return float(np.ones(16_000_000, np.float32)[::1024].sum())
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(mode: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("this C library cannot be told to keep freed memory")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_memory_that_was_freed_is_used_again() -> None:
    pages = 64_000_000 // 4096
    kept = _faults("keep")
    assert kept < pages / 10
    # Without, the same memory is cleared by the system each time.
    assert _faults("give back") > kept
