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
from experiments.measures.reach import Status

COLOURS = "viridis"
# Okabe & Ito 2008: told apart with any kind of colour vision.
BLUE, ORANGE = "#0072B2", "#D55E00"

Image = npt.NDArray[np.uint8]


def draw_receptive_fields(measures: NetworkMeasures, image: Image | None = None) -> Figure:
    """Draw the windows of the layers, centred on the input (black), and their sides against the layers.

    Shown are the layers whose output is a map of units with an exact receptive field larger than before.

    Args:
        measures: of the network.
        image: `(H, W, 3)`, what the windows are drawn over; without one they are filled.

    Raises:
        ValueError: no layer has an exact receptive field.
    """
    growing = _growing(measures.layers)
    if not growing:
        raise ValueError("no layer has an exact receptive field to draw")
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    windows, sides = figure.subplots(1, 2, width_ratios=(1, 1.2))
    _draw_windows(windows, [_sizes(layer) for layer in growing], measures.input_shape, image)
    _draw_sides(sides, growing, measures.input_shape)
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
    axes: Axes, sizes: Sequence[tuple[int, int]], input_shape: tuple[int, int, int], image: Image | None
) -> None:
    _, height, width = input_shape
    colours = ScalarMappable(Normalize(1, max(len(sizes), 2)), COLOURS)
    if image is not None:
        axes.imshow(image, extent=(0, width, height, 0))
    for index, (y, x) in reversed(list(enumerate(sizes, start=1))):
        corner = (width / 2 - x / 2, height / 2 - y / 2)
        colour = colours.to_rgba(np.asarray(float(index)))
        if image is None:
            axes.add_patch(Rectangle(corner, x, y, facecolor=colour, edgecolor="white", linewidth=0.4))
        else:
            axes.add_patch(Rectangle(corner, x, y, facecolor="none", edgecolor=colour, linewidth=1.6))
    axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor="black", linewidth=1.5))
    reach_y, reach_x = (max(side) for side in zip(*sizes, strict=True))
    half = 0.52 * max(reach_y, reach_x, height, width)
    axes.set(xlim=(width / 2 - half, width / 2 + half), ylim=(height / 2 + half, height / 2 - half), aspect="equal")
    axes.set(xlabel="x (pixels)", ylabel="y (pixels)", title=f"Receptive fields, centred on the {height}x{width} input")


def _draw_sides(axes: Axes, growing: Sequence[LayerMeasures], input_shape: tuple[int, int, int]) -> None:
    sizes = [_sizes(layer) for layer in growing]
    numbers = np.arange(1, len(growing) + 1)
    alike = all(y == x for y, x in sizes)
    for axis, (name, style) in enumerate((("y", "-"), ("x", "--"))):
        if axis == 0 or not alike:
            label = "longest path" + ("" if alike else f", {name}")
            sides = [size[axis] for size in sizes]
            axes.plot(numbers, sides, style, marker="o", markersize=3, color=BLUE, label=label)
    shortest = [max(side or 0 for side in layer.field.shortest_path) for layer in growing]
    if shortest != [max(size) for size in sizes]:
        axes.plot(numbers, shortest, ":", marker="s", markersize=3, color=ORANGE, label="shortest path")
    axes.axhline(max(input_shape[1:]), color="black", linewidth=1, label="input")
    axes.set(xlabel="layers that widen the receptive field", ylabel="receptive field (pixels)", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    reach_y, reach_x = (max(side) for side in zip(*sizes, strict=True))
    axes.set_title(f"{reach_y}x{reach_x} pixels after {len(growing)} layers")


def _growing(layers: Sequence[LayerMeasures]) -> list[LayerMeasures]:
    """Return the layers with an exact receptive field that is larger than all before."""
    growing: list[LayerMeasures] = []
    largest = (0, 0)
    for layer in layers:
        y, x = layer.receptive_field
        if layer.status is not Status.EXACT or y is None or x is None or None in layer.stride:
            continue
        if y > largest[0] or x > largest[1]:
            largest = max(y, largest[0]), max(x, largest[1])
            growing.append(layer)
    return growing


def _sizes(layer: LayerMeasures) -> tuple[int, int]:
    y, x = layer.receptive_field
    return y or 0, x or 0
