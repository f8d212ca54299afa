"""What the layers respond to as a picture: heat maps of layers by epochs, one for each number."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from experiments.measures.layer_record import FloatArray, LayerRecord
from experiments.measures.palette import MAP

NONE = "#d9d9d9"  # what has no number; not in the colour map, for any kind of colour vision
NAMED_LAYERS, NAMED_EPOCHS = 40, 8


def draw_layer_record(record: LayerRecord, title: str = "") -> Figure:
    """Draw a map of layers (the picture at the top) by epochs for each label's probe, and for orientation selectivity.

    The columns are the recorded epochs, equally wide. Low errors are light, as high selectivities are; grey is no
    number.

    Args:
        record: of at least one epoch.
        title: above the maps.

    Raises:
        ValueError: nothing is recorded.
    """
    if not record.epochs or not record.layers:
        raise ValueError("nothing of the layers is recorded")
    maps: list[tuple[str, FloatArray, bool]] = [
        *((f"error of a probe: {label} (%)", errors, True) for label, errors in record.errors.items()),
        ("orientation selectivity (median)", record.selectivity, False),
    ]
    height = float(np.clip(1.6 + 0.16 * len(record.layers), 2.8, 9.0))
    figure = Figure(figsize=(2.2 + 2.4 * len(maps), height), layout="constrained")
    all_axes = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    for axes, (name, values, is_error) in zip(all_axes, maps, strict=True):
        drawn = _draw(axes, values, is_error=is_error)
        axes.set_title(name, loc="left", fontsize=8)
        figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.9).ax.tick_params(labelsize=7)
        epochs = _some(len(record.epochs), NAMED_EPOCHS)
        axes.set_xticks(epochs, [str(record.epochs[place]) for place in epochs], fontsize=7)
        axes.set_xlabel("epochs trained", fontsize=8)
    named = _some(len(record.layers), NAMED_LAYERS)
    all_axes[0].set_yticks(named, [record.layers[place] or "(network)" for place in named], fontsize=7)
    all_axes[0].set_ylabel("layers (picture at the top)", fontsize=8)
    figure.suptitle(title or "What the layers respond to", x=0.01, ha="left", fontsize=10)
    return figure


def _draw(axes: Axes, values: FloatArray, *, is_error: bool) -> AxesImage:
    known = values[~np.isnan(values)]
    # Errors have a scale of their own; its best end is light in both kinds.
    low, high = (0.0, float(known.max())) if is_error and len(known) else (0.0, max(0.5, float(known.max(initial=0.0))))
    axes.set_facecolor(NONE)
    colours = f"{MAP}_r" if is_error else MAP
    return axes.imshow(
        np.ma.masked_invalid(values),
        cmap=colours,
        vmin=low,
        vmax=max(high, 1e-9),
        aspect="auto",
        interpolation="nearest",
    )


def _some(count: int, most: int) -> Sequence[int]:
    """Return which of so many places are named: at most `most`, the first and the last among them."""
    if count <= most:
        return range(count)
    return sorted({round(place) for place in np.linspace(0, count - 1, most)})
