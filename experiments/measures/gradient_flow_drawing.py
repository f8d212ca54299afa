"""Gradient flow as pictures: a heat map of one training, layers by steps, and several networks layer by layer."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from experiments.measures.gradient_flow import GradientFlowRecord, Norms
from experiments.measures.palette import COLOURS, MAP, ORANGE

# What has no place on a logarithmic scale. None of these is in the colour map, for any kind of colour vision.
ZERO, NOT_FINITE, NONE = "black", ORANGE, "#d9d9d9"
# The line says in grey what the colour does.
LINES = tuple(zip(COLOURS, ("-", "--", "-.", ":", (0, (2, 1)), (0, (8, 2))), "os^DvP", strict=True))
NAMED_LAYERS = 45  # as many names fit beside the map; of more layers only every so many-th is named
MARKED_STEPS = 8  # up to here every step has its tick
MARKED_LAYERS = 40  # up to here the layers of a profile have points


def draw_gradient_flow(record: GradientFlowRecord, *, relative: bool = False, title: str = "") -> Figure:
    """Draw the gradient norms of every layer (input at the top) at every recorded step, on a logarithmic scale.

    Colours outside of the scale mark gradients of zero, gradients that are not finite, and layers without one.

    Args:
        record: at least one step.
        relative: draw the norms of the gradients relative to those of the weights.
        title: above the map.

    Raises:
        ValueError: no step is recorded.
    """
    if not record.steps:
        raise ValueError("no step of the gradient flow is recorded")
    values = record.relative if relative else record.norms
    count = len(record.layers)
    figure = Figure(figsize=(8.0, float(np.clip(1.4 + 0.15 * count, 3.0, 8.5))), layout="constrained")
    axes = figure.subplots()
    edges = _edges(record.steps), np.arange(count + 1, dtype=np.float64) - 0.5
    finite = np.isfinite(values) & (values > 0)
    if finite.any():
        low, high = values[finite].min(), values[finite].max()
        shown = np.ma.array(np.where(finite, values, 1), mask=~finite)
        # One value alone stands in the middle of the scale.
        norm = LogNorm(low, high) if high > low else LogNorm(low / 2, 2 * high)
        mesh = axes.pcolormesh(*edges, shown, cmap=MAP, norm=norm, rasterized=True)
        what = "norm of the gradient / norm of the weights" if relative else "L2 norm of the gradient"
        figure.colorbar(mesh, ax=axes, label=what, pad=0.02)
    legend = [
        _mark(axes, edges, cells, colour, label)
        for cells, colour, label in (
            (values == 0, ZERO, "zero"),
            (np.isinf(values), NOT_FINITE, "not finite"),
            (np.isnan(values), NONE, "no ratio" if relative else "no gradient"),
        )
        if cells.any()
    ]
    if legend:
        figure.legend(handles=legend, loc="outside lower left", ncols=3, frameon=False, fontsize=8, title_fontsize=8)
    named = _named(count)
    size = 8 if count <= NAMED_LAYERS // 2 else 7
    axes.set_yticks(named, [record.layers[index] or "(network)" for index in named], fontsize=size)
    axes.set(ylim=(count - 0.5, -0.5), xlabel="optimizer steps taken", ylabel="layers (input at the top)")
    axes.xaxis.set_major_locator(FixedLocator(_ticks(record.steps)))
    axes.set_title(title or "Gradient flow", loc="left", fontsize=10)
    return figure


def draw_gradient_profiles(records: Mapping[str, GradientFlowRecord], *, step: int = 0, title: str = "") -> Figure:
    """Draw the gradient norms at one step against the layers, a line per network.

    Layers are numbered from the input; a gradient that is zero, not finite or missing breaks the line.

    Args:
        records: by the name of the network.
        step: one that all have recorded; 0 is at initialisation.
        title: above the axes.

    Raises:
        ValueError: there is no network, or one has not recorded the step.
    """
    if not records:
        raise ValueError("no gradient flow to draw")
    figure = Figure(figsize=(7.0, 3.8), layout="constrained")
    axes = figure.subplots()
    for position, (name, record) in enumerate(records.items()):
        if step not in record.steps:
            raise ValueError(f"step={step}: not recorded of {name}; recorded are {_some(record.steps)}")
        norms = record.norms[:, record.steps.index(step)]
        colour, line, marker = LINES[position % len(LINES)]
        shown = np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)
        layers = np.arange(1, len(norms) + 1)
        marked = marker if len(norms) <= MARKED_LAYERS else ""
        axes.plot(layers, shown, color=colour, linestyle=line, marker=marked, markersize=3.5, linewidth=1.5, label=name)
    axes.set(yscale="log", xlabel="weighted layers, from the input to the output", ylabel="L2 norm of the gradient")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    at = "at initialisation" if step == 0 else f"after {step} steps"
    axes.set_title(title or f"Gradient flow {at}", loc="left", fontsize=10)
    return figure


def _mark(axes: Axes, edges: tuple[Norms, Norms], cells: npt.NDArray[np.bool_], colour: str, label: str) -> Patch:
    """Paint `cells` in one colour and return their entry of the legend."""
    axes.pcolormesh(
        *edges, np.ma.array(np.ones(cells.shape), mask=~cells), cmap=ListedColormap([colour]), rasterized=True
    )
    return Patch(facecolor=colour, edgecolor="black", linewidth=0.5, label=label)


def _named(count: int) -> list[int]:
    """Return which of the layers are named: the first, the last, and as many between as there is room for."""
    step = -(-count // NAMED_LAYERS)
    return [*(index for index in range(0, count - 1, step) if count - 1 - index >= step), count - 1]


def _ticks(steps: Sequence[int]) -> Sequence[float]:
    """Return where steps are marked: the recorded ones, or of many round numbers from the first to the last."""
    if len(steps) <= MARKED_STEPS:
        return steps
    # The first column begins before the first step.
    round_numbers = MaxNLocator(integer=True).tick_values(steps[0], steps[-1])
    return [float(step) for step in round_numbers if steps[0] <= step <= steps[-1]]


def _edges(steps: tuple[int, ...]) -> Norms:
    """Return where the columns of the steps begin and end: half-way between two steps."""
    at = np.array(steps, dtype=np.float64)
    if len(at) == 1:
        return np.array([at[0] - 0.5, at[0] + 0.5])
    middles = (at[1:] + at[:-1]) / 2
    return np.concatenate([[2 * at[0] - middles[0]], middles, [2 * at[-1] - middles[-1]]])


def _some(steps: tuple[int, ...], count: int = 5) -> str:
    listed = ", ".join(map(str, steps[:count]))
    return f"{listed} … {steps[-1]}" if len(steps) > count else listed
