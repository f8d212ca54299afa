"""The index of a chapter: of each study the question, the verdicts with their effects, runs and time."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.studies import wording
from experiments.studies.chapter_entries import Entry
from experiments.studies.claims_said import Judged, said
from experiments.studies.gather import Gathered
from experiments.studies.held import seconds_by_run
from experiments.studies.report import unfinished
from experiments.studies.table import STYLES

OUTCOMES = ("supported", "refuted", "undecided")


@dataclass(frozen=True)
class IndexedClaim:
    """A claim in the index: what became of it, and the effect in words."""

    name: str
    outcome: str
    claim: str
    effect: str


@dataclass(frozen=True)
class Indexed:
    """A study in the index.

    Attributes:
        name: of the study, and the anchor of its report.
        question: of the study.
        claims: in their order.
        compared: what the arms show, where nothing was claimed.
        runs: how many finished, and of how many where some are missing.
        training: of all runs together.
        missing: what is not there and why; empty where all is.
        warnings: what makes its verdicts less than they seem.
    """

    name: str
    question: str
    claims: tuple[IndexedClaim, ...]
    compared: tuple[str, ...]
    runs: str
    training: str
    missing: str
    warnings: tuple[str, ...] = ()

    @property
    def told(self) -> list[str]:
        """What is to be said of it beside its verdicts, a line each."""
        return list(filter(None, (self.missing, *self.warnings)))


def indexed(entry: Entry) -> Indexed:
    """Return what the index says of a study."""
    study, gathered = entry.study, entry.gathered
    if gathered is None:
        return Indexed(entry.name, study.question, (), (), "-", "-", entry.reason or "not run yet")
    comparison = gathered.comparison
    claims = tuple(
        IndexedClaim(one.name, one.outcome, one.claim, _effect(entry.verdicts.get(one.name or "claim"), one.numbers))
        for one in said(study.claims, entry.verdicts, comparison.metric)
    )
    compared = () if claims else tuple(wording.contrast_numbers(one, comparison.metric) for one in comparison.contrasts)
    finished = [run for run in comparison.replicates if run.status == "FINISHED"]
    total = len(comparison.replicates)
    runs = f"{total:,}" if len(finished) == total else f"{len(finished):,} of {total:,}"
    seconds = seconds_by_run(gathered).values()
    missing = "; ".join(filter(None, (unfinished(comparison.replicates), entry.reason)))
    training = wording.duration(sum(seconds)) if seconds else "-"
    return Indexed(entry.name, study.question, claims, compared, runs, training, missing, tuple(_warnings(gathered)))


def _warnings(gathered: Gathered) -> Iterator[str]:
    if number := len(gathered.written.confounds):
        yield f"confounded: {number} thing{'s' if number > 1 else ''} differ{'' if number > 1 else 's'} undeclared"
    if gathered.written.claimed_later:
        yield "not all of this was claimed before anything ran"


def _effect(verdict: Judged | None, numbers: str) -> str:
    """Say the effect with interval and n; of what is exact its number, which has neither."""
    if verdict is not None and verdict.effect is not None and verdict.effect.method == "exact":
        return verdict.reason
    return numbers


def counted(index: Sequence[Indexed]) -> list[tuple[str, int]]:
    """Return how many claims of these studies have each outcome, of those that some have."""
    counts = Counter(claim.outcome for one in index for claim in one.claims)
    return [(outcome, counts[outcome]) for outcome in OUTCOMES if counts[outcome]]


def print_index(console: Console, entries: Sequence[Entry]) -> None:
    """Print a line for each study: how many of its claims came out how, its runs, their training, what is missing."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("study")
    table.add_column("verdicts")
    for heading in ("runs", "training"):
        table.add_column(heading, justify="right")
    for entry in entries:
        one = indexed(entry)
        verdicts = Text(", ").join(Text(f"{count} {outcome}", STYLES[outcome]) for outcome, count in counted([one]))
        table.add_row(Text(one.name), verdicts or Text("-"), one.runs, one.training)
    console.print(table)
    for entry in entries:
        for line in indexed(entry).told:
            console.print(Text(f"{entry.name}: {line}", style="bold"))
