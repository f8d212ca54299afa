"""How like a study that was run again is to its recorded result: that of its least like arm, and what differs.

What an arm's answer is, `arm_likeness` says. All arms must be shown to be equivalent, so that no correction is needed.
A study that asks something else is `different`, and so is one with a changed setting unless all bits are the same.

Pure functions of what was read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.runs.ingredients import Difference, surroundings
from experiments.runs.likeness import Answer
from experiments.studies.arm_likeness import NOTHING, ArmLikeness, arm_likeness
from experiments.studies.claims_said import Judged
from experiments.studies.comparison import Comparison
from experiments.studies.made_of import MadeOf, made_differences
from experiments.studies.reference import Reference

ORDER = ("code", "data", "packages", "hardware", "configuration")


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
        made_of: what its arms, and what they start from, are made of now.
        sessions: packages and hardware of its runs.
    """
    pairs = [(reference.arm(arm.name), arm) for arm in now.arms]
    arms = tuple(arm_likeness(recorded, arm, reference.metric) for recorded, arm in pairs if recorded is not None)
    found: list[Difference] = []
    if known := bool(reference.made_of):
        shared = {name: made for name, made in reference.made_of.items() if name in made_of}
        whole = shared.keys() == reference.made_of.keys() >= {arm.name for arm in reference.arms}
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
