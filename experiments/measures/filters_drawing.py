"""The first layer's filters as pictures, and how much each layer's look like edges."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.measures.filters import LayerSelectivity
from experiments.measures.palette import BLUE, ORANGE

Floats = npt.NDArray[np.float64]

# Okabe & Ito 2008: told apart with any kind of colour vision.
OWN, CHANCE = BLUE, ORANGE
GREY, RED_GREEN_BLUE = 1, 3  # input channels
QUANTILE = 0.995  # of the absolute weights, where the colours end: a few outliers do not fade all others
TILE = 24  # pixels of the picture along a filter, about; wide enough for gaps to be thin
NAMED_LAYERS = 30  # up to here, layers are named; beyond, numbered


def draw_first_filters(kernels: npt.NDArray[np.floating], note: str = "") -> Figure:
    """Draw the filters `(O, I, kH, kW)` row by row, in their order, all on one scale; middle grey is zero.

    Filters of one channel are drawn in grey, of three as red, green and blue, each against the same scale. Those of
    other numbers of channels are drawn as the pattern that holds most of their energy: their first principal component
    over the channels, with the sign of the channel that has the largest part in it. Weights that are no numbers are
    white.

    Args:
        kernels: the weights.
        note: goes on after the title.

    Raises:
        ValueError: not `(O, I, kH, kW)`, or nothing in it.
    """
    if kernels.ndim != 4 or 0 in kernels.shape:  # noqa: PLR2004 - O, I, kH, kW
        raise ValueError(f"filters of shape {kernels.shape}: must be (O, I, kH, kW), each at least 1")
    count, channels, height, width = kernels.shape
    weights = np.where(np.isfinite(kernels), kernels, np.nan).astype(np.float64)
    label = "weight"
    if channels not in (GREY, RED_GREEN_BLUE):
        weights, share = _principal(weights)
        label = f"weight (first principal component\nof {channels} channels, {share:.0%} of the energy)"
    limit = _limit(weights)
    columns = min(count, int(np.ceil(np.sqrt(2 * count))))
    rows = -(-count // columns)
    enlarged = max(1, TILE // max(height, width))
    tiles = np.moveaxis(weights, 1, -1).repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    tile = float(np.clip(8.0 / columns, 0.35, 0.8))
    figure = Figure(
        figsize=(max(4.0, columns * tile + 1.2), max(1.6, rows * tile * height / width + 0.9)), layout="constrained"
    )
    axes = figure.subplots()
    sheet = _mosaic(tiles, columns, gap=max(2, enlarged // 2))
    if channels == RED_GREEN_BLUE:
        shown = np.clip(0.5 + 0.5 * sheet / limit, 0, 1)
        axes.imshow(np.where(np.isnan(shown), 1.0, shown), interpolation="nearest")
        scale = f"grey: 0, full colour: ±{limit:.2g}"
    else:
        image = axes.imshow(sheet[..., 0], cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
        figure.colorbar(image, ax=axes, label=label, extend="both", ticks=[-limit, 0, limit], format="%.2g", aspect=12)
        scale = ""
    axes.set_axis_off()
    title = f"First layer: {count} filters of {height}x{width}" + (f", {note}" if note else "")
    axes.set_title("\n".join(line for line in (title, scale) if line), loc="left", fontsize=10)
    return figure


def draw_selectivity(selectivity: Sequence[LayerSelectivity], title: str = "") -> Figure:
    """Draw each layer's coherence beside its chance level, and below it the coherence adjusted for chance.

    The band is two standard deviations of a layer's chance level to either side.

    Raises:
        ValueError: there is no layer to draw.
    """
    if not selectivity:
        raise ValueError("no layer has kernels whose orientation selectivity could be drawn")
    named = len(selectivity) <= NAMED_LAYERS
    figure = Figure(
        figsize=(max(5.0, min(9.0, 2.5 + 0.3 * len(selectivity))), 5.2 if named else 4.6), layout="constrained"
    )
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, 1))
    layers = np.arange(1, len(selectivity) + 1)
    chance, deviation = (
        np.array([getattr(layer, name) for layer in selectivity]) for name in ("chance", "chance_deviation")
    )
    _with_points(upper, layers, [layer.coherence for layer in selectivity], OWN, "-", "the layer's kernels")
    _with_points(upper, layers, chance, CHANCE, "--", "shuffled kernels (chance)")
    upper.fill_between(layers, chance - 2 * deviation, chance + 2 * deviation, color=CHANCE, alpha=0.2, linewidth=0)
    upper.set(ylabel="coherence", ylim=(0, None))
    upper.legend(frameon=False)
    upper.set_title(title or "Orientation selectivity of the kernels", loc="left", fontsize=10)
    _with_points(lower, layers, [layer.adjusted for layer in selectivity], OWN, "-", "")
    lower.axhline(0, color=CHANCE, linestyle="--", linewidth=1)
    lower.set(ylabel="above chance:\n(coherence − chance)\n/ (1 − chance)")
    if named:
        lower.set_xticks(layers, [layer.name or "(network)" for layer in selectivity], rotation=90, fontsize=8)
    else:
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        lower.set_xlabel("convolutions, from the input to the output")
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _with_points(
    axes: Axes, layers: npt.NDArray[np.int64], values: Sequence[float] | Floats, colour: str, line: str, label: str
) -> None:
    axes.plot(layers, values, line, color=colour, marker="o", markersize=3.5, linewidth=1.4, label=label)


def _principal(weights: Floats) -> tuple[Floats, float]:
    """Return `(O, 1, kH, kW)`, the first principal components over the channels, and their share of the energy."""
    flat = np.nan_to_num(weights.reshape(*weights.shape[:2], -1))
    left, sizes, right = np.linalg.svd(flat, full_matrices=False)
    heaviest = np.abs(left[:, :, 0]).argmax(axis=1)
    signs = np.sign(left[np.arange(len(left)), heaviest, 0])
    patterns = (signs * sizes[:, 0])[:, None] * right[:, 0]
    energy = float((sizes**2).sum())
    share = float((sizes[:, 0] ** 2).sum()) / energy if energy else 1.0
    return patterns.reshape(len(weights), 1, *weights.shape[2:]), share


def _limit(weights: Floats) -> float:
    """Return the weight at which the colours end."""
    sizes = np.abs(weights[np.isfinite(weights)])
    limit = float(np.quantile(sizes, QUANTILE)) if sizes.size else 0.0
    return limit or float(sizes.max(initial=0.0)) or 1.0


def _mosaic(tiles: Floats, columns: int, gap: int) -> Floats:
    """Lay `(N, H, W, C)` out row by row as one sheet `(…, …, C)`, nan between the tiles."""
    count, height, width, channels = tiles.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), np.nan)
    for position, tile in enumerate(tiles):
        top, left = (position // columns) * (height + gap), (position % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet
