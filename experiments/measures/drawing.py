"""The receptive field growing from layer to layer, drawn over the input."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from experiments.measures.layers import LayerMeasures
from experiments.measures.network import NetworkMeasures
from experiments.measures.reach import Status

COLOURS = "viridis"


def draw_receptive_fields(measures: NetworkMeasures) -> Figure:
    """Draw the windows of the layers, centred on the input (black), and their sides against the layers.

    Shown are the layers whose output is a map of units with an exact receptive field larger than before.

    Raises:
        ValueError: no layer has an exact receptive field.
    """
    growing = _growing(measures.layers)
    if not growing:
        raise ValueError("no layer has an exact receptive field to draw")
    _, height, width = measures.input_shape
    norm = Normalize(1, max(len(growing), 2))
    colours = ScalarMappable(norm, COLOURS)
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    windows, sides = figure.subplots(1, 2, width_ratios=(1, 1.2))

    for index, (y, x) in reversed(list(enumerate(growing, start=1))):
        corner = (width / 2 - x / 2, height / 2 - y / 2)
        colour = colours.to_rgba(np.asarray(float(index)))
        windows.add_patch(Rectangle(corner, x, y, facecolor=colour, edgecolor="white", linewidth=0.4))
    windows.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor="black", linewidth=1.5))
    reach_y, reach_x = (max(sizes) for sizes in zip(*growing, strict=True))
    half = 0.52 * max(reach_y, reach_x, height, width)
    windows.set(xlim=(width / 2 - half, width / 2 + half), ylim=(height / 2 + half, height / 2 - half), aspect="equal")
    windows.set(
        xlabel="x (pixels)", ylabel="y (pixels)", title=f"Receptive fields, centred on the {height}x{width} input"
    )

    layers = np.arange(1, len(growing) + 1)
    for axis, (name, style) in enumerate((("y", "-"), ("x", "--"))):
        sizes = [window[axis] for window in growing]
        if axis == 0 or sizes != [window[0] for window in growing]:
            label = "y and x" if sizes == [window[1] for window in growing] else name
            sides.plot(layers, sizes, style, marker="o", markersize=3, color="tab:blue", label=label)
    sides.axhline(max(height, width), color="black", linewidth=1, label="input")
    sides.set(xlabel="layers that widen the receptive field", ylabel="receptive field (pixels)", ylim=(0, None))
    sides.xaxis.set_major_locator(MaxNLocator(integer=True))
    sides.legend()
    sides.set_title(f"{reach_y}x{reach_x} pixels after {len(growing)} layers")
    return figure


def _growing(layers: tuple[LayerMeasures, ...]) -> list[tuple[int, int]]:
    """Return the sizes (y, x) of the exact receptive fields, each one that is larger than all before."""
    growing: list[tuple[int, int]] = []
    for layer in layers:
        y, x = layer.receptive_field
        if layer.status is not Status.EXACT or y is None or x is None or None in layer.stride:
            continue
        before = growing[-1] if growing else (0, 0)
        if y > before[0] or x > before[1]:
            growing.append((max(y, before[0]), max(x, before[1])))
    return growing
