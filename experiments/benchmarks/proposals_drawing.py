"""Region proposals as pictures: recall against their number, and the boxes themselves on one scene."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from datamodules.pictures import Picture
from datamodules.proposals.boxes import Boxes, iou
from datamodules.proposals.recall import Overlaps, recall
from experiments.runs.plotting import COLOURS, FAINT, LINES, new_figure, styled

THRESHOLDS = (0.5, 0.7)


@styled
def draw_recall(found: Mapping[str, Mapping[str, Overlaps]], counts: Sequence[int]) -> Figure:
    """Draw recall at IoU 0.5 and 0.7 against the number of proposals.

    Args:
        found: per data set, per kind of proposals, the best overlaps `(K, M)` of its M objects with the first n.
        counts: the K n.
    """
    figure = new_figure(8.2, 3.0 * len(found))
    panels = figure.subplots(len(found), len(THRESHOLDS), sharex=True, sharey=True, squeeze=False)
    for row, (data, kinds) in zip(panels, found.items(), strict=True):
        for axes, threshold in zip(row, THRESHOLDS, strict=True):
            for (kind, overlaps), colour, line in zip(kinds.items(), COLOURS, LINES, strict=False):
                axes.plot(counts, recall(overlaps, threshold), color=colour, linestyle=line, label=kind)
            axes.set(xscale="log", ylim=(0, 1.02), xlim=(counts[0], counts[-1]))
            axes.set_title(f"{data}, IoU ≥ {threshold:g}")
            axes.grid(visible=True)
        row[0].set_ylabel("recall")
    for axes in panels[-1]:
        axes.set_xlabel("proposals per picture")
    panels[0, 0].legend(loc="upper left", fontsize=8)
    return figure


@styled
def draw_proposals(picture: Picture, proposals: Mapping[str, Boxes], objects: NDArray[np.float32]) -> Figure:
    """Draw the first proposals of each kind on a picture, and of each object (white) the proposal that fits best.

    Args:
        picture: uint8 `(H, W, 3)`.
        proposals: per kind, `(N, 4)`, with N at least 1.
        objects: boxes `(M, 4)`, with M at least 1.
    """
    figure = new_figure(2.6 * len(proposals), 3.0)
    for axes, (kind, boxes) in zip(
        figure.subplots(1, len(proposals), squeeze=False)[0], proposals.items(), strict=True
    ):
        axes.imshow(picture)
        for box in boxes:
            _outline(axes, box, FAINT, 0.5)
        overlaps = iou(boxes, objects)
        for number, box in enumerate(objects):
            _outline(axes, box, "white", 2.4)
            _outline(axes, boxes[overlaps[:, number].argmax()], COLOURS[1], 1.4)
        best = ", ".join(f"{overlap:.2f}" for overlap in overlaps.max(axis=0))
        axes.set_title(f"{kind}\n{len(boxes)} boxes, best IoU {best}", fontsize=8)
        axes.set_axis_off()
    return figure


def _outline(axes: Axes, box: NDArray[np.float32], colour: str, width: float) -> None:
    x1, y1, x2, y2 = map(float, box)
    # The centre of the first pixel lies at 0.
    axes.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=width))
