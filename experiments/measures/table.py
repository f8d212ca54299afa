"""The measures of a network as a person reads them in a terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from experiments.measures.effective import SHARE, EffectiveField
from experiments.measures.gradient_flow import GradientFlowRecord
from experiments.measures.latency import Latency
from experiments.measures.layers import Field, LayerMeasures
from experiments.measures.network import NetworkMeasures
from experiments.measures.parameters import Parameters
from experiments.measures.reach import Status

# Wide enough for every column, where there is no terminal that could say how wide it is.
WIDTH = 150
# From here on there is room for what most readers do not look for.
WIDE = 116


def print_measures(measures: NetworkMeasures, title: str, sentences: Sequence[str]) -> None:
    """Print the layers of a network, and below them `sentences`."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(layer_table(measures, title, console.width))
    for line in sentences:
        console.print(line, highlight=False, soft_wrap=True)


def layer_table(measures: NetworkMeasures, title: str, width: int = WIDTH) -> Table:
    """Return the table of the layers, in the order of the calls, for `width` characters a line.

    Columns that say nothing in any row are left out, and those that a narrow line has no room for.
    """
    table = Table(title=f"{title}, input {shape_of(measures.input_shape)}", title_justify="left", box=box.SIMPLE_HEAD)
    table.padding = (0, int(width >= WIDE))
    table.collapse_padding, table.pad_edge = True, False
    table.add_column("layer", overflow="fold")
    table.add_column("kind", overflow="fold")
    columns = [column for column in _COLUMNS if width >= column.width and any(map(column.informs, measures.layers))]
    for column in columns:
        table.add_column(column.name, justify="left" if column.name == "known" else "right", no_wrap=True)
    for layer in measures.layers:
        table.add_row(layer.name or "(network)", layer.kind, *(column.cell(layer) for column in columns))
    reasons = dict.fromkeys((layer.status, layer.reason) for layer in measures.layers if layer.reason)
    table.caption = "\n".join(f"{status.value}: {reason}" for status, reason in reasons)
    table.caption_justify = "left"
    return table


@dataclass(frozen=True)
class _Column:
    """A column of the table, its cell of a layer, from which width on it is shown, and whether a cell is worth it."""

    name: str
    cell: Callable[[LayerMeasures], str]
    width: int = 0
    informs: Callable[[LayerMeasures], bool] = lambda _: True


def totals(measures: NetworkMeasures, title: str) -> list[str]:
    """Return the sums, in sentences: never MACs without the size of the input."""
    field = measures.field
    counted = Parameters(measures.parameters, measures.trainable_parameters, measures.weight_bytes)
    first = (
        f"{title}: {parameters_of(counted)}, {measures.macs:,} MACs and {measures.activations:,} activations "
        f"at input {shape_of(measures.input_shape)}, "
        f"depth {measures.depth}"
    )
    lines = [first]
    if field.status is Status.EXACT:
        line = f"receptive field of the last map: {field_size(field)} pixels"
        line += f", stride {pair(field.stride)}, padding {pair(field.padding)}" if None not in field.stride else ""
        why = f" ({field.reason})" if None in field.shortest_path and field.reason else ""
        lines.append(f"{line}; shortest path {pair(field.shortest_path)}{why}; paths centred {centres(field)}")
    else:
        line = f"receptive field of the last map: {field_size(field)}; {field.reason}"
        if field.shortest_path != (None, None):
            line += f"; shortest path, which joins no positions, {pair(field.shortest_path)} pixels"
        lines.append(line)
    if inside := seen(field):
        lines.append(f"at this input size its centre unit sees the pixels {inside}")
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


def parameters_of(counted: Parameters) -> str:
    """Say how many parameters there are, and the memory that they take."""
    trainable = "" if counted.trainable == counted.total else f"{counted.trainable:,} of them trainable, "
    return f"{counted.total:,} parameters ({trainable}{memory(counted.size)})"


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


def gradients_line(record: GradientFlowRecord) -> str:
    """Say between which layers the gradient grows or vanishes, at the first step of a record."""
    norms = record.norms[:, 0]
    known = [index for index in range(len(norms)) if np.isfinite(norms[index])]
    if not known:
        return "gradient at initialisation: finite in no layer"
    least, most = min(known, key=norms.__getitem__), max(known, key=norms.__getitem__)
    named = [f"{norms[index]:.3g} in {record.layers[index] or '(network)'}" for index in (known[0], known[-1])]
    return (
        f"norm of the gradient at initialisation: {named[0]}, the first layer, {named[1]}, the last; "
        f"least {norms[least]:.3g} ({record.layers[least]}), most {norms[most]:.3g} ({record.layers[most]})"
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


def seen(field: Field) -> str:
    """Say which pixels of the image the centre unit sees, if that is not all of its receptive field."""
    if field.visible_size == field.size or field.visible == (None, None):
        return ""
    return pair([None if ends is None else f"{ends[0]}-{ends[1]}" for ends in field.visible])


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


_COLUMNS = (
    _Column("output", lambda layer: shape_of(layer.output_shape)),
    _Column("parameters", lambda layer: f"{layer.parameters:,}" if layer.parameters else ""),
    _Column("MACs", lambda layer: f"{layer.macs:,}" if layer.macs else ""),
    _Column(
        "receptive\nfield",
        lambda layer: ("\u2264 " if layer.status is Status.BOUND else "") + pair(layer.receptive_field),
    ),
    _Column(
        "shortest\npath",
        lambda layer: pair(layer.field.shortest_path),
        96,
        informs=lambda layer: layer.field.shortest_path not in (layer.field.size, (None, None)),
    ),
    _Column("pixels\nseen", lambda layer: seen(layer.field), WIDE, lambda layer: bool(seen(layer.field))),
    _Column("stride", lambda layer: pair(layer.stride)),
    _Column("padding", lambda layer: pair(layer.padding)),
    _Column("start", lambda layer: pair(layer.field.start), WIDE, lambda layer: any(layer.field.start)),
    _Column(
        "paths\ncentred",
        lambda layer: centres(layer.field),
        informs=lambda layer: centres(layer.field) == "differently",
    ),
    _Column("known", lambda layer: layer.status.value),
)
