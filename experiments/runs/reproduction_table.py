"""A reproduction as a person reads it in a terminal: the numbers side by side, the answer, the first difference."""

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiments.runs.likeness import METRIC, Interval, Likeness
from experiments.runs.reproduction import Reproduction

COLOURS = {"identical": "green", "equivalent": "green", "different": "red"}
NOTE_WIDTH = 9
MOST_ROWS = 12


def print_note(console: Console, subject: str, line: str) -> None:
    """Say one thing about where the code comes from, or what differs, before the training."""
    if subject == "reproducing":
        console.print(f"reproducing [bold]{escape(line)}[/]", soft_wrap=True)
        return
    style = "yellow" if subject in ("differs", "missing") else "dim"
    if not console.is_terminal:
        # A line is a line, whatever its length, for whoever reads it by program.
        console.print(f"  {subject:<{NOTE_WIDTH}} {escape(line)}", soft_wrap=True)
        return
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=NOTE_WIDTH + 2)
    grid.add_column()
    grid.add_row(f"  [{style}]{subject}[/]", escape(line))
    console.print(grid)


def print_reproduction(console: Console, reproduction: Reproduction) -> None:
    """Print the numbers side by side, then the answer and its grounds."""
    likeness, whole_lines = reproduction.likeness, not console.is_terminal
    print_note(console, "run", "  ".join(filter(None, (likeness.now.run_id, str(likeness.now.run_dir)))))
    console.print(_table(likeness))
    grounds = [] if reproduction.answer == "identical" or reproduction.is_another_experiment else _grounds(likeness)
    for subject, line in [("compared", compared(likeness)), *_bits(likeness), *grounds]:
        print_note(console, subject, line)
    console.print()
    colour = COLOURS[reproduction.answer]
    console.print(f"[bold {colour}]{reproduction.answer}[/]: {escape(reason(reproduction))}", soft_wrap=whole_lines)
    console.print(escape(origin(reproduction)), soft_wrap=whole_lines)
    for difference in reproduction.differences[1:4]:
        console.print(f"  also {escape(str(difference))}", soft_wrap=whole_lines)
    if (more := len(reproduction.differences) - 4) > 0:
        console.print(f"  and {more} more")


def reason(reproduction: Reproduction) -> str:
    """Return the grounds of the answer, in a sentence or two."""
    likeness = reproduction.likeness
    if reproduction.answer == "identical":
        what = "every recorded number" if likeness.numbers.every_step else "every recorded last value"
        if likeness.weights is None:
            return f"{what} is the same to the bit; the weights cannot be compared, a checkpoint is missing."
        return f"the weights of the best epoch and {what} are the same to the bit."
    before, after = likeness.recorded.metrics[METRIC], likeness.now.metrics[METRIC]
    moved = f"test top-1 error {before:.2f} % → {after:.2f} %"
    if reproduction.is_another_experiment:
        return f"another configuration is another experiment; {moved}."
    interval, points = likeness.interval, likeness.margin.points
    lies = "lies" if reproduction.answer == "equivalent" else "does not lie"
    found = f"{moved}; the 90 % interval of the difference, {_interval(interval)},"
    return f"{found} {lies} within the margin of ±{points:.2f} points."


def origin(reproduction: Reproduction) -> str:
    """Return where the difference comes from, as far as it is recorded."""
    if reproduction.first is not None:
        return f"first ingredient that differs: {reproduction.first}"
    if reproduction.answer == "identical":
        return "no ingredient differs: code, data, packages, hardware and configuration are as recorded."
    return "nothing recorded differs: the run is not deterministic."


def _table(likeness: Likeness) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric")
    for column in ("recorded", "now", "difference"):
        table.add_column(column, justify="right")
    rows = [row for row in likeness.rows if not row[0].startswith("test_class/")]
    for name, before, after in rows[:MOST_ROWS]:
        unit = " %" if name.endswith("_error") else ""
        digits = 2 if unit else 0 if name.endswith("/epoch") else 6
        table.add_row(
            name.replace("_", " ").replace("top", "top-").replace("/", ": "),
            f"{before:.{digits}f}{unit}",
            f"{after:.{digits}f}{unit}",
            _difference(before, after, digits),
        )
    return table


def _difference(before: float, after: float, digits: int) -> str:
    if before == after or (math.isnan(before) and math.isnan(after)):
        return "0"
    difference = after - before
    shown = f"{difference:+.{digits}f}"
    return shown if float(shown) else f"{difference:+.1e}"


def compared(likeness: Likeness) -> str:
    """Say what of the two runs was compared: how many runs, epochs, metrics, tensors and pictures."""
    epochs = likeness.recorded.metrics.get("spent/epochs")
    trained = "" if epochs is None else f", {counted(int(epochs), 'epoch')}"
    tensors = "no weights" if likeness.weights is None else f"{counted(likeness.weights.total, 'tensor')} of weights"
    return (
        f"1 run with its record (seed {likeness.recorded.seed}{trained}): {metrics_said(likeness.numbers.names)}; "
        f"{tensors}; {counted(likeness.margin.pictures, 'picture')} of the test"
    )


def counted(number: int, what: str) -> str:
    """Return `1 epoch`, `2 epochs`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def metrics_said(names: Sequence[str]) -> str:
    """Name metrics by the part of the data that they are of: `test (loss, top1_error)`; those of classes in short."""
    parts: dict[str, list[str]] = {}
    for name in names:
        part, _, what = name.partition("/")
        parts.setdefault(part, []).append(what)
    return ", ".join(
        f"the test error of {len(own)} classes" if part == "test_class" else f"{part} ({', '.join(own)})"
        for part, own in sorted(parts.items())
    )


def _bits(likeness: Likeness) -> list[tuple[str, str]]:
    numbers, weights = likeness.numbers, likeness.weights
    kind = "of every step" if numbers.every_step else "(last values; those of every step are in the store only)"
    line = f"{numbers.equal} of {numbers.total} recorded numbers {kind} are the same to the bit"
    lines = [("metrics", line if numbers.first is None else f"{line}; the first that differs: {numbers.first}")]
    if weights is None:
        return [*lines, ("weights", "not compared: a checkpoint is missing")]
    line = f"{weights.equal} of {weights.total} tensors of the best epoch are the same to the bit"
    if weights.furthest is not None:
        line += f"; furthest: {weights.furthest}, by {weights.distance:.1e}"
    return [*lines, ("weights", line)]


def _interval(interval: Interval) -> str:
    return f"[{interval.low:+.2f}, {interval.high:+.2f}]"


def _grounds(likeness: Likeness) -> list[tuple[str, str]]:
    """Say what the interval and the margin are made of."""
    interval, margin = likeness.interval, likeness.margin
    pictures = "the two tests are taken as independent: not both networks could be asked about each picture"
    if (counted := interval.disagreement) is not None:
        pictures = (
            f"of {counted['pictures']:,} in the test, {counted['recorded_alone']} were wrong only when recorded, "
            f"{counted['now_alone']} only now"
        )
    known = f"±{margin.points:.2f} points: standard error {margin.standard_error:.2f} at {margin.pictures:,} pictures, "
    if margin.spread is None:
        known += "and no spread over seeds is known"
    else:
        known += f"standard deviation {margin.spread.deviation:.2f} over {margin.spread.replicates} seeds"
    return [("pictures", pictures), ("margin", known)]
