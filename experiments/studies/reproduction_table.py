"""The reproduction of a study as a person reads it in a terminal: arms side by side, verdicts, the answer."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.runs.reproduction_table import COLOURS, counted, metrics_said
from experiments.studies import wording
from experiments.studies.arm_likeness import NOTHING, ArmLikeness
from experiments.studies.reproduction import StudyReproduction
from experiments.studies.study_likeness import StudyLikeness

SHOWN = 3  # differences after the first
SHOWN_SEEDS = 10


def print_study_reproduction(console: Console, found: StudyReproduction, likeness: StudyLikeness) -> None:
    """Print arms and verdicts side by side, then the answer and its grounds."""
    whole_lines = not console.is_terminal
    console.print()
    console.print(_arms(likeness))
    console.print(Text(f"  compared  {compared(likeness)}"), soft_wrap=whole_lines)
    for arm in likeness.arms:
        if arm.answer != "identical":
            line = f"  {arm.name}: {arm.equal} of {arm.total} recorded numbers are the same to the bit; {arm.why}"
            console.print(Text(line), soft_wrap=whole_lines)
    if likeness.verdicts:
        console.print(_verdicts(likeness))
    if found.own:
        line = (
            f"{found.own} of {found.runs} runs are those of the record itself, found here and not run again: they say "
            "nothing; runs_dir=… with another folder runs them"
        )
        console.print(Text(line, style="yellow"), soft_wrap=whole_lines)
    colour = COLOURS[likeness.answer]
    answer = Text(likeness.answer, style=f"bold {colour}") + Text(f": {reason(likeness)}", style="default")
    console.print(answer, soft_wrap=whole_lines)
    console.print(Text(_origin(likeness)), soft_wrap=whole_lines)
    for line in _others(likeness):
        console.print(Text(line), soft_wrap=whole_lines)


def compared(likeness: StudyLikeness) -> str:
    """Say what of the two studies was compared: how many runs, of which seeds, and which of their numbers."""
    arms = likeness.arms
    seeds = sorted({seed for arm in arms for seed in arm.seeds})
    shown = f"{', '.join(map(str, seeds[:SHOWN_SEEDS]))}{' …' if len(seeds) > SHOWN_SEEDS else ''}"
    runs = counted(sum(arm.n for arm in arms), "run")
    which = f"{runs} with the record ({counted(len(arms), 'arm')}, {counted(len(seeds), 'seed')}: {shown or NOTHING})"
    return f"{which}: {metrics_said(sorted({name for arm in arms for name in arm.compared}))}; last values, no weights"


def reason(likeness: StudyLikeness) -> str:
    """Return the grounds of the answer, in a sentence."""
    arms = likeness.arms
    if likeness.definition:
        return f"definition: {likeness.definition[0]}; the study asks something else now."
    if not arms:
        return "the record has none of the arms."
    if likeness.answer == "identical":
        total = sum(arm.total for arm in arms)
        runs = sum(arm.n for arm in arms)
        return f"{total} of {total} recorded numbers of {runs} runs are the same to the bit."
    unlike = [arm for arm in arms if arm.answer == "different"]
    if unlike:
        return f"{len(unlike)} of {len(arms)} arms, first {_arm_said(unlike[0], likeness.metric)}."
    if likeness.changed_keys:
        return "another configuration is another experiment."
    return _nearness(arms, likeness.metric)


def _nearness(arms: Sequence[ArmLikeness], metric: str) -> str:
    if all(arm.interval is None for arm in arms):
        return f"no {wording.metric_name(metric)} of any replicate differs; other recorded numbers do."
    widest = max(arms, key=lambda arm: max(map(abs, arm.interval or (0.0, 0.0))))
    return f"each of {len(arms)} arms lies within its margin; furthest {_arm_said(widest, metric)}."


def _arm_said(arm: ArmLikeness, metric: str) -> str:
    if arm.recorded is None or arm.now is None:
        return f"{arm.name}: {arm.why}"
    moved = f"{arm.name}: {wording.metric_name(metric)} {arm.recorded:.2f} → {arm.now:.2f}"
    if arm.interval is None:
        return f"{moved} ({arm.why})"
    low, high = arm.interval
    lies = "within" if arm.answer == "equivalent" else "not within"
    return f"{moved}, the 90 % interval of the difference, [{low:+.2f}, {high:+.2f}], is {lies} ±{arm.margin:.2f}"


def _arms(likeness: StudyLikeness) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("arm")
    headings = (
        f"recorded\n{wording.titled(likeness.metric)}",
        "now",
        "difference\n90 % interval",
        "margin\n1.96 · √2 · s",
        "n",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    table.add_column("answer")
    for arm in likeness.arms:
        table.add_row(
            Text(arm.name),
            _number(arm.recorded),
            _number(arm.now),
            _difference(arm),
            f"±{arm.margin:.2f}",
            str(arm.n),
            Text(arm.answer, style=COLOURS[arm.answer]),
        )
    return table


def _verdicts(likeness: StudyLikeness) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("claim", "verdict recorded", "now"):
        table.add_column(heading)
    for heading in ("effect recorded", "now"):
        table.add_column(heading, justify="right")
    for one in likeness.verdicts:
        style = "" if one.recorded == one.now else "bold yellow"
        means = (_effect(one.recorded_mean, one.recorded_n), _effect(one.now_mean, one.now_n))
        table.add_row(Text(one.claim), one.recorded, Text(one.now, style=style), *means)
    return table


def _origin(likeness: StudyLikeness) -> str:
    if likeness.first is not None:
        return f"first ingredient that differs: {likeness.first}"
    if not likeness.known:
        return "which ingredient differs is not known: the record does not say what it was made of."
    if likeness.answer == "identical":
        return "no ingredient differs: code, data, packages, hardware and configuration are as recorded."
    return "nothing recorded differs: the runs are not deterministic."


def _others(likeness: StudyLikeness) -> Iterator[str]:
    others = [f"definition: {line}" for line in likeness.definition] + [str(one) for one in likeness.differences]
    for line in others[1 : 1 + SHOWN]:
        yield f"  also {line}"
    if (more := len(others) - 1 - SHOWN) > 0:
        yield f"  and {more} more"


def _number(value: float | None) -> str:
    return wording.UNKNOWN if value is None else f"{value:.2f}"


def _effect(value: float | None, n: int) -> str:
    return wording.UNKNOWN if value is None else f"{value:.4g} (n = {n})"


def _difference(arm: ArmLikeness) -> str:
    if arm.difference is None:
        return wording.UNKNOWN
    if arm.difference == 0 and arm.interval is None:
        return "0"
    return f"{arm.difference:+.2f}" + (
        "" if arm.interval is None else f" [{arm.interval[0]:+.2f}, {arm.interval[1]:+.2f}]"
    )
