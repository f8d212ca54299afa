"""The plan of a chapter: what its studies would run, take and leave on disk, in one table with totals."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.studies import wording
from experiments.studies.conduct import Conduct
from experiments.studies.forecast import spread
from experiments.studies.notices import notices
from experiments.studies.plan import PlannedArm

SHARED = "shared"
KINDS = ("done", "to do", "interrupted", "failed", "stale", SHARED)


@dataclass(frozen=True)
class StudyPlan:
    """What one study of a chapter would run.

    Attributes:
        name: of the study, with its variation.
        counts: of its runs, by their state; `shared` are those that an earlier study of the chapter runs.
        own: likewise, of the runs that stand in no earlier study.
        minutes: that the runs take which are left to it.
        bytes: that these leave on disk.
        probed: whether the minutes of some of them come from a timed probe.
        remarks: what is to be said of it beside its numbers, a line each.
        alarms: likewise, what is wrong with it.
    """

    name: str
    counts: Counter[str]
    own: Counter[str]
    minutes: float
    bytes: float
    probed: bool
    remarks: tuple[str, ...]
    alarms: tuple[str, ...]


def plan_chapter(conducts: Sequence[Conduct], arms: Sequence[Sequence[PlannedArm]], workers: int) -> list[StudyPlan]:
    """Return the plan of each study; a run that several of them share is counted where it is run.

    Args:
        conducts: of the studies, in their order.
        arms: of each, as it was prepared.
        workers: runs at a time.
    """
    seen: set[str] = set()
    plans = []
    for conduct, own_arms in zip(conducts, arms, strict=True):
        counts: Counter[str] = Counter()
        own: Counter[str] = Counter()
        seconds, needed, probed = [], 0.0, False
        for state, one in zip(conduct.in_all, conduct.forecasts(), strict=True):
            for run in state.replicates:
                first = run.identity not in seen
                seen.add(run.identity)
                counts[run.kind if first or run.kind == "done" else SHARED] += 1
                if first:
                    own[run.kind] += 1
                    if run.kind != "done":
                        seconds.append(one.seconds)
                        needed += one.bytes
                        probed = probed or one.source == "probe"
        plans.append(
            StudyPlan(
                conduct.title,
                counts,
                own,
                spread(seconds, workers),
                needed,
                probed,
                (*conduct.written.claimed_later, *notices(conduct.study, own_arms)),
                tuple(_alarms(conduct)),
            )
        )
    return plans


def _alarms(conduct: Conduct) -> Iterator[str]:
    for state, one in zip(conduct.in_all, conduct.forecasts(), strict=True):
        if one.failure:
            yield f"{state.arm.name}: a trial step failed, as its runs will: {one.failure}"
    for confound in conduct.confounds:
        yield f"confound: {confound.sentence()}"


def print_chapter_plan(console: Console, plans: Sequence[StudyPlan], workers: int) -> None:
    """Print the table, its totals, and what is to be said of single studies."""
    total: Counter[str] = sum((plan.own for plan in plans), Counter())
    shared = sum(plan.counts[SHARED] for plan in plans)
    kinds = [kind for kind in KINDS if kind in ("done", "to do") or total[kind] or (kind == SHARED and shared)]
    table = Table(box=box.SIMPLE_HEAD, show_footer=True)
    table.add_column("study", footer=f"{len(plans)} studies" if len(plans) > 1 else "1 study")
    table.add_column("runs", justify="right", footer=f"{total.total():,}")
    for kind in kinds:
        table.add_column(kind, justify="right", footer="" if kind == SHARED else _or_dash(total[kind]))
    minutes, needed = sum(plan.minutes for plan in plans), sum(plan.bytes for plan in plans)
    table.add_column("minutes", justify="right", footer=_minutes(minutes))
    table.add_column("disk", justify="right", footer=wording.megabytes(needed) if needed else "-")
    for plan in plans:
        table.add_row(
            Text(plan.name),
            f"{plan.counts.total():,}",
            *(_or_dash(plan.counts[kind]) for kind in kinds),
            _minutes(plan.minutes) + (" *" if plan.probed else ""),
            wording.megabytes(plan.bytes) if plan.bytes else "-",
        )
    if any(plan.probed for plan in plans):
        table.caption = "* from timed probes; otherwise from past runs"
        table.caption_justify = "left"
    console.print(table)
    if sum(plan.counts.total() for plan in plans) > total.total():
        console.print(Text("runs that stand in several studies are run once, and count once in the last line"))
    if minutes:
        pace = f"{workers} workers" if workers > 1 else "one worker"
        console.print(Text(f"about {wording.duration(60 * minutes)} with {pace}, {wording.megabytes(needed)} of disk"))
    for plan in plans:
        for line in plan.alarms:
            console.print(Text(f"{plan.name}: {line}", style="bold red"))
        for line in plan.remarks:
            console.print(Text(f"notice: {plan.name}: {line}", style="yellow"))


def _or_dash(count: int) -> str:
    return f"{count:,}" if count else "-"


def _minutes(minutes: float) -> str:
    return f"{minutes:.1f}" if minutes else "-"
