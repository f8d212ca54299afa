"""Pictures of one run: its curves, what it confuses, its first filters, its samples and its answers."""

import textwrap
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from experiments.runs.plotting import (
    COLOURS,
    FAINT,
    INK,
    LINES,
    MARKERS,
    RIGHT,
    WRONG,
    Images,
    displayable,
    hide_frame,
    mosaic,
    new_figure,
    styled,
)

NUMBERED_CLASSES = 20  # a confusion matrix of up to so many classes has its numbers written in
LONGEST_NAME = 18  # characters of a class name; beside a picture there is room for fewer
LONGEST_IN_SHEET = 11
INCHES_OF_TILE = 1.36
SHEET_GAP, SHEET_TITLE = 0.1, 0.3  # between pictures of a sheet and above each of them, in widths of a picture
_SPLITS = ("train", "val")


@styled
def learning_curves(metrics: pd.DataFrame) -> Figure:
    """Draw loss and top-1 error of the training and the validation split against the optimizer steps.

    Args:
        metrics: columns `key`, `step`, `value`; reads `<split>/loss` (nats), `<split>/top1_error` (percent) and
            `train/step_loss`, whichever are there.
    """
    figure = new_figure(9.0, 3.4)
    panels = figure.subplots(1, 2)
    steps = _series(metrics, "train/step_loss")
    if not steps.empty:
        panels[0].plot(steps.index, steps.to_numpy(), color=FAINT, linewidth=0.6, alpha=0.7, label="train, every step")
    for axes, name, label in zip(panels, ("loss", "top1_error"), ("loss (nats)", "top-1 error (%)"), strict=True):
        for position, split in enumerate(_SPLITS):
            series = _series(metrics, f"{split}/{name}")
            if series.empty:
                continue
            # Points, too, while they can be told apart: a line of one point cannot be seen.
            marker = MARKERS[position] if len(series) <= 40 else ""  # noqa: PLR2004
            axes.plot(
                series.index,
                series.to_numpy(),
                color=COLOURS[position],
                linestyle=LINES[position],
                marker=marker,
                markersize=3.5,
                label=f"{split} (last {series.iloc[-1]:.3g})",
            )
        axes.set_xlabel("optimizer steps")
        axes.set_title(label)
        axes.grid(visible=True, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        if axes.lines:
            axes.legend(loc="upper right")
        else:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.text(0.5, 0.5, "nothing recorded", ha="center", va="center", transform=axes.transAxes)
    _use_wide_range(panels[0])
    panels[1].set_ylim(bottom=0)
    return figure


def _series(metrics: pd.DataFrame, key: str) -> pd.Series:
    """Return the finite values of one metric by step, the last one of each step."""
    chosen = metrics[metrics["key"] == key]
    values = pd.Series(chosen["value"].to_numpy(dtype=float), index=chosen["step"].to_numpy(dtype=int))
    values = values[np.isfinite(values.to_numpy())]
    last: pd.Series = values[~values.index.duplicated(keep="last")].sort_index()
    return last


def _use_wide_range(axes: Axes) -> None:
    """Make the scale logarithmic when the values span more than a factor of ten and none is zero."""
    values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines] or [np.ones(1)])
    if values.min() > 0 and values.max() / values.min() > 10:  # noqa: PLR2004 - a decade
        axes.set_yscale("log")


@styled
def confusion_matrix(counts: npt.NDArray[np.integer], class_names: Sequence[str]) -> Figure:
    """Draw which class is taken for which, in percent of the samples of each true class.

    Args:
        counts: `(K, K)` samples, rows the true classes.
        class_names: K names.

    Raises:
        ValueError: `counts` is no `(K, K)` for K names.
    """
    number = len(class_names)
    if counts.shape != (number, number):
        raise ValueError(f"counts of shape {counts.shape}: must be ({number}, {number}) for {number} class names")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100.0 * counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    side = float(np.clip(0.42 * number, 4.0, 0.115 * number + 4.0)) if number <= 100 else 15.5  # noqa: PLR2004
    figure = new_figure(side + 1.6, side + 1.0)
    axes = figure.subplots()
    axes.set_facecolor("#c8c8c8")
    # The square root lifts the rare confusions, which are what one looks for, above the blank background.
    norm = PowerNorm(0.5, vmin=0, vmax=100)
    image = axes.imshow(shares, cmap="Blues", norm=norm)
    step = -(-number // 100)
    size = 8.0 if number <= NUMBERED_CLASSES else 5.5
    shown = range(0, number, step)
    axes.set_xticks(shown, [_shortened(class_names[k]) for k in shown], rotation=90, fontsize=size)
    axes.set_yticks(shown, [_shortened(class_names[k]) for k in shown], fontsize=size)
    axes.set_xlabel("answered")
    axes.set_ylabel("true class")
    hide_frame(axes)
    if number <= NUMBERED_CLASSES:
        for (row, column), share in np.ndenumerate(shares):
            if share > 0:
                dark = norm(share) > 0.55  # noqa: PLR2004 - of the colour map, where white reads better than ink
                text = f"{share:.0f}" if share >= 1 else "<1"
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else INK)
    right = 100.0 * np.trace(counts) / max(1, counts.sum())
    axes.set_title(f"top-1 error {100 - right:.2f} % of {counts.sum()} samples" if counts.sum() else "no samples")
    if worst := _worst_confusions(shares, class_names):
        figure.supxlabel(textwrap.fill(worst, int(12 * (side + 1.6))), fontsize=9.0, color=INK)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 1, 5, 10, 25, 50, 100])
    bar.set_label("% of the true class's samples" + ("; grey: none" if (totals == 0).any() else ""))
    bar.outline.set_visible(False)
    return figure


