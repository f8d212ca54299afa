"""Reproducing a study: run again, or as far as it is missing here, and compared with its recorded result."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.errors import UserError
from experiments.runs.metrics import METRICS
from experiments.runs.reproduction import FOLDER, REPRODUCES_TAG, REPRODUCTION_FILE, REPRODUCTION_TAG
from experiments.runs.rerun import computing_threads
from experiments.runs.source_files import HOUSE
from experiments.studies import membership
from experiments.studies.conduct import Answer, Conduct
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.gather import gather
from experiments.studies.judging import judged
from experiments.studies.made_of import here_made, stored_made
from experiments.studies.prepared import prepare
from experiments.studies.reference import (
    Reference,
    ReferenceEnvironment,
    definition_of,
    read_reference,
    reference,
    reference_file,
)
from experiments.studies.study import Study
from experiments.studies.study_file import read_study
from experiments.studies.study_likeness import StudyLikeness, compare_studies
from experiments.tracking.afterwards import tag_ended_run
from experiments.tracking.credentials import masked
from experiments.tracking.options import recorded_there
from experiments.tracking.search import Search
from experiments.tracking.store import Store

REFERENCE = "reference"
Say = Callable[[str, str], None]


@dataclass(frozen=True)
class StudyRequest:
    """Which study is to be reproduced, and how.

    Attributes:
        name: of the study.
        scale: likewise.
        seeds: number or list; `None` for all that were recorded.
        overrides: for all arms; they say which variation, and where and how it is executed.
        against: `reference`, the file of a reference, or `None` for what is recorded in `runs_dir`.
        runs_dir: where the study was recorded, or is run.
        options: how its runs are executed.
        command: the command line, for the record.
    """

    name: str
    scale: str
    seeds: int | list[int] | None
    overrides: tuple[str, ...]
    against: str | None
    runs_dir: Path
    options: ExecutionOptions
    command: tuple[str, ...]

    @property
    def variation(self) -> str:
        """Which of the study's variations is asked for."""
        return membership.variation([*map(masked, self.overrides)], self.scale)

    @property
    def arguments(self) -> str:
        """What names the variation on a command line."""
        return "" if self.variation == membership.AS_WRITTEN else f" {self.variation}"


