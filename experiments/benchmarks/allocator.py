"""What it saves to keep freed memory from one training step to the next, instead of asking the system for it again.

python -m experiments.benchmarks.allocator [pairs=5] [size=64] [steps=6]

`steps` training steps of a batch of 128 pictures of `size` pixels on one thread, with and without
`runs.allocator.keep_freed_memory`, each in a process of its own, since a process cannot take it back; in turn, in an
order that changes with every pair. Processor seconds, of which those of the system are what clearing pages costs.
"""

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from experiments.benchmarks.counts import counts_of
from experiments.benchmarks.pairs import in_turn
from experiments.errors import UserError
from experiments.runs.allocator import keep_freed_memory

DEFAULTS = {"pairs": 5, "size": 64, "steps": 6}
WARM_UP = 2
BATCH = 128
KEEP, GIVE_BACK = "keep", "give-back"


class Spent(NamedTuple):
    """Processor seconds of a process: its own, and the system's for it."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Of both."""
        return self.user + self.system


def steps_of(size: int, steps: int) -> Spent:
    """Train a small network in this process and return what its steps took, after those that warm up."""
    import torch  # noqa: PLC0415 - the process that only starts others need not wait for it
    import torch.nn.functional as F  # noqa: PLC0415

    from lightning_modules.networks.filter_stack import FilterStack  # noqa: PLC0415

    torch.set_num_threads(1)
    network = FilterStack(num_classes=10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    images, labels = torch.randn(BATCH, 3, size, size), torch.randint(0, 10, (BATCH,))
    began = resource.getrusage(resource.RUSAGE_SELF)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            began = resource.getrusage(resource.RUSAGE_SELF)
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(images), labels))
        optimizer.step()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    return Spent(ended.ru_utime - began.ru_utime, ended.ru_stime - began.ru_stime)


def in_a_process(mode: str, size: int, steps: int) -> Spent:
    """Return what the steps take in a fresh process.

    Raises:
        RuntimeError: it fails.
    """
    command = [sys.executable, "-m", __spec__.name, mode, str(size), str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr)
    user, system = map(float, done.stdout.split())
    return Spent(user, system)


def main(argv: Sequence[str]) -> int:
    """Measure and print the ratios, pair by pair.

    Raises:
        UserError: a key that is no whole number of at least 1, or a C library that keeps nothing.
    """
    if argv and argv[0] in (KEEP, GIVE_BACK):
        if argv[0] == KEEP and not keep_freed_memory():
            raise UserError("this C library cannot be told to keep freed memory")
        print(*steps_of(int(argv[1]), int(argv[2])))
        return 0
    pairs, size, steps = counts_of(argv, DEFAULTS)
    found = in_turn(pairs, lambda: in_a_process(KEEP, size, steps), lambda: in_a_process(GIVE_BACK, size, steps))
    print(f"{steps} steps of {BATCH} pictures of {size} px; processor seconds (of which the system's)")
    for number, (kept, given) in enumerate(found, start=1):
        print(
            f"  pair {number}: kept {kept.total:.2f} ({kept.system:.2f}), given back {given.total:.2f} "
            f"({given.system:.2f}), ratio {kept.total / given.total:.2f}"
        )
    ratios = [kept.total / given.total for kept, given in found]
    print(f"kept / given back: median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"allocator: error: {error}", file=sys.stderr)
        sys.exit(2)
