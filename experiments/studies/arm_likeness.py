"""How like an arm that was run again is to its recorded result: to the bit, within a margin, or not.

`identical`: of every replicate every recorded metric, times excluded, is the same to the bit.

`equivalent`: shown for each arm by a test of equivalence (two one-sided tests at 5 %, Schuirmann 1987), over pairs of
one seed: the 90 % interval of the mean of the differences now - recorded (Student's t over the pairs) lies within ±
the margin. The margin is known from the record alone,

    1.96 · √2 · s

the difference that two runs of the arm under different seeds exceed in one of twenty pairs; s is the standard deviation
over all of the arm's recorded seeds, and at least one picture of the test: of an error that is counted in pictures none
less is known. Where every difference is exactly zero there is nothing left to show; where all are the same other
number, or there is one pair, no spread can be estimated and equivalence is not shown.

`different`: anything else, also a difference that is merely not shown to be small enough; a replicate that fails;
another network.

Pure functions of what was read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats

from experiments.runs.likeness import LEVEL, Answer, Z, bits
from experiments.studies.comparison import ArmSummary
from experiments.studies.reference import ReferenceArm

NOTHING = "nothing"
TIMES = "time/"


@dataclass(frozen=True)
class ArmLikeness:
    """One arm, recorded and now.

    Attributes:
        name: of the arm.
        answer: of this arm.
        why: the grounds, in one sentence.
        n: pairs of one seed.
        recorded: mean of the metric over these seeds; `None` without a pair.
        now: likewise.
        interval: 90 % interval of the mean difference; `None` where no spread can be estimated.
        margin: in the metric's unit.
        deviation: over the recorded seeds; `None` for a single one.
        equal: of how many recorded numbers the bits are the same.
        total: recorded numbers of the replicates that were run again.
        seeds: of these replicates.
        compared: the metrics that these numbers are of.
    """

    name: str
    answer: Answer
    why: str
    n: int
    recorded: float | None
    now: float | None
    interval: tuple[float, float] | None
    margin: float
    deviation: float | None
    equal: int
    total: int
    seeds: tuple[int, ...]
    compared: tuple[str, ...]

    @property
    def difference(self) -> float | None:
        """The mean of the paired differences, now - recorded."""
        return None if self.now is None or self.recorded is None else self.now - self.recorded


def arm_likeness(recorded: ReferenceArm, now: ArmSummary, metric: str) -> ArmLikeness:
    """Compare an arm with its recorded result in `metric`, and in every number that is recorded of its replicates."""
    before = {run.seed: run.metrics for run in recorded.runs}
    after = {run.seed: run.result.metrics for run in now.replicates if run.status == "FINISHED" and run.result}
    shared = sorted(before.keys() & after.keys())
    pairs = {seed: (before[seed].get(metric, math.nan), after[seed].get(metric, math.nan)) for seed in shared}
    numbers = [
        (seed, name, value, after[seed].get(name))
        for seed in shared
        for name, value in before[seed].items()
        if not name.startswith(TIMES)
    ]
    unlike = [one for one in numbers if bits(one[2]) != bits(one[3])]
    # A picture more or less; metrics of another kind are not counted.
    step = 100 / recorded.made_of.pictures if metric.endswith("_error") and recorded.made_of is not None else 0.0
    values = [run.metrics[metric] for run in recorded.runs if math.isfinite(run.metrics.get(metric, math.nan))]
    margin, deviation = margin_of(values, step)
    # What is the same to the bit differs by nothing, also where it is no number.
    differences = [0.0 if bits(one) == bits(other) else other - one for one, other in pairs.values()]
    interval = interval_of(differences) if all(map(math.isfinite, differences)) else None
    answer, why = _judged(recorded, now, unlike, differences, interval, margin)
    return ArmLikeness(
        name=now.name,
        answer=answer,
        why=why,
        n=len(pairs),
        recorded=fmean(one for one, _ in pairs.values()) if pairs else None,
        now=fmean(other for _, other in pairs.values()) if pairs else None,
        interval=interval,
        margin=margin,
        deviation=deviation,
        equal=len(numbers) - len(unlike),
        total=len(numbers),
        seeds=tuple(shared),
        compared=tuple(sorted({name for _, name, _, _ in numbers})),
    )


def margin_of(values: Sequence[float], step: float) -> tuple[float, float | None]:
    """Return the margin, and the standard deviation that it is made of.

    Args:
        values: the metric of all recorded seeds.
        step: the smallest difference that the metric can show; 0 where it is not counted.
    """
    deviation = stdev(values) if len(values) > 1 else None
    return Z * math.sqrt(2) * max(deviation or 0.0, step), deviation


def interval_of(differences: Sequence[float]) -> tuple[float, float] | None:
    """Return the 90 % interval of the mean of the paired differences; `None` where they have no spread."""
    if len(differences) < 2 or len(set(differences)) == 1:  # noqa: PLR2004 - one has no spread
        return None
    n, mean = len(differences), fmean(differences)
    half = float(stats.t.ppf(1 - LEVEL, n - 1)) * stdev(differences) / math.sqrt(n)
    return mean - half, mean + half


def _judged(
    recorded: ReferenceArm,
    now: ArmSummary,
    unlike: Sequence[tuple[int, str, float, float | None]],
    differences: Sequence[float],
    interval: tuple[float, float] | None,
    margin: float,
) -> tuple[Answer, str]:
    missing = [run for run in now.replicates if run.status != "FINISHED"]
    if missing:
        first = missing[0]
        return "different", f"seed {first.seed} is {first.status.lower()} now: {first.reason}"
    for name, value in recorded.measures.items():
        if name in now.measures and bits(now.measures[name]) != bits(value):
            return "different", f"another network: {name} {value:g} → {now.measures[name]:g}"
    if not unlike:
        return "identical", "every recorded number is the same to the bit"
    seed, name, before, after = unlike[0]
    told = f"first that differs: {name} of seed {seed}, {before} → {NOTHING if after is None else after}"
    if not any(differences):
        return "equivalent", f"no difference in any seed; {told}"
    if interval is None:
        return "different", f"no spread of the differences can be estimated; {told}"
    within = -margin < interval[0] and interval[1] < margin
    return ("equivalent" if within else "different"), told
