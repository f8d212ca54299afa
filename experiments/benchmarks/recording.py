"""What recording costs a run: the whole of `whydeep train` against the same training without a record.

python -m experiments.benchmarks.recording [pairs=3] [KEY=VALUE …]

Keys are those of `whydeep train`; ResNet-20 on CIFAR-10 by default, so `data_dir=FOLDER` must hold it. Both load the
same data, build the same network, train, validate, keep their checkpoints and test. The recorded run writes its
journal, sends it to MLflow (SQLite), takes the measures that need weights, collects its provenance and draws its
pictures; the other one does none of it. What is compared is the processor time of the process, all of its threads,
until the store has everything.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from experiments.arguments import split_arguments
from experiments.benchmarks.counts import whole
from experiments.benchmarks.pairs import in_turn
from experiments.errors import UserError
from experiments.runs import processes
from experiments.runs.build import assemble
from experiments.runs.chatter import quiet
from experiments.runs.configuration import compose
from experiments.runs.execute import execute
from experiments.runs.training import train

DEFAULTS = ("model=resnet20", "datamodule=cifar10", "datamodule.few_samples=500", "trainer.max_epochs=5")


def recorded(cfg: DictConfig) -> float:
    """Return the processor seconds of a run as `whydeep train` makes it."""
    began = time.process_time()
    execute(cfg, progress=False)
    return time.process_time() - began


def unrecorded(cfg: DictConfig) -> float:
    """Return the processor seconds of the same training, of which nothing but checkpoints is kept."""
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, processes.left_as_found():
        train(assemble(cfg), Path(folder), processes.Silence(), None, name=None)
    return time.process_time() - began


def main(argv: Sequence[str]) -> int:
    """Measure and print the ratio, pair by pair.

    Raises:
        UserError: `pairs` is no whole number of at least 1, or the run cannot be.
    """
    keys, overrides = split_arguments(argv, {"pairs": "3"})
    pairs = whole("pairs", str(keys["pairs"]))
    given = {override.partition("=")[0] for override in overrides}
    settings = [*(each for each in DEFAULTS if each.partition("=")[0] not in given), *overrides]
    with tempfile.TemporaryDirectory() as folder:
        cfg = compose([*settings, f"runs_dir={folder}", "rerun=true"])
        short = compose([*settings, f"runs_dir={folder}", "rerun=true", "trainer=debug"])
        # Imports, the store's tables, the pictures in memory.
        recorded(short)
        unrecorded(short)
        found = in_turn(pairs, lambda: recorded(cfg), lambda: unrecorded(cfg))
    print(f"processor seconds, whole runs: {' '.join(settings)}")
    for number, (ours, bare) in enumerate(found, start=1):
        print(f"  pair {number}: recorded {ours:.1f}, unrecorded {bare:.1f}, ratio {ours / bare:.3f}")
    ratios = [ours / bare for ours, bare in found]
    extra = statistics.median(ours - bare for ours, bare in found)
    print(
        f"recorded / unrecorded: median {statistics.median(ratios):.3f}, from {min(ratios):.3f} to {max(ratios):.3f}, "
        f"{pairs} pairs; recording took {extra:.1f} processor seconds"
    )
    return 0


if __name__ == "__main__":
    quiet()
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
