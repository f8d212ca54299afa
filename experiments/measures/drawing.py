"""The measures of a network as pictures: how the receptive field grows over the input, and where the budget goes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, MaxNLocator

from experiments.measures.layers import LayerMeasures
from experiments.measures.network import NetworkMeasures
from experiments.measures.palette import BLUE, MAP, ORANGE
from experiments.measures.reach import Status

NAMED_LAYERS = 36  # as many names fit below; of more layers only every so many-th is named

Image = npt.NDArray[np.uint8]


def draw_receptive_fields(measures: NetworkMeasures, image: Image | None = None) -> Figure:
    """Draw the window of each layer's centre unit over the input (black), and their sides against the layers.

    Both show a layer in the same colour. Shown are the layers whose output is a map of units with an exact receptive
    field larger than before. Where the last map's is not exact, the picture says from where on layers are not drawn,
    and why.

    Args:
        measures: of the network.
        image: `(H, W, 3)`, what the windows are drawn over; without one they are filled.

    Raises:
        ValueError: no layer has an exact receptive field.
    """
    growing = _growing(measures.layers)
    if not growing:
        raise ValueError("no layer has an exact receptive field to draw")
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    windows, sides = figure.subplots(1, 2, width_ratios=(1, 1.2))
    _draw_windows(windows, growing, measures.input_shape, image)
    _draw_sides(sides, growing, measures.input_shape)
    if not_drawn := _not_drawn(measures):
        figure.suptitle(not_drawn, fontsize=10)
        _draw_rest(sides, measures.field.status)
    return figure


def draw_budget(measures: NetworkMeasures) -> Figure:
    """Draw the parameters and the MACs of each convolution and matrix product, in the order of the calls."""
    weighted = [layer for layer in measures.layers if layer.macs]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(2, 1, sharex=True)
    shape = "x".join(map(str, measures.input_shape))
    for axes, values, total, what, colour in (
        (panels[0], [layer.parameters for layer in weighted], measures.parameters, "parameters", BLUE),
        (panels[1], [layer.macs for layer in weighted], measures.macs, f"MACs at {shape}", ORANGE),
    ):
        axes.bar(range(1, len(values) + 1), values, color=colour, width=0.85)
        axes.set_title(f"{total:,} {what}", loc="left", fontsize=10)
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[1].set_xlabel("convolutions and linear layers, from the input to the output")
    return figure


def _draw_windows(
    axes: Axes, growing: Sequence[LayerMeasures], input_shape: tuple[int, int, int], image: Image | None
) -> None:
    _, height, width = input_shape
    colours = _colours(len(growing))
    if image is not None:
        axes.imshow(image, extent=(0, width, height, 0))
    left, right, top, bottom = [0], [width], [0], [height]
    for index, layer in reversed(list(enumerate(growing))):
        (first_y, last_y), (first_x, last_x) = _windows(layer)
        corner, size = (first_x, first_y), (last_x + 1 - first_x, last_y + 1 - first_y)
        if image is None:
            axes.add_patch(Rectangle(corner, *size, facecolor=colours[index], edgecolor="white", linewidth=0.4))
        else:
            axes.add_patch(Rectangle(corner, *size, facecolor="none", edgecolor=colours[index], linewidth=1.6))
        for ends, pixel in ((left, first_x), (right, last_x + 1), (top, first_y), (bottom, last_y + 1)):
            ends.append(pixel)
    axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor="black", linewidth=1.5))
    half = 0.54 * max(max(right) - min(left), max(bottom) - min(top))
    x, y = (max(right) + min(left)) / 2, (max(bottom) + min(top)) / 2
    axes.set(xlim=(x - half, x + half), ylim=(y + half, y - half), aspect="equal")
    axes.set(xlabel="x (pixels)", ylabel="y (pixels)")
    axes.set_title(f"What the centre units see of the {height}x{width} input", fontsize=11)


def _draw_sides(axes: Axes, growing: Sequence[LayerMeasures], input_shape: tuple[int, int, int]) -> None:
    sizes = [_sizes(layer) for layer in growing]
    numbers = np.arange(1, len(growing) + 1)
    alike = all(y == x for y, x in sizes)
    for axis, (name, style) in enumerate((("y", "-"), ("x", "--"))):
        if axis == 0 or not alike:
            label = "longest path" + ("" if alike else f", {name}")
            sides = [size[axis] for size in sizes]
            axes.plot(numbers, sides, style, color=BLUE, linewidth=1, label=label)
            # In the colours of the windows.
            axes.scatter(numbers, sides, c=_colours(len(growing)), s=26, edgecolors=BLUE, linewidths=0.6, zorder=3)
    shortest = [max(side or 0 for side in layer.field.shortest_path) for layer in growing]
    if shortest != [max(size) for size in sizes]:
        axes.plot(numbers, shortest, ":", marker="s", markersize=3, color=ORANGE, label="shortest path")
    axes.axhline(max(input_shape[1:]), color="black", linewidth=1, label="input")
    axes.set(ylabel="receptive field (pixels)", ylim=(0, None))
    every = -(-len(growing) // NAMED_LAYERS)
    axes.set_xticks(numbers[::every], [layer.name or layer.kind for layer in growing[::every]])
    axes.tick_params("x", rotation=90, labelsize=7)
    axes.legend()
    reach_y, reach_x = (max(side) for side in zip(*sizes, strict=True))
    widening = "1 layer that widens" if len(growing) == 1 else f"{len(growing)} layers that widen"
    axes.set_title(f"{reach_y}x{reach_x} pixels after the {widening} it", fontsize=11)


def _draw_rest(axes: Axes, status: Status) -> None:
    """Say behind the last layer that is drawn that there are others."""
    left, right = axes.get_xlim()
    beyond = right + 0.12 * (right - left)
    axes.axvspan(right, beyond, facecolor="none", edgecolor="0.8", hatch="///", linewidth=0)
    text = f"then: {_REST[status]}"
    middle = (right + beyond) / 2
    axes.annotate(
        text,
        (middle, 0.5),
        xycoords=("data", "axes fraction"),
        rotation=90,
        ha="center",
        va="center",
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
    )
    axes.set_xlim(left, beyond)
    axes.legend(loc="center left")  # the few layers before lie at the bottom


# What units see whose receptive field is not exact.
_REST = {
    Status.WHOLE_IMAGE: "the whole image",
    Status.BOUND: "known only as a bound",
    Status.UNSUPPORTED: "not known",
}


def _not_drawn(measures: NetworkMeasures) -> str | None:
    """Say which layers are not drawn, if the last map is one of those whose receptive field is not exact."""
    rest = [layer for layer in measures.layers if layer.status is not Status.EXACT]
    if measures.field.status is Status.EXACT or not rest:
        return None
    first, count = rest[0], len(measures.layers)
    return (
        f"Drawn are only layers before {first.name or 'the operator'} ({first.kind}): from there on, what units see is "
        f"{_REST[measures.field.status]},\nfor {len(rest)} of {count} layers ({measures.field.reason})"
    )


def _growing(layers: Sequence[LayerMeasures]) -> list[LayerMeasures]:
    """Return the layers with an exact receptive field that is larger than all before."""
    growing: list[LayerMeasures] = []
    largest = (0, 0)
    for layer in layers:
        y, x = layer.receptive_field
        if layer.status is not Status.EXACT or y is None or x is None or None in layer.stride:
            continue
        if (y > largest[0] or x > largest[1]) and None not in layer.field.window:
            largest = max(y, largest[0]), max(x, largest[1])
            growing.append(layer)
    return growing


def _colours(count: int) -> list[tuple[float, float, float, float]]:
    """Return one colour per layer, dark for the first."""
    scale = ScalarMappable(Normalize(1, max(count, 2)), MAP)
    return [tuple(map(float, scale.to_rgba(np.asarray(float(number))))) for number in range(1, count + 1)]  # type: ignore[misc]


def _windows(layer: LayerMeasures) -> tuple[tuple[int, int], tuple[int, int]]:
    y, x = layer.field.window
    return y or (0, -1), x or (0, -1)


def _sizes(layer: LayerMeasures) -> tuple[int, int]:
    y, x = layer.receptive_field
    return y or 0, x or 0
