"""What a report is made of, read from the directories of runs on this machine: for when the store does not answer."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from experiments.errors import UserError
from experiments.runs.provenance import Provenance
from experiments.runs.record import PROVENANCE_FILE
from experiments.runs.result import RunResult
from experiments.studies.comparison import Comparison, Replicate, compare
from experiments.studies.curves import Curves, Points, chosen_for_curves, while_learning
from experiments.studies.environments import Environment, Origin, environment
from experiments.studies.gather import Gathered, with_measures
from experiments.studies.study import Study
from experiments.studies.written import WrittenStudy
from experiments.tracking.journal import read_metrics


def gather_at_hand(
    written: WrittenStudy, replicates: Sequence[Replicate], pretrained: Sequence[Replicate] = ()
) -> Gathered:
    """Return the study with what its runs left on this machine.

    Args:
        written: what was asked.
        replicates: of its arms, as the study ended with them.
        pretrained: the runs that arms start from, likewise.
    """
    study = written.study
    comparison = compare([arm.name for arm in written.arms], study.baseline, study.metric, replicates)
    return Gathered(
        written,
        with_measures(comparison, written),
        _curves(comparison, study),
        _environments([*replicates, *pretrained]),
        pretrained=tuple(pretrained),
    )


def _curves(comparison: Comparison, study: Study) -> Curves:
    key = while_learning(comparison.metric)
    by_run: dict[str, Points] = {}
    for run in chosen_for_curves(comparison, study.claims):
        if isinstance(run.result, RunResult):
            try:
                frame = read_metrics(run.result.run_dir)
            except UserError:
                continue  # fetched or deleted since: the curve is left out, the number counts
            chosen = frame[frame["key"] == key]
            by_run[run.label] = sorted(dict(zip(chosen["step"], chosen["value"], strict=True)).items())
    return Curves(key, by_run)


def _environments(replicates: Sequence[Replicate]) -> tuple[Environment, ...]:
    groups: dict[Origin, dict[str, Provenance]] = {}
    for run in replicates:
        if isinstance(run.result, RunResult) and (found := _provenance(run.result.run_dir)) is not None:
            origin = Origin(found.commit or "none", bool(found.diff), found.packages_digest, found.hardware)
            groups.setdefault(origin, {})[run.result.identity] = found
    return tuple(
        environment(origin, next(iter(members.values())).as_dict(), members)
        for origin, members in sorted(groups.items(), key=lambda item: -len(item[1]))
    )


def _provenance(run_dir: Path) -> Provenance | None:
    try:
        recorded = json.loads((run_dir / PROVENANCE_FILE).read_bytes())
        found = Provenance(diff="", **recorded)
    except (OSError, ValueError, TypeError):
        return None
    return replace(found, diff="recorded" if (run_dir / "uncommitted.diff").exists() else "")
