"""The measures of a network as a person reads them in a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from experiments.measures.effective import SHARE, EffectiveField
from experiments.measures.latency import Latency
from experiments.measures.layers import Field
from experiments.measures.network import NetworkMeasures
from experiments.measures.reach import Status

# Wide enough for every column, where there is no terminal that could say how wide it is.
WIDTH = 150


def print_measures(measures: NetworkMeasures, title: str, sentences: Sequence[str]) -> None:
    """Print the layers of a network, and below them `sentences`."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(layer_table(measures, title))
    for line in sentences:
        console.print(line, highlight=False, soft_wrap=True)


def layer_table(measures: NetworkMeasures, title: str) -> Table:
    """Return the table of the layers, in the order of the calls."""
    table = Table(title=f"{title}, input {shape_of(measures.input_shape)}", title_justify="left")
    table.add_column("layer", overflow="fold")
    table.add_column("kind", overflow="fold")
    table.add_column("output", justify="right", no_wrap=True)
    for name in ("parameters", "MACs", "receptive field", "stride", "padding"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("known", overflow="fold")
    reason = None
    for layer in measures.layers:
        note = layer.status.value
        if layer.reason and layer.reason != reason:
            note += f" ({layer.reason})"
        reason = layer.reason
        table.add_row(
            layer.name or "(network)",
            layer.kind,
            shape_of(layer.output_shape),
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.macs:,}" if layer.macs else "",
            field_size(layer.field),
            pair(layer.stride),
            pair(layer.padding),
            note,
        )
    return table


def totals(measures: NetworkMeasures, title: str) -> list[str]:
    """Return the sums, in sentences: never MACs without the size of the input."""
    field = measures.field
    trainable = (
        ""
        if measures.trainable_parameters == measures.parameters
        else f"{measures.trainable_parameters:,} of them trainable, "
    )
    first = (
        f"{title}: {measures.parameters:,} parameters ({trainable}{memory(measures.weight_bytes)}), "
        f"{measures.macs:,} MACs and {measures.activations:,} activations at input {shape_of(measures.input_shape)}, "
        f"depth {measures.depth}"
    )
    lines = [first]
    if field.status is Status.EXACT:
        line = f"receptive field of the last map: {field_size(field)} pixels"
        line += f", stride {pair(field.stride)}, padding {pair(field.padding)}" if None not in field.stride else ""
        lines.append(f"{line}; shortest path {pair(field.shortest_path)}; paths centred {centres(field)}")
    else:
        lines.append(f"receptive field of the last map: {field_size(field)}; {field.reason}")
    unused = measures.parameters - sum(layer.parameters for layer in measures.layers)
    if unused:
        lines.append(f"{unused:,} parameters belong to no layer above: not used in evaluation mode, or used indirectly")
    if measures.saved_bytes is not None:
        lines.append(f"training keeps {memory(measures.saved_bytes)} per image for the backward pass")
    elif measures.saved_reason is not None:
        lines.append(f"what training keeps for the backward pass is not known: {measures.saved_reason}")
    if measures.output:
        lines.append(f"of several outputs, depth and receptive field are those of {measures.output}")
    return lines


def latency_line(latency: Latency) -> str:
    """Say what a forward pass took, and on what."""
    spread = "too few for quartiles"
    if latency.quartiles is not None:
        first, third = map(_milliseconds, latency.quartiles)
        spread = f"quartiles {first} and {third} ms"
    threads = "1 thread" if latency.threads == 1 else f"{latency.threads} threads"
    passes = "1 pass" if latency.passes == 1 else f"{latency.passes} passes"
    return (
        f"forward pass of {shape_of(latency.input_shape)} on {latency.device}, {threads}, {latency.dtype}: "
        f"median {_milliseconds(latency.median)} ms of {passes} ({spread}), "
        f"at most {memory(latency.peak_bytes)} of tensors at once"
    )


def _milliseconds(seconds: float) -> str:
    count = 1000 * seconds
    return f"{count:.3g}" if count < 1000 else f"{count:,.0f}"  # noqa: PLR2004 - of three digits


def effective_line(effective: EffectiveField) -> str:
    """Say how large the effective receptive field is, and of what."""
    share = "" if effective.ratio is None else f", {effective.ratio:.0%} of {field_size(effective.theoretical)}"
    beyond = "; a part of the theoretical one lies outside the image" if effective.clipped else ""
    return (
        f"effective receptive field of the last map: {SHARE:.2%} of the gradient's energy in a square of "
        f"{effective.side:.1f} pixels{share}{beyond}"
    )


def field_size(field: Field) -> str:
    """Return the size of a receptive field, and how it is known, in a few characters."""
    size = pair(field.size)
    return {
        Status.EXACT: size,
        Status.WHOLE_IMAGE: f"whole image ({size})",
        Status.BOUND: f"at most {size}",
        Status.UNSUPPORTED: "unknown",
    }[field.status]


def centres(field: Field) -> str:
    """Say whether all paths through the network are centred alike."""
    if None in field.aligned:
        return "-"
    return "alike" if all(field.aligned) else "differently"


def pair(values: Sequence[object]) -> str:
    """Say a number per axis (y, x): one if they are the same, `-` for what is not known."""
    y, x = ("-" if value is None else str(value) for value in values)
    return y if y == x else f"{y} x {x}"


def shape_of(shape: Sequence[int]) -> str:
    """Say `(C, H, W)` as `CxHxW`."""
    return "x".join(map(str, shape))


def memory(count: float) -> str:
    """Say a number of bytes with a binary prefix."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:  # noqa: PLR2004 - the next unit
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"
