"""The studies of a chapter, one after the other in this process: what stops one of them does not stop the others."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.text import Text

from experiments.errors import UserError
from experiments.studies import membership
from experiments.studies.chapter import Chapter
from experiments.studies.chapter_entries import Entry, not_there, read_entries
from experiments.studies.conduct import Answer, Conduct
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.job import reason_of
from experiments.studies.prepared import Prepared, told_of
from experiments.studies.study_file import said_of, study_file
from experiments.tracking.credentials import masked
from experiments.tracking.options import TrackingOptions
from experiments.tracking.search import Search
from experiments.tracking.store import Store


@dataclass(frozen=True)
class Ended:
    """What became of the studies of a chapter.

    Attributes:
        answers: of those that came to their end, by name.
        failures: why others did not.
        stopped_by: the signal that ended the chapter before its time.
    """

    answers: Mapping[str, Answer]
    failures: Mapping[str, str]
    stopped_by: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every run of every study finished."""
        return not self.failures and all(answer.complete for answer in self.answers.values())


def conducts_of(prepared: Sequence[Prepared], command: Callable[[str], Sequence[str]]) -> list[Conduct]:
    """Return what conducts each study: all are built and checked, and nothing has been written.

    Args:
        prepared: the studies, in their order.
        command: gives the command line that runs one of them alone.

    Raises:
        UserError: what is wrong with one of them; it names the study.
    """
    conducts = []
    for one in prepared:
        try:
            with said_of(study_file(one.name)):
                conducts.append(Conduct(one.study, one.arms, one.name, one.scale, one.overrides, command(one.name)))
        except UserError as error:
            raise told_of(one.name, error) from error
    return conducts


def run_all(conducts: list[Conduct], options: ExecutionOptions, console: Console) -> Ended:
    """Run what is missing of each study and print its answer, until all are done or somebody stops them.

    The list is emptied on the way: networks and pictures of studies that are over need not stay in memory. A study that
    fails as a whole (another process executes it, its folder cannot be written) is told and left.
    """
    answers: dict[str, Answer] = {}
    failures: dict[str, str] = {}
    number = len(conducts)
    while conducts:
        conduct = conducts.pop(0)
        name = conduct.written.name
        console.print()
        console.rule(Text(f"{number - len(conducts)} of {number}: {conduct.title}"), align="left")
        try:
            answer = conduct.run(options)
        except UserError as error:
            failures[name] = masked(" ".join(str(error).split()))
        except Exception as error:  # noqa: BLE001 - whatever ends one study, the others go on
            traceback.print_exc()
            failures[name] = reason_of(error)
        else:
            answers[name] = answer
            answer.print(console)
            for notice in conduct.written.claimed_later:
                console.print(Text(f"notice: {notice}", style="yellow"))
            if answer.stopped_by is not None:
                return Ended(answers, failures, answer.stopped_by)
        if name in failures:
            console.print(Text(f"{name} failed: {failures[name]}", style="bold red"))
    return Ended(answers, failures)


def entries_of(
    chapter: Chapter, ended: Ended, prepared: Sequence[Prepared], tracking: TrackingOptions
) -> dict[str, Entry]:
    """Return all studies of the chapter: those that were run from what is at hand, the others from MLflow.

    Args:
        chapter: the whole.
        ended: what was run of it.
        prepared: the studies that were asked for.
        tracking: where all are recorded.
    """
    scale, overrides = prepared[0].scale, prepared[0].overrides
    entries: dict[str, Entry] = {}
    for name, answer in ended.answers.items():
        gathered = answer.gathered
        entries[name] = Entry(name, gathered.written.study, gathered, answer.verdicts, answer.report.drawings)
    if others := [name for name in chapter.studies if name not in entries]:
        varied = membership.variation([*map(masked, overrides)], scale)
        entries |= _recorded(chapter.only(others), varied, scale, tracking)
    for name, reason in ended.failures.items():
        entries[name] = replace(entries[name], reason=f"failed: {reason}")
    return entries


def _recorded(others: Chapter, varied: str, scale: str, tracking: TrackingOptions) -> dict[str, Entry]:
    try:
        if tracking.deliver:
            search = Search(Store(tracking.destination(), tracking.timeout_seconds))
            return read_entries(search, others, varied, scale)
    except UserError:
        pass  # the store is away: what was run just now is at hand, and whydeep report chapter reads the rest later
    return {name: not_there(name, scale, "not run by this command") for name in others.studies}
