"""How like two finished runs of one configuration are: to the bit, within a margin, or not.

`identical`: the weights of the best checkpoint and every recorded metric, times excluded, are the same to the bit.

`equivalent`: shown by a test of equivalence (two one-sided tests at 5 %, Schuirmann 1987), not by the absence of a
difference. One pair of runs says nothing of how training varies, so the test is not over seeds but over the pictures
of the test split, each of which both networks have answered: the 90 % interval of the difference of their top-1 errors
(paired, Agresti & Min 2005) must lie within ± the margin. The margin is what the recorded result is known to vary by:
the difference that two recordings of the same experiment exceed in one of twenty pairs,

    1.96 · √2 · √(se² + s²)

where `se` is the binomial standard error of the recorded error at its number of test pictures and `s` the standard
deviation over replicates with other seeds, where at least three are known, else 0: of an experiment that was recorded
once less is known, and less passes for the same. It is fixed by what was recorded, before anything is run again.

`different`: anything else, also a difference that is merely not shown to be small enough.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy import stats

from experiments.errors import UserError
from experiments.runs.checkpoints import read_checkpoint
from experiments.runs.rerun import Disagreement
from experiments.runs.result import RunResult
from experiments.runs.weight_sources import BEST
from experiments.tracking.journal import FILE_NAME as JOURNAL
from experiments.tracking.journal import read_metrics

Answer = Literal["identical", "equivalent", "different"]

METRIC = "test/top1_error"
COMPARED = ("test/", "test_class/", "val/", "train/", "best/")
FEWEST_REPLICATES = 3
LEVEL = 0.05  # of each of the two tests; the interval is at 1 - 2 · LEVEL
Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class Spread:
    """The standard deviation, in points, of the test error over `replicates` runs with different seeds."""

    deviation: float
    replicates: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Return that of the replicates' errors (percent); `None` where they are too few to know it."""
        if len(values) < FEWEST_REPLICATES:
            return None
        return cls(float(np.std(values, ddof=1)), len(values))


@dataclass(frozen=True)
class Margin:
    """How much two recordings of one experiment may differ: `points`, made of `standard_error` and the spread."""

    points: float
    standard_error: float
    pictures: int
    spread: Spread | None


@dataclass(frozen=True)
class Interval:
    """The 90 % interval of now minus recorded, in points of top-1 error; `paired` where both answered each picture."""

    low: float
    high: float
    disagreement: Disagreement | None

    def within(self, margin: float) -> bool:
        """Whether it lies within ± `margin`."""
        return -margin < self.low and self.high < margin


@dataclass(frozen=True)
class Weights:
    """How many of the best checkpoint's tensors are the same to the bit; `furthest` names the one that is least so."""

    equal: int
    total: int
    furthest: str | None = None
    distance: float | None = None


@dataclass(frozen=True)
class Numbers:
    """How many of the recorded metrics are the same to the bit; `every_step` is false where only last values were had.

    `first` says which of those that differ was recorded first; `names` are the metrics that were compared.
    """

    equal: int
    total: int
    every_step: bool
    first: str | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Likeness:
    """Two runs compared; `weights` is `None` where a checkpoint is missing."""

    answer: Answer
    recorded: RunResult
    now: RunResult
    weights: Weights | None
    numbers: Numbers
    margin: Margin
    interval: Interval

    @property
    def rows(self) -> list[tuple[str, float, float]]:
        """The last value of each metric that both runs have: name, recorded, now; those of the test first."""
        names = [name for name in self.recorded.metrics if name.startswith(COMPARED) and name in self.now.metrics]
        names.sort(key=lambda name: next(place for place, group in enumerate(COMPARED) if name.startswith(group)))
        return [(name, self.recorded.metrics[name], self.now.metrics[name]) for name in names]


def compare(
    recorded_dir: Path, now_dir: Path, *, disagreement: Disagreement | None = None, spread: Spread | None = None
) -> Likeness:
    """Compare two finished runs.

    Args:
        recorded_dir: the run that stands for the record.
        now_dir: the run that was made of it.
        disagreement: where their networks' answers on the test split differ; without it the interval is that of two
            independent tests, which is wider.
        spread: over replicates of the recorded run, where it is known.

    Raises:
        UserError: one of them is not finished, or has no test error.
    """
    recorded, now = finished(recorded_dir), finished(now_dir)
    weights = compare_weights(recorded_dir / BEST, now_dir / BEST)
    numbers = compare_numbers(recorded, now)
    pictures = test_pictures(recorded_dir)
    margin = margin_of(recorded.metrics[METRIC], pictures, spread)
    interval = interval_of(recorded.metrics[METRIC], now.metrics[METRIC], pictures, disagreement)
    answer: Answer = "different"
    if numbers.equal == numbers.total and (weights is None or weights.equal == weights.total):
        answer = "identical"
    elif interval.within(margin.points):
        answer = "equivalent"
    return Likeness(answer, recorded, now, weights, numbers, margin, interval)


def finished(run_dir: Path) -> RunResult:
    """Return the result of the run in `run_dir`.

    Raises:
        UserError: it is not finished, or was not tested.
    """
    result = RunResult.read(run_dir)
    if result is None or result.status != "FINISHED":
        state = "has no result" if result is None else f"is {result.status}"
        why = "" if result is None or not result.reason else f" ({result.reason.splitlines()[0]})"
        raise UserError(f"run={run_dir.name}: {state}{why}; only a finished run can be reproduced")
    if METRIC not in result.metrics:
        raise UserError(f"run={run_dir.name}: recorded no {METRIC}; there is nothing to compare")
    return result


