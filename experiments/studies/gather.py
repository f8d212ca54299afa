"""What a report is made of, read from MLflow alone: the study as it was written down, its runs, their curves."""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from experiments.errors import UserError
from experiments.runs.configuration import nearest
from experiments.runs.record import PROVENANCE_FILE
from experiments.studies import membership
from experiments.studies.claim import EPOCHS
from experiments.studies.comparison import Comparison, Outcome, Replicate, ReplicateStatus, compare
from experiments.studies.curves import Curves, chosen_for_curves, while_learning
from experiments.studies.environments import Environment, Origin, environments
from experiments.studies.reaching import SPENT_EPOCHS, SPENT_STEPS
from experiments.studies.study import Study
from experiments.studies.written import FILE, WrittenArm, WrittenReplicate, WrittenStudy, read_written
from experiments.tracking.delivery import REASON_TAG
from experiments.tracking.search import Search
from experiments.tracking.store_errors import StoreAwayError
from experiments.tracking.stored_run import StoredRun

TRAIN_SECONDS = "time/train_seconds"
_TAGS = (
    membership.KIND_TAG,
    membership.ARM_TAG,
    membership.SEED_TAG,
    membership.IDENTITY_TAG,
    membership.VARIATION_TAG,
    REASON_TAG,
    *Origin.TAGS,
)


Key = TypeVar("Key", str, tuple[str, str])


class NotRecordedError(UserError):
    """Nothing is recorded of the study, or of this variation of it."""


@dataclass(frozen=True)
class Gathered:
    """A study and what became of it.

    Attributes:
        written: what was asked, and of which runs.
        comparison: what came out.
        curves: of some or all runs, while they learn.
        environments: where the runs come from.
        study_run: the study's run in MLflow; `None` while the store has not been reached.
        arm_runs: the arms' runs by name.
        pretrained: what became of the runs that arms start from.
    """

    written: WrittenStudy
    comparison: Comparison
    curves: Curves
    environments: tuple[Environment, ...]
    study_run: StoredRun | None = None
    arm_runs: Mapping[str, StoredRun] | None = None
    pretrained: tuple[Replicate, ...] = ()


@dataclass(frozen=True)
class StoredOutcome:
    """What a run left in MLflow; see `comparison.Outcome`."""

    run_id: str
    identity: str
    metrics: Mapping[str, float]
    measures: Mapping[str, float]
    input_shape: tuple[int, int, int]


def gather(search: Search, name: str, varied: str, *, metrics: Collection[str] = ()) -> Gathered:
    """Read a study from MLflow.

    Args:
        search: of the store.
        name: of the study.
        varied: which of its variations, see `membership.variation`.
        metrics: to bring of each run, besides those that the study is judged by.

    Raises:
        UserError: no such study or variation was recorded, or the store cannot be asked.
    """
    try:
        return _gather(search, name, varied, metrics)
    except StoreAwayError as error:
        raise UserError(f"{name}: the tracking store cannot be asked ({error})") from error


def _gather(search: Search, name: str, varied: str, metrics: Collection[str]) -> Gathered:
    study_run = _study_run(search, name, varied)
    with tempfile.TemporaryDirectory() as folder:
        file = search.artifact(study_run, FILE, Path(folder))
        if file is None:
            raise UserError(f"{name}: run {study_run.run_id} has no {FILE} yet; `whydeep sync` sends what is left")
        written = read_written(file)
    wanted = {written.study.metric, TRAIN_SECONDS, *_metrics_of_claims(written), *metrics}
    tags = {membership.STUDY_TAG: name, membership.VARIATION_TAG: varied}
    own = search.tagged(tags, wanted_tags=_TAGS, wanted_metrics=wanted)
    arms = {run.tags[membership.ARM_TAG]: run for run in own if run.tags.get(membership.KIND_TAG) == "arm"}
    runs = [run for run in own if run.tags.get(membership.KIND_TAG) in ("run", "pretraining")]
    known = {run.run_id for run in runs}
    every = (*written.replicates, *written.pretrained)
    before = [one.run_id for one in every if one.run_id is not None and one.run_id not in known]
    runs += search.named(before, wanted_tags=_TAGS, wanted_metrics=wanted)
    replicates, stored = _replicates(written.replicates, written.arms, runs)
    pretrained, others = _replicates(written.pretrained, written.pretraining, runs)
    comparison = compare([arm.name for arm in written.arms], written.study.baseline, written.study.metric, replicates)
    comparison = with_measures(comparison, written)
    return Gathered(
        written,
        comparison,
        _curves(search, comparison, written.study),
        environments([*stored, *others], lambda run: _provenance(search, run)),
        study_run,
        arms,
        # What ended well keeps the reason of an attempt that did not.
        tuple(replace(run, reason=None) if run.status == "FINISHED" else run for run in pretrained),
    )


