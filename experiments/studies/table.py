"""A comparison as it ends in the terminal: the table of arms, what is missing, and what the contrasts say."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.studies import wording
from experiments.studies.claims_said import Judged, SaidVerdict, said
from experiments.studies.comparison import Comparison, Replicate
from experiments.studies.effects_said import SaidEffect, effects_said
from experiments.studies.gather import Gathered
from experiments.studies.pretrained import UNNEEDED
from experiments.studies.reached_said import HOW, SaidNeeds, needs_said


def print_answer(console: Console, gathered: Gathered, verdicts: Mapping[str, Judged]) -> None:
    """Print what came out of a study: the arms, the effects of its factors, and the verdicts on its claims."""
    study = gathered.written.study
    print_comparison(console, study.question, gathered.comparison, contrasts=not study.claims)
    for run in gathered.pretrained:
        if run.reason not in (None, UNNEEDED):
            _print_missing(console, run)
    print_effects(console, effects_said(study, gathered.comparison))
    print_needs(console, needs_said(gathered))
    print_verdicts(console, said(study.claims, verdicts, study.metric))


def print_comparison(console: Console, question: str, comparison: Comparison, *, contrasts: bool = True) -> None:
    """Print the arms of `comparison`, the replicates that are missing, and one paragraph for each contrast.

    Args:
        console: where to.
        question: of the study.
        comparison: what came out.
        contrasts: say what each arm's difference from the baseline shows; for studies that claim nothing.
    """
    table = Table(title=question, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("arm")
    headings = (
        f"{wording.titled(comparison.metric)}\nmean ± 95 % interval",
        "parameters",
        wording.macs_title(comparison),
        "receptive field",
        "training s\nper run",
        "n",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for arm in comparison.arms:
        table.add_row(
            Text(f"{arm.name} (baseline)" if arm.is_baseline else arm.name),
            wording.with_interval(arm.metric),
            wording.parameters(arm),
            wording.macs(arm, comparison),
            wording.receptive_field(arm),
            wording.seconds(arm),
            wording.count(arm),
        )
    console.print()
    console.print(table)
    for arm in comparison.arms:
        for replicate in arm.missing:
            _print_missing(console, replicate)
    for contrast in comparison.contrasts if contrasts else ():
        console.print(Text(f"{wording.contrast_numbers(contrast, comparison.metric)}."))
        console.print(Text(wording.contrast_answer(contrast, comparison.metric), style="bold"))
    if contrasts and (note := wording.correction_note(comparison)):
        console.print(Text(note))


def _print_missing(console: Console, run: Replicate) -> None:
    which = "" if run.result is None else f" (run {run.label})"
    console.print(Text(f"{run.arm} seed {run.seed} {run.status.lower()}{which}: {run.reason}", style="bold"))


STYLES = {"supported": "bold green", "refuted": "bold red", "undecided": "bold yellow"}


def print_verdicts(console: Console, verdicts: Sequence[SaidVerdict]) -> None:
    """Print the verdict on each claim: what was claimed, what came out, and why that is the verdict."""
    for verdict in verdicts:
        head = f"{verdict.name}: " if verdict.name else ""
        console.print(Text(f"{verdict.outcome}: ", STYLES[verdict.outcome]) + Text(f"{head}{verdict.claim}", "bold"))
        console.print(Text("; ".join(filter(None, (verdict.numbers, verdict.reason)))), style="dim")


def print_effects(console: Console, effects: Sequence[SaidEffect]) -> None:
    """Print what each level of each factor does, and how two of them act together; nothing where there are none."""
    if not effects:
        return
    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    for effect in effects:
        table.add_row(Text(effect.name), Text(effect.numbers))
    console.print(table)
    console.print(Text(wording.EFFECTS, style="dim"))


def print_needs(console: Console, tables: Sequence[SaidNeeds]) -> None:
    """Print what each arm needs to reach an error; nothing where no claim is on that."""
    for each in tables:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("arm")
        for heading in (each.title, "n", "by seed"):
            table.add_column(heading, justify="right")
        for arm in each.by_arm:
            table.add_row(Text(arm), each.median(arm), each.count(arm), each.seeds(arm))
        console.print(table)
    if tables:
        console.print(Text(HOW, style="dim"))
