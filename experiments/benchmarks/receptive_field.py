"""Receptive fields of random networks: what the measures say against the gradient of single units.

python -m experiments.benchmarks.receptive_field [networks=500] [seed=0] [units=48]

Every second network is drawn also of operators whose windows depend on the input's size, are all of it, or lie
elsewhere than their units. After every layer of every network two comparisons: what `units` drawn units see of an
image, borders included; and, in an image large enough, the windows of units far from every border, with the size,
stride and padding that follow from these where they are a whole period without holes. Where a map has no such unit, as
all of its units look beyond a border, it is counted and said. Equality counts; where the measures give a bound, a unit
that exceeds it counts as a mismatch. Exit code 1 if there is any.
"""

import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from torch import nn

from experiments.arguments import split_arguments
from experiments.benchmarks.comparison import compare_seen, compare_windows
from experiments.benchmarks.random_networks import drawn
from experiments.errors import UserError
from experiments.measures.network import measure
from experiments.measures.sight import AXES

SEEDS_APART = 1_000_000


@dataclass
class Tally:
    """What all comparisons came to; `windows` counts why none were compared, or the empty string if some were.

    `numbers` counts layers after which size, stride and padding were compared along both axes.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    windows: Counter[str] = field(default_factory=Counter)
    numbers: int = 0
    units: int = 0
    mismatches: list[str] = field(default_factory=list)
    measure_seconds: list[float] = field(default_factory=list)
    oracle_seconds: list[float] = field(default_factory=list)


def compare(seed: int, most_units: int, tally: Tally) -> None:
    """Compare one random network, layer by layer."""
    network, shape = drawn(seed, wider=bool(seed % 2))
    assert isinstance(network, nn.Sequential)  # noqa: S101 - as it is drawn
    began = time.process_time()
    measure(network, shape)
    tally.measure_seconds.append(time.process_time() - began)
    oracle_seconds = 0.0
    for depth in range(1, len(network) + 1):
        part = network[:depth]
        seen, windows = compare_seen(part, shape, most_units), compare_windows(part, shape)
        tally.statuses[seen.status.value] += 1
        tally.windows[windows.why_none] += 1
        tally.numbers += windows.numbers_along == len(AXES)
        tally.units += seen.units + windows.units
        oracle_seconds += windows.oracle_seconds
        for text in (*seen.mismatches, *windows.mismatches):
            tally.mismatches.append(f"network {seed}, after layer {depth}: {text}")
    tally.oracle_seconds.append(oracle_seconds)


def main(argv: list[str]) -> int:
    """Compare and print what came of it; return the exit code.

    Raises:
        UserError: an unknown key, or a value that is no whole number of at least 0.
    """
    keys, others = split_arguments(argv, {"networks": "500", "seed": "0", "units": "48"})
    if others:
        raise UserError(f"{others[0]}: unknown key; allowed: {', '.join(keys)}")
    for name, value in keys.items():
        if value is None or not value.isdecimal():
            raise UserError(f"{name}={value}: must be a whole number")
    networks, seed, units = (int(str(value)) for value in keys.values())
    tally = Tally()
    for number in range(networks):
        compare(seed * SEEDS_APART + number, units, tally)
    for text in tally.mismatches:
        print(text)
    layers = tally.statuses.total()
    counts = ", ".join(f"{status} {count}" for status, count in tally.statuses.most_common())
    print(f"{networks} networks, {layers} layers ({counts}), {tally.units} units: {len(tally.mismatches)} mismatches")
    if networks:
        none = "".join(f", {count} not ({why})" for why, count in tally.windows.most_common() if why)
        print(f"windows far from every border: compared after {tally.windows['']} layers{none}")
        print(f"of these, size, stride and padding along both axes: compared after {tally.numbers} layers")
        ratios = [theirs / ours for ours, theirs in zip(tally.measure_seconds, tally.oracle_seconds, strict=True)]
        print(
            "processor seconds a network, median: "
            f"measures {statistics.median(tally.measure_seconds):.4f} (all layers), "
            f"gradients {statistics.median(tally.oracle_seconds):.3f} (windows alone), "
            f"ratio {statistics.median(ratios):.0f}, from {min(ratios):.0f} to {max(ratios):.0f}"
        )
    return int(bool(tally.mismatches))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