@dataclass(frozen=True)
class StudyReproduction:
    """A study and what became of it when it was run again.

    Attributes:
        likeness: how like they are; `None` where it was stopped before its end.
        source: what it was compared with, in a few words.
        own: runs that are those of the record itself: they were here.
        runs: that were compared.
        answer: of the study as it ended now.
    """

    likeness: StudyLikeness | None
    source: str
    own: int
    runs: int
    answer: Answer

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as plain data."""
        compared = {} if self.likeness is None else self.likeness.as_dict()
        return {**compared, "against": self.source, "runs": self.runs, "runs_of_the_record": self.own}


def reproduce_study(request: StudyRequest, say: Say = lambda *_: None) -> StudyReproduction:
    """Run what is asked and compare it.

    Against a reference, runs that are finished here count; else all runs of the study that is recorded here are run
    again, in a folder of their own. Interrupted, the same request goes on.

    Args:
        request: which study, and how.
        say: gets what a person wants to know before the training, as (subject, sentence).

    Raises:
        UserError: an unknown study, nothing to compare with, or what is asked cannot be.
    """
    if request.against is None:
        recorded, study, study_run = _from_store(request)
        source, place = f"as recorded in {request.runs_dir}", _next_place(request)
        where = [f"runs_dir={place}", f"tracking.runs_dir={request.runs_dir}"]
        reproduction: str | None = f"reproduction {place.name.rpartition('-')[2]}"
    else:
        file = _file(request)
        recorded, study_run = read_reference(file), None
        study = read_study(request.name).at_scale(request.scale)
        source = str(file.relative_to(HOUSE)) if file.is_relative_to(HOUSE) else str(file)
        place, where, reproduction = None, [f"runs_dir={request.runs_dir}"], None
    _check(recorded, request, source)
    seeds = request.seeds
    study = study.with_seeds(recorded.seeds if seeds is None else seeds)
    _check_seeds(study, recorded, source)
    overrides = [*request.overrides, *where]
    with _threads(recorded):
        arms = prepare(study, request.name, overrides)
        say("reproducing", request.name + (f" ({request.variation})" if request.arguments else ""))
        count = sum(len(arm.runs) for arm in recorded.arms)
        say("against", f"{source}: {count} runs{_origins(recorded.environments)}")
        conduct = Conduct(
            study, arms, request.name, request.scale, overrides, request.command, reproduction=reproduction
        )
        here = sum(one.kind == "done" for state in conduct.states for one in state.replicates)
        total = sum(len(state.replicates) for state in conduct.states)
        say("runs", f"{here} finished here, {total - here} to do")
        answer = conduct.run(request.options)
    ids = {run.run_id for arm in recorded.arms for run in arm.runs if run.run_id is not None}
    replicates = answer.gathered.comparison.replicates
    own = sum(run.result is not None and run.result.run_id in ids for run in replicates)
    if answer.stopped_by is not None:
        return StudyReproduction(None, source, own, len(replicates), answer)
    likeness = _compared(recorded, study, answer)
    found = StudyReproduction(likeness, source, own, len(replicates), answer)
    told = json.dumps(found.as_dict(), indent=2) + "\n"
    (answer.report.folder / REPRODUCTION_FILE).write_text(told, encoding="utf-8")
    if place is not None:
        # From here on another reproduction begins anew.
        (place / REPRODUCTION_FILE).write_text(told, encoding="utf-8")
        tags = {REPRODUCES_TAG: study_run or request.name, REPRODUCTION_TAG: likeness.answer}
        tag_ended_run(answer.report.folder, conduct.tracking, tags)
    return found


def _compared(recorded: Reference, study: Study, answer: Answer) -> StudyLikeness:
    gathered = answer.gathered
    made = {name: one.seed for name, one in recorded.made_of.items()}
    environments = [
        ReferenceEnvironment(one.runs, "", False, "", one.packages, one.machine).session
        for one in gathered.environments
        if one.packages
    ]
    return compare_studies(
        recorded,
        gathered.comparison,
        answer.verdicts,
        definition=definition_of(study),
        made_of=here_made(gathered, made),
        sessions=environments,
    )


def _from_store(request: StudyRequest) -> tuple[Reference, Study, str | None]:
    """Return the result of the study that is recorded, what it asked, and the id of its run."""
    keys = {key: value for key, _, value in (override.partition("=") for override in request.overrides)}
    options = recorded_there(str(request.runs_dir), keys.get("tracking.uri"), keys.get("tracking.artifact_root"))
    search = Search(Store(options.destination(), options.timeout_seconds))
    gathered = gather(search, request.name, request.variation, metrics=METRICS)
    found = reference(gathered, judged(gathered), stored_made(search, gathered))
    return found, gathered.written.study, None if gathered.study_run is None else gathered.study_run.run_id


def _file(request: StudyRequest) -> Path:
    """Return the file to compare with.

    Raises:
        UserError: there is none.
    """
    if request.against != REFERENCE:
        return Path(str(request.against))
    read_study(request.name)  # an unknown one has no reference either
    file = reference_file(request.name, request.variation)
    if not file.is_file():
        raise UserError(
            f"against=reference: {request.name} has no {file}; `whydeep study {request.name}{request.arguments}`, then "
            f"`whydeep report {request.name}{request.arguments} reference={file}` write it"
        )
    return file


def _check(recorded: Reference, request: StudyRequest, source: str) -> None:
    """Refuse the record of another study, or one that lacks runs."""
    if recorded.name != request.name:
        raise UserError(f"{source}: the result of study={recorded.name}, not of study={request.name}")
    lacking = [(arm.name, run) for arm in recorded.arms for run in arm.runs if run.status != "FINISHED"]
    if lacking:
        arm, run = lacking[0]
        raise UserError(
            f"{source}: {len(lacking)} runs are missing, first {arm} seed {run.seed} ({run.reason}); "
            "only a whole result is compared with"
        )


def _check_seeds(study: Study, recorded: Reference, source: str) -> None:
    unknown = [seed for seed in study.seeds if seed not in recorded.seeds]
    if unknown:
        known = ", ".join(map(str, recorded.seeds))
        raise UserError(f"seeds={','.join(map(str, unknown))}: not recorded in {source}; allowed: {known}")


def _next_place(request: StudyRequest) -> Path:
    """Return the folder of the reproduction that was not brought to its end, or of a new one."""
    name = membership.study_folder(request.runs_dir / FOLDER, request.name, request.variation)
    number = 1
    while (place := name.with_name(f"{name.name}-{number}")).joinpath(REPRODUCTION_FILE).exists():
        number += 1
    return place


def _origins(environments: Sequence[ReferenceEnvironment]) -> str:
    if not environments:
        return ""
    first = environments[0]
    commit = f" at commit {first.commit[:10]}" if first.commit not in ("", "none") else ""
    changed = " with uncommitted changes" if first.uncommitted else ""
    more = f" and {len(environments) - 1} other environments" if len(environments) > 1 else ""
    return f"{commit}{changed} on {first.hardware}{more}"


@contextlib.contextmanager
def _threads(recorded: Reference) -> Iterator[None]:
    """Compute with as many threads as were recorded, unless $OMP_NUM_THREADS says otherwise."""
    numbers = {session.get("threads") for session in recorded.sessions}
    number = numbers.pop() if len(numbers) == 1 else None
    told = os.environ.get("OMP_NUM_THREADS")
    with computing_threads(number if isinstance(number, int) and number > 0 and not told else None):
        yield
