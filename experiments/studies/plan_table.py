"""A plan as it is printed before anything runs: arms, what is done and what is to do, what it takes, what confounds."""

from collections import defaultdict
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.runs.plotting import thousands
from experiments.studies import wording
from experiments.studies.confound import Confound
from experiments.studies.forecast import Forecast, minutes, remaining
from experiments.studies.pretrained import PREFIX
from experiments.studies.state import ArmState, Kind
from experiments.studies.study import Study

KINDS: tuple[Kind, ...] = ("done", "to do", "interrupted", "failed", "stale")
SHOWN = 5


def print_plan(
    console: Console,
    title: str,
    study: Study,
    states: Sequence[ArmState],
    forecasts: Sequence[Forecast],
    confounds: Sequence[Confound],
    power: Sequence[str],
    *,
    workers: int,
) -> None:
    """Print the plan of a study.

    Args:
        console: where to.
        title: of the study's variation.
        study: what is asked.
        states: of its arms and their replicates.
        forecasts: of one run of each arm.
        confounds: what differs between arms undeclared.
        power: sentences on what these seeds can detect.
        workers: runs at a time.
    """
    console.print(Text(study.question, style="bold"))
    console.print(Text(f"{title}; {study.source or 'no source'}"))
    console.print(_arms(study, states, forecasts))
    for state in states:
        if state.arm.share.note:
            console.print(Text(f"{state.arm.name}: {state.arm.share.note}"))
    for state, one in zip(states, forecasts, strict=True):
        if one.failure:
            console.print(Text(f"{state.arm.name}: a trial step failed, as its runs will: {one.failure}", style="red"))
    for line in _reasons(states):
        console.print(Text(line))
    console.print(Text(_totals(study, states, forecasts, workers)))
    for sentence in power:
        console.print(Text(sentence))
    if confounds:
        for confound in confounds:
            console.print(Text(f"confound: {confound.sentence()}", style="bold red"))
        console.print(Text("say it in `declared` where it is meant, or make the arms equal in it"))
    else:
        console.print(Text("confounds: nothing undeclared differs between the arms"))


def _arms(study: Study, states: Sequence[ArmState], forecasts: Sequence[Forecast]) -> Table:
    shapes = {state.assembly.input_shape for state in states}
    size = wording.input_size(next(iter(shapes))) if len(shapes) == 1 else "input size"
    shown = [kind for kind in KINDS if kind in ("done", "to do") or any(state.count(kind) for state in states)]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("arm")
    for heading in ("parameters", f"MACs at {size}", "receptive\nfield", *shown, "seconds\nper run"):
        table.add_column(heading, justify="right")
    for state, one in zip(states, forecasts, strict=True):
        totals = state.assembly.measures.totals()
        macs = thousands(totals["macs"] or 0)
        field = totals["receptive_field"]
        table.add_row(
            Text(f"{state.arm.name} (baseline)" if state.arm.name == study.baseline else state.arm.name),
            f"{totals['parameters']:,.0f}",
            macs if len(shapes) == 1 else f"{macs} at {wording.input_size(state.assembly.input_shape)}",
            "unknown" if field is None else f"{field:g} px",
            *(str(state.count(kind) or "-") for kind in shown),
            "?" if one.failure else f"{one.seconds:.1f}" + ("" if one.source == "past runs" else " *"),
        )
    sources = {one.source for one in forecasts}
    if "probe" in sources:
        table.caption = "* from a timed probe" + ("; the others from past runs" if len(sources) > 1 else "")
        table.caption_justify = "left"
    return table


def _reasons(states: Sequence[ArmState]) -> list[str]:
    """Say which runs are stale or failed before, and why; runs of one reason together."""
    grouped: dict[tuple[Kind, str, str], list[int]] = defaultdict(list)
    for state in states:
        for one in state.replicates:
            if one.kind in ("stale", "failed"):
                grouped[one.kind, state.arm.name, " ".join(one.why.split())].append(one.run.seed)
    said = {"stale": "stale", "failed": "failed before"}
    lines = [
        f"{said[kind]}: {arm}, {wording.listed(seeds)}: {why or 'no reason recorded'}"
        for (kind, arm, why), seeds in grouped.items()
    ]
    more = len(lines) - 2 * SHOWN
    return lines if more <= 0 else [*lines[: 2 * SHOWN], f"… and {more} more such groups"]


def _totals(study: Study, states: Sequence[ArmState], forecasts: Sequence[Forecast], workers: int) -> str:
    runs = sum(len(state.replicates) for state in states)
    left = sum(map(remaining, states))
    counts = ", ".join(f"{count} {kind}" for kind in KINDS if (count := sum(state.count(kind) for state in states)))
    before = sum(state.arm.name.startswith(PREFIX) for state in states)
    started = [f"{before} pretraining"] if before else []
    arms = _count(len(study.cells), "arm")
    sizes = ", ".join((*started, arms, _count(len(study.seeds), "seed"), f"equal {study.budget.equal}"))
    text = f"{_count(runs, 'run')} ({sizes}): {counts}"
    if not left:
        return text
    needed = sum(remaining(state) * one.bytes for state, one in zip(states, forecasts, strict=True))
    pace = f"{workers} workers" if workers > 1 else "one worker"
    taken = wording.duration(60 * minutes(states, forecasts, workers))
    return f"{text}\nabout {taken} with {pace}, {wording.megabytes(needed)} of disk"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
