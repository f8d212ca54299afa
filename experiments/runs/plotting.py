"""How every picture looks: without pyplot's global state, told apart without colour, readable in grey."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from experiments.measures import palette

P = ParamSpec("P")
R = TypeVar("R")
Images = npt.NDArray[np.generic]

# Marker and line carry the meaning of the colour in grey.
COLOURS = palette.COLOURS
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1)), (0, (8, 2)))
RIGHT, WRONG = COLOURS[0], COLOURS[1]
INK = "#1b1f24"  # text and axes
FAINT = "#8c959f"  # what stands behind; visible on white and on black

DOTS_PER_INCH = 120

_STYLE: Any = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9.0,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "image.interpolation": "nearest",
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in the house's style, whatever the caller's settings; they stay as they are."""
    decorated: Callable[P, R] = rc_context(_STYLE)(draw)
    return decorated


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` by `height` inches that makes room for its labels by itself."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_facecolor("white")
    return figure


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, the same picture as `Figure.savefig` makes, drawn once instead of twice.

    `savefig` draws a figure that lays itself out a first time without keeping what it draws; of a run of seconds,
    pictures are a good part of the cost.

    Raises:
        OSError: the file cannot be written.
    """
    figure.set_dpi(DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]
    picture.save(path, format="PNG", dpi=(DOTS_PER_INCH, DOTS_PER_INCH))


def hide_frame(axes: Axes) -> None:
    """Leave nothing of the axes but what is drawn and the labels of the ticks."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def displayable(images: Images) -> npt.NDArray[np.float64]:
    """Turn uint8 `(N, C, H, W)` into floats `(N, H, W, 3)` in [0, 1]; other than three channels become their mean."""
    colours = np.moveaxis(np.asarray(images, dtype=np.float64) / 255.0, 1, -1)
    if colours.shape[-1] != 3:  # noqa: PLR2004 - red, green, blue
        colours = np.repeat(colours.mean(axis=-1, keepdims=True), 3, axis=-1)
    return colours


def mosaic(tiles: npt.NDArray[np.float64], columns: int, gap: int) -> npt.NDArray[np.float64]:
    """Lay `(N, H, W, 3)` out row by row on white, `gap` pixels apart, as one image `(rows·H', columns·W', 3)`."""
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for position, tile in enumerate(tiles):
        top, left = (position // columns) * (height + gap), (position % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def thousands(value: float) -> str:
    """Write a count with three digits and a unit prefix: `8.95 k`, `1.23 M`, `15.3 G`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {unit}"  # noqa: PLR2004
    return f"{value:g}"