def _worst_confusions(shares: npt.NDArray[np.float64], class_names: Sequence[str], count: int = 3) -> str:
    off = np.where(np.eye(len(shares), dtype=bool), 0.0, np.nan_to_num(shares))
    worst = np.argsort(off, axis=None, kind="stable")[::-1][:count]
    pairs = [divmod(int(place), len(shares)) for place in worst]
    told = [f"{class_names[a]} → {class_names[b]} ({off[a, b]:.0f} %)" for a, b in pairs if off[a, b] > 0]
    return f"most confused: {', '.join(told)}" if told else ""


@styled
def contact_sheet(original: Images, augmented: Images) -> Figure:
    """Draw samples above what augmentation made of them in each epoch.

    Args:
        original: uint8 `(N, C, H, W)`.
        augmented: uint8 `(R, N, C, H, W)`, the same samples in R epochs, the first one is epoch 0.
    """
    count, _, height, width = original.shape
    rows = [original, *augmented]
    tiles = np.concatenate([displayable(row) for row in rows])
    enlarged = max(1, 64 // max(height, width))
    tiles = tiles.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    gap = max(2, tiles.shape[1] // 24)
    figure = new_figure(count * 1.0 + 0.9, len(rows) * height / width + 0.35)
    axes = figure.subplots()
    axes.imshow(mosaic(tiles, count, gap))
    axes.set_xticks([])
    middles = [row * (tiles.shape[1] + gap) + tiles.shape[1] / 2 for row in range(len(rows))]
    axes.set_yticks(middles, ["original", *(f"epoch {epoch}" for epoch in range(len(augmented)))])
    axes.set_title("samples and their augmentation")
    hide_frame(axes)
    return figure


@styled
def prediction_sheet(
    images: Images,
    labels: npt.NDArray[np.integer] | None,
    probabilities: npt.NDArray[np.floating],
    class_names: Sequence[str],
) -> Figure:
    """Draw pictures with the likeliest class of each: a ✓ and a thin frame when right, a ✗ and a broad one when wrong.

    Args:
        images: uint8 `(N, C, H, W)`.
        labels: `(N,)`, or `None` where the truth is not known.
        probabilities: `(N, K)`.
        class_names: K names.
    """
    tiles = displayable(images)
    columns = min(8, max(1, len(tiles)))
    rows = max(1, -(-len(tiles) // columns))
    # Places are in widths of a tile. One pair of axes for all: sixteen pairs would cost more than all else of a sheet.
    height = tiles.shape[1] / tiles.shape[2]
    across, down = 1.0 + SHEET_GAP, height + SHEET_TITLE
    figure = new_figure(max(3.0, columns * INCHES_OF_TILE * across), rows * INCHES_OF_TILE * down)
    axes = figure.subplots()
    for position, tile in enumerate(tiles):
        left, top = (position % columns) * across, (position // columns) * down + SHEET_TITLE
        answer = int(np.argmax(probabilities[position]))
        told = f"{_shortened(class_names[answer], LONGEST_IN_SHEET)} ({100 * probabilities[position, answer]:.0f} %)"
        truth = None if labels is None else int(labels[position])
        wrong = truth is not None and truth != answer
        if truth is not None:
            told = f"✗ {told}\nis {_shortened(class_names[truth], LONGEST_IN_SHEET)}" if wrong else f"✓ {told}"
        colour = INK if truth is None else WRONG if wrong else RIGHT
        axes.imshow(tile, extent=(left, left + 1.0, top + height, top))
        line = 3.0 if wrong else 1.0
        axes.add_patch(Rectangle((left, top), 1.0, height, fill=False, edgecolor=colour, linewidth=line))
        weight = "bold" if wrong else "normal"
        axes.text(left, top - 0.04, told, fontsize=7, color=colour, weight=weight, va="bottom")
    edge = SHEET_GAP / 2
    axes.set_xlim(-edge, columns * across - edge)
    axes.set_ylim(rows * down + edge, 0.0)
    axes.set_axis_off()
    return figure


@styled
def annotated_picture(image: Images, answers: Sequence[tuple[str, float]]) -> Figure:
    """Draw a picture beside its likeliest classes.

    Args:
        image: uint8 `(H, W)` or `(H, W, C)`; of two or four channels the last one is transparency, and left out.
        answers: names and probabilities, the likeliest first.
    """
    figure = new_figure(7.0, 3.3)
    left, right = figure.subplots(1, 2, width_ratios=[1.0, 1.15])
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)  # noqa: PLR2004
    left.imshow(displayable(planes[None, : 3 if len(planes) > 2 else 1])[0])  # noqa: PLR2004
    left.set_axis_off()
    name, likeliest = answers[0]
    left.set_title(f"{_shortened(name, 26)}  {100 * likeliest:.1f} %")
    places = np.arange(len(answers))
    for place, (name, probability) in enumerate(answers):
        colour = RIGHT if place == 0 else FAINT
        right.add_patch(Rectangle((0, place), 100 * probability, 0.42, color=colour, linewidth=0))
        weight = "bold" if place == 0 else "normal"
        right.text(0, place - 0.08, _shortened(name, 30), va="bottom", weight=weight)
        right.text(100, place - 0.08, f"{100 * probability:.1f} %", va="bottom", ha="right", weight=weight)
        right.plot([0, 100], [place + 0.42] * 2, color=FAINT, linewidth=0.5)
    right.set_xlim(0, 101)
    right.set_ylim(max(places[-1], 4) + 0.6, -0.55)
    right.set_axis_off()
    return figure


def _shortened(name: str, longest: int = LONGEST_NAME) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