def _study_run(search: Search, name: str, varied: str) -> StoredRun:
    found = search.tagged({membership.KIND_TAG: "study"}, wanted_tags=[membership.STUDY_TAG, membership.VARIATION_TAG])
    named = [run for run in found if run.tags.get(membership.STUDY_TAG) == name]
    if not named:
        names = {run.tags.get(membership.STUDY_TAG, "") for run in found}
        raise NotRecordedError(
            f"{name}: no such study is recorded; "
            + (nearest(name, names) if names else f"`whydeep study {name}` runs it")
        )
    right = [run for run in named if run.tags.get(membership.VARIATION_TAG, membership.AS_WRITTEN) == varied]
    if not right:
        others = sorted({run.tags.get(membership.VARIATION_TAG, membership.AS_WRITTEN) for run in named})
        raise NotRecordedError(f"{name}: not recorded {varied}; recorded: {'; '.join(others)}")
    # Whoever deleted the local directories and ran the study again has two; the later one is the whole.
    return right[-1]


def _metrics_of_claims(written: WrittenStudy) -> list[str]:
    claims = written.study.claims.values()
    on = [claim.on for claim in claims]
    if any(claim.over == EPOCHS for claim in claims):
        on += [SPENT_EPOCHS, SPENT_STEPS]
    return [metric for metric in on if metric is not None and not metric.startswith("measure/")]


def _replicates(
    planned: Sequence[WrittenReplicate], arms: Sequence[WrittenArm], runs: Sequence[StoredRun]
) -> tuple[list[Replicate], list[StoredRun]]:
    """Find the run of each planned replicate: of its run id, or of its identity; the best of several attempts."""
    by_id = {run.run_id: run for run in runs}
    by_identity: dict[str, StoredRun] = {}
    by_place: dict[tuple[str, str], StoredRun] = {}
    for run in runs:
        _keep_better(by_identity, run.tags.get(membership.IDENTITY_TAG, ""), run)
        place = (run.tags.get(membership.ARM_TAG, ""), run.tags.get(membership.SEED_TAG, ""))
        if membership.IDENTITY_TAG not in run.tags:  # it died before it could say more than its label
            _keep_better(by_place, place, run)
    made = {arm.name: arm for arm in arms}
    replicates, stored = [], []
    for one in planned:
        found = by_identity.get(one.identity) or by_id.get(one.run_id or "") or by_place.get((one.arm, str(one.seed)))
        if found is not None:
            stored.append(found)
        replicates.append(_replicate(one, found, made[one.arm].command(one.seed), made[one.arm].input_shape))
    return replicates, stored


def _keep_better(found: dict[Key, StoredRun], key: Key, run: StoredRun) -> None:
    """Of several runs of one identity keep the finished one, else the last."""
    if key not in found or found[key].status != "FINISHED" or run.status == "FINISHED":
        found[key] = run


def _replicate(
    one: WrittenReplicate, run: StoredRun | None, command: tuple[str, ...], shape: tuple[int, int, int] | None
) -> Replicate:
    if run is None:
        return Replicate(one.arm, one.seed, "NOT RUN", None, one.reason or "not run yet", command)
    outcome: Outcome = StoredOutcome(run.run_id, one.identity, run.metrics, {}, shape or (0, 0, 0))
    reason = run.tags.get(REASON_TAG)
    status: ReplicateStatus = "RUNNING"
    if run.status in ("FINISHED", "FAILED", "KILLED"):
        status = run.status  # type: ignore[assignment]
    elif reason is None:
        reason = "running, or its process died without a word"
    return Replicate(one.arm, one.seed, status, outcome, reason, command)


def with_measures(comparison: Comparison, written: WrittenStudy) -> Comparison:
    """Put the measures that the study wrote down at its arms."""
    arms = []
    for arm in comparison.arms:
        own = written.arm(arm.name)
        arms.append(replace(arm, measures=own.measures, input_shape=own.input_shape))
    return replace(comparison, arms=tuple(arms))


def _curves(search: Search, comparison: Comparison, study: Study) -> Curves:
    key = while_learning(comparison.metric)
    chosen = chosen_for_curves(comparison, study.claims)
    ids = [run.result.run_id for run in chosen if run.result is not None and run.result.run_id is not None]
    return Curves(key, search.courses(ids, key))


def _provenance(search: Search, run: StoredRun) -> Mapping[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = search.artifact(run, PROVENANCE_FILE, Path(folder))
            content = {} if file is None else json.loads(file.read_bytes())
        except (StoreAwayError, OSError, ValueError):
            content = {}  # a number is not less true where the versions behind it cannot be told
    return content if isinstance(content, dict) else {}
