"""How like a study that was run again is to its recorded result: to the bit, within a margin, or not.

`identical`: of every replicate every recorded metric, times excluded, is the same to the bit.

`equivalent`: shown for each arm by a test of equivalence (two one-sided tests at 5 %, Schuirmann 1987), over pairs of
one seed: the 90 % interval of the mean of the differences now - recorded (Student's t over the pairs) lies within ±
the margin. The margin is known from the record alone,

    1.96 · √2 · s

the difference that two runs of the arm under different seeds exceed in one of twenty pairs; s is the standard deviation
over all of the arm's recorded seeds, and at least one picture of the test: of an error that is counted in pictures none
less is known. All arms must pass, so that no correction is needed (each must be shown). Where every difference of
an arm is exactly zero there is nothing left to show; where all are the same other number, or there is one pair, no
spread can be estimated and equivalence is not shown.

`different`: anything else, also a difference that is merely not shown to be small enough; a replicate that fails; a
study that asks something else.

Pure functions of what was read.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from scipy import stats

from experiments.runs.ingredients import Difference, surroundings
from experiments.runs.likeness import LEVEL, Answer, Z, bits
from experiments.studies.claims_said import Judged
from experiments.studies.comparison import ArmSummary, Comparison
from experiments.studies.made_of import MadeOf, made_differences
from experiments.studies.reference import Reference, ReferenceArm

ORDER = ("code", "data", "packages", "hardware", "configuration")
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


@dataclass(frozen=True)
class VerdictThenAndNow:
    """What became of one claim; `nothing` where one of the two studies does not make it."""

    claim: str
    recorded: str
    now: str
    recorded_mean: float | None
    recorded_n: int
    now_mean: float | None
    now_n: int


@dataclass(frozen=True)
class StudyLikeness:
    """A study, recorded and now.

    Attributes:
        metric: that the arms are compared by.
        arms: those that both have.
        definition: what the study asks otherwise; each as `key: recorded → now`.
        differences: of the ingredients, in their order.
        verdicts: on the claims of both.
        known: whether the record says what it was made of.
    """

    metric: str
    arms: tuple[ArmLikeness, ...]
    definition: tuple[str, ...]
    differences: tuple[Difference, ...]
    verdicts: tuple[VerdictThenAndNow, ...]
    known: bool

    @property
    def answer(self) -> Answer:
        """That of the least like arm; another study, or a changed setting unless all bits are the same, is another."""
        answers = {arm.answer for arm in self.arms}
        if self.definition or "different" in answers or not answers:
            return "different"
        if answers == {"identical"}:
            return "identical"
        return "different" if self.changed_keys else "equivalent"

    @property
    def changed_keys(self) -> tuple[Difference, ...]:
        """Settings with another value. One that only one of two versions knows is a difference of their code."""
        return tuple(
            one
            for one in self.differences
            if one.ingredient == "configuration" and NOTHING not in (one.recorded, one.now)
        )

    @property
    def first(self) -> str | None:
        """The first that differs: of what is asked, then of the ingredients."""
        if self.definition:
            return f"definition: {self.definition[0]}"
        return str(self.differences[0]) if self.differences else None

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {
            "answer": self.answer,
            "first_difference": self.first,
            "definition": list(self.definition),
            "differences": [asdict(one) for one in self.differences],
            "metric": self.metric,
            "arms": [{**asdict(arm), "difference": arm.difference} for arm in self.arms],
            "verdicts": [asdict(one) for one in self.verdicts],
        }


def compare_studies(
    reference: Reference,
    now: Comparison,
    verdicts: Mapping[str, Judged],
    *,
    definition: Mapping[str, Any],
    made_of: Mapping[str, MadeOf],
    sessions: Sequence[Mapping[str, Any]],
) -> StudyLikeness:
    """Compare a study with its recorded result.

    Args:
        reference: the recorded result; it has all seeds of `now`.
        now: what came out now.
        verdicts: on it, by the name of the claim.
        definition: of the study as it was run now, see `reference.definition_of`.
        made_of: what its arms are made of now.
        sessions: packages and hardware of its runs.
    """
    arms = tuple(
        _arm(recorded, arm, reference.metric) for arm in now.arms if (recorded := reference.arm(arm.name)) is not None
    )
    found: list[Difference] = []
    if known := bool(reference.made_of):
        shared = {name: made for name, made in reference.made_of.items() if name in made_of}
        whole = len(shared) == len(reference.arms) == len(made_of)
        found += made_differences(shared, reference.code, made_of, whole=whole)
        if reference.sessions and sessions:
            found += surroundings(reference.sessions, sessions)
    return StudyLikeness(
        metric=reference.metric,
        arms=arms,
        definition=tuple(_asked_otherwise(reference.definition, definition)),
        differences=tuple(sorted(found, key=lambda one: ORDER.index(one.ingredient))),
        verdicts=_verdicts(reference, verdicts),
        known=known,
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


def _arm(recorded: ReferenceArm, now: ArmSummary, metric: str) -> ArmLikeness:
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


def _verdicts(reference: Reference, now: Mapping[str, Judged]) -> tuple[VerdictThenAndNow, ...]:
    before = {verdict.claim: verdict for verdict in reference.verdicts}
    rows = []
    for claim in [*before, *(name for name in now if name not in before)]:
        then, later = before.get(claim), now.get(claim)
        effect = None if later is None else later.effect
        rows.append(
            VerdictThenAndNow(
                claim=claim,
                recorded=NOTHING if then is None else then.outcome,
                now=NOTHING if later is None else later.outcome,
                recorded_mean=None if then is None else then.mean,
                recorded_n=0 if then is None else then.n,
                now_mean=None if effect is None else effect.mean,
                now_n=0 if effect is None else effect.n,
            )
        )
    return tuple(rows)


def _asked_otherwise(before: Any, after: Any, path: str = "") -> list[str]:  # noqa: ANN401 - whatever a study holds
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return [
            line
            for key in [*before, *(key for key in after if key not in before)]
            for line in _asked_otherwise(
                before.get(key, NOTHING), after.get(key, NOTHING), f"{path}.{key}" if path else str(key)
            )
        ]
    if before == after:
        return []
    if isinstance(before, list) and isinstance(after, list):
        gone, come = (
            [str(one) for one in mine if one not in theirs] for mine, theirs in ((before, after), (after, before))
        )
        return [f"{path} {', '.join(gone) or NOTHING} → {', '.join(come) or NOTHING}"]
    return [f"{path} {_word(before)} → {_word(after)}"]


def _word(value: object) -> str:
    return "{…}" if isinstance(value, Mapping) else str(value)
