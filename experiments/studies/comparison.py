"""Arms compared seed by seed: means with their 95 % intervals, and contrasts paired by seed. Pure functions of data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

from experiments.errors import UserError
from experiments.studies.intervals import Estimate, estimate, has_spread

ReplicateStatus = Literal["FINISHED", "FAILED", "KILLED", "RUNNING", "NOT RUN"]


class Outcome(Protocol):
    """What a run left: read from its directory (`RunResult`), or from MLflow."""

    @property
    def run_id(self) -> str | None:
        """MLflow's; `None` while the store has not been reached."""

    @property
    def identity(self) -> str:
        """What makes it the same run wherever it is found."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Last values by name."""

    @property
    def measures(self) -> Mapping[str, float]:
        """Of its network."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` at which MACs were counted."""


@dataclass(frozen=True)
class Replicate:
    """What became of one planned run; `result` is `None` when there is none to read, `reason` says why."""

    arm: str
    seed: int
    status: ReplicateStatus
    result: Outcome | None
    reason: str | None
    command: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What the run is found by: the MLflow run id, or the identity while the store has not answered."""
        if self.result is None:
            return "none"
        return self.result.run_id or f"identity {self.result.identity}"


@dataclass(frozen=True)
class ArmSummary:
    """One arm: `metric` and `seconds` (of training) over the replicates that count, whose values are `by_seed`.

    `measures` are of the network at `input_shape` `(C, H, W)`; empty and `None` while no run has finished.
    """

    name: str
    is_baseline: bool
    replicates: tuple[Replicate, ...]
    by_seed: Mapping[int, float]
    metric: Estimate | None
    seconds: Estimate | None
    measures: Mapping[str, float]
    input_shape: tuple[int, int, int] | None

    @property
    def n(self) -> int:
        """How many replicates the mean is of."""
        return len(self.by_seed)

    @property
    def counted(self) -> tuple[Replicate, ...]:
        """The replicates that the mean is of."""
        return tuple(replicate for replicate in self.replicates if replicate.seed in self.by_seed)

    @property
    def missing(self) -> tuple[Replicate, ...]:
        """The replicates that the mean lacks; each has a reason."""
        return tuple(replicate for replicate in self.replicates if replicate.seed not in self.by_seed)


@dataclass(frozen=True)
class Contrast:
    """`arm` minus `baseline`, seed by seed; `unpaired` are the seeds that one of the two lacks."""

    arm: str
    baseline: str
    differences: Mapping[int, float]
    unpaired: tuple[int, ...]

    @cached_property
    def effect(self) -> Estimate | None:
        """The mean difference with its interval."""
        return estimate(list(self.differences.values()))

    @property
    def has_no_spread(self) -> bool:
        """Whether all differences are the same number, but for rounding."""
        values = list(self.differences.values())
        return bool(values) and not has_spread(values)

    @property
    def outcome(self) -> Literal["lower", "higher", "undecided"]:
        """Whether the interval leaves out 0.

        Undecided, too, where the differences do not vary at all: then the interval has no width, which so few
        values on so coarse a scale bring about by chance.
        """
        effect = self.effect
        if effect is None or effect.low is None or effect.high is None:
            return "undecided"
        if effect.low > 0:
            return "higher"
        return "lower" if effect.high < 0 else "undecided"


@dataclass(frozen=True)
class Comparison:
    """The arms of a study and each one's contrast with the baseline, on one metric."""

    metric: str
    arms: tuple[ArmSummary, ...]
    contrasts: tuple[Contrast, ...]

    @property
    def replicates(self) -> tuple[Replicate, ...]:
        """All runs, arm by arm."""
        return tuple(replicate for arm in self.arms for replicate in arm.replicates)

    @property
    def input_shapes(self) -> frozenset[tuple[int, int, int]]:
        """The shapes `(C, H, W)` at which MACs were counted; one, unless the arms differ in it."""
        return frozenset(arm.input_shape for arm in self.arms if arm.input_shape)

    def arm(self, name: str) -> ArmSummary:
        """Return the arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)


def compare(arms: Sequence[str], baseline: str, metric: str, replicates: Sequence[Replicate]) -> Comparison:
    """Summarise `arms` and contrast each with `baseline`.

    A replicate counts when it finished and recorded a finite `metric`; any other is listed with its reason.

    Raises:
        UserError: runs finished, and none of them knows the metric.
    """
    finished = [run.result for run in replicates if run.status == "FINISHED" and run.result is not None]
    if finished and not any(metric in result.metrics for result in finished):
        known = sorted({name for result in finished for name in result.metrics})
        raise UserError(f"metric={metric}: no run recorded it; allowed: {', '.join(known)}")
    summaries = [_summary(name, name == baseline, metric, replicates) for name in arms]
    base = next(summary for summary in summaries if summary.is_baseline)
    contrasts = [_contrast(summary, base) for summary in summaries if not summary.is_baseline]
    return Comparison(metric, tuple(summaries), tuple(contrasts))


def _summary(name: str, is_baseline: bool, metric: str, replicates: Sequence[Replicate]) -> ArmSummary:
    own = [_judged(replicate, metric) for replicate in replicates if replicate.arm == name]
    own.sort(key=lambda replicate: replicate.seed)
    counted = {run.seed: run.result for run in own if run.reason is None and run.result is not None}
    by_seed = {seed: result.metrics[metric] for seed, result in counted.items()}
    seconds = [value for result in counted.values() if (value := result.metrics.get("time/train_seconds")) is not None]
    first = next(iter(counted.values()), None)
    return ArmSummary(
        name=name,
        is_baseline=is_baseline,
        replicates=tuple(own),
        by_seed=by_seed,
        metric=estimate(list(by_seed.values())),
        seconds=estimate(seconds),
        measures=first.measures if first else {},
        input_shape=first.input_shape if first else None,
    )


def _judged(replicate: Replicate, metric: str) -> Replicate:
    """Return the replicate with a reason when it cannot count, without one when it does."""
    reason: str | None = replicate.reason or "no reason recorded"
    if replicate.status == "FINISHED" and replicate.result is not None:
        value = replicate.result.metrics.get(metric)
        reason = f"recorded no {metric}" if value is None else None if math.isfinite(value) else f"{metric} is {value}"
    return replace(replicate, reason=reason)


def _contrast(arm: ArmSummary, base: ArmSummary) -> Contrast:
    paired = sorted(arm.by_seed.keys() & base.by_seed.keys())
    planned = {replicate.seed for replicate in (*arm.replicates, *base.replicates)}
    return Contrast(
        arm=arm.name,
        baseline=base.name,
        differences={seed: arm.by_seed[seed] - base.by_seed[seed] for seed in paired},
        unpaired=tuple(sorted(planned - set(paired))),
    )