def test_pictures(run_dir: Path) -> int:
    """Return how many pictures the run's test counted.

    Raises:
        UserError: it is not written down.
    """
    try:
        table = run_dir / "test_classes.json"
        if table.is_file():
            return sum(map(sum, json.loads(table.read_text(encoding="utf-8"))["confusion"]))
        return int(json.loads((run_dir / "data.json").read_text(encoding="utf-8"))["samples"]["test"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{run_dir}: does not say how many pictures were tested ({error})") from error


def margin_of(error: float, pictures: int, spread: Spread | None) -> Margin:
    """Return the margin, in points, for a recorded top-1 error (percent) on that many pictures.

    Two errors and two right answers are added (Agresti & Coull 1998): of no error at all nobody knows it to be so.
    """
    rate = (error / 100 * pictures + 2) / (pictures + 4)
    standard_error = 100 * math.sqrt(rate * (1 - rate) / (pictures + 4))
    deviation = 0.0 if spread is None else spread.deviation
    return Margin(Z * math.sqrt(2 * (standard_error**2 + deviation**2)), standard_error, pictures, spread)


def interval_of(recorded: float, now: float, pictures: int, disagreement: Disagreement | None) -> Interval:
    """Return the 90 % interval, in points, of the top-1 error `now` minus `recorded` (percent).

    Paired where the disagreement is known (Agresti & Min 2005: half a picture is added to each of the four cells),
    else that of two independent tests (Agresti & Caffo 2000: an error and a right answer are added to each).
    """
    z = float(stats.norm.ppf(1 - LEVEL))
    if disagreement is not None:
        n = disagreement["pictures"] + 2
        only_recorded, only_now = disagreement["recorded_alone"] + 0.5, disagreement["now_alone"] + 0.5
        centre = (only_now - only_recorded) / n
        error = math.sqrt((only_now + only_recorded) / n - centre**2) / math.sqrt(n)
    else:
        before, after = ((value / 100 * pictures + 1) / (pictures + 2) for value in (recorded, now))
        centre = after - before
        error = math.sqrt((before * (1 - before) + after * (1 - after)) / (pictures + 2))
    return Interval(100 * (centre - z * error), 100 * (centre + z * error), disagreement)


def compare_weights(recorded: Path, now: Path) -> Weights | None:
    """Compare the tensors of two checkpoints bit by bit; `None` where one is missing.

    Raises:
        UserError: a checkpoint is damaged.
    """
    if not (recorded.is_file() and now.is_file()):
        return None
    before, after = (read_checkpoint(path, str(path)).tensors for path in (recorded, now))
    names = [*before, *(name for name in after if name not in before)]
    unlike = [name for name in names if not _same_bits(before.get(name), after.get(name))]
    distances = {name: _distance(before.get(name), after.get(name)) for name in unlike}
    if not distances:
        return Weights(len(names), len(names))
    furthest = max(distances, key=lambda name: distances[name])
    return Weights(len(names) - len(unlike), len(names), furthest, distances[furthest])


def compare_numbers(recorded: RunResult, now: RunResult) -> Numbers:
    """Compare what two runs measured, bit by bit: every step where both have their journals, else the last values.

    A value that only one of them has is a difference; a metric that the recorded run knows nothing of is none.
    """
    dirs = (recorded.run_dir, now.run_dir)
    every_step = all((run_dir / JOURNAL).is_file() for run_dir in dirs)
    if every_step:
        before, after = (_journal(run_dir) for run_dir in dirs)
    else:
        before, after = (
            {(name, 0): value for name, value in result.metrics.items() if name.startswith(COMPARED)}
            for result in (recorded, now)
        )
    known = {name for name, _ in before}
    points = [*before, *(point for point in after if point not in before and point[0] in known)]
    unlike = [point for point in points if bits(before.get(point)) != bits(after.get(point))]
    first = None
    if unlike:
        # What the training measured comes before what was measured of its outcome.
        earliest = min(unlike, key=lambda point: (not point[0].startswith(("train/", "val/")), point[1]))
        where = f"{earliest[0]} at step {earliest[1]}" if every_step else earliest[0]
        first = f"{where}: {before.get(earliest, 'nothing')} → {after.get(earliest, 'nothing')}"
    return Numbers(len(points) - len(unlike), len(points), every_step, first, tuple(sorted(known)))


def _journal(run_dir: Path) -> dict[tuple[str, int], float]:
    """Return what a run measured, by name and step; of a step that was gone over again, the last value."""
    table = read_metrics(run_dir)
    table = table[table["key"].str.startswith(COMPARED)]
    return {
        (str(key), int(step)): float(value)
        for key, step, value in zip(table["key"], table["step"], table["value"], strict=True)
    }


def bits(value: float | None) -> bytes | None:
    """Return a number's bits, by which it is the same or not, NaN included; `None` for none."""
    return None if value is None else np.float64(value).tobytes()


def _same_bits(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    first, second = (tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other))
    return torch.equal(first, second)


def _distance(one: torch.Tensor | None, other: torch.Tensor | None) -> float:
    """Return the largest difference of two tensors; infinite where they are not of one shape."""
    if one is None or other is None or one.shape != other.shape:
        return math.inf
    largest = (one.double() - other.double()).abs().max().item() if one.numel() else 0.0
    return math.inf if math.isnan(largest) else largest
