"""A description as pictures, and as a page that holds all of it."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

from experiments.measures import table
from experiments.measures.drawing import Image, draw_budget, draw_receptive_fields
from experiments.measures.effective_drawing import draw_effective_field
from experiments.measures.gradient_flow_drawing import draw_gradient_profiles
from experiments.runs.description import Description
from experiments.runs.pages import inline_svg, page_environment

LARGEST_PHOTOGRAPH = 600  # pixels of a side


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: unique on the page.
        caption: stands below, and is read to those who cannot see the figure.
        figure: what is shown.
        width: of the page that it takes, `full` or `wide`, which is half.
    """

    name: str
    caption: str
    figure: Figure
    width: str = "full"


def page(description: Description, command: str) -> str:
    """Return all of a description as HTML that needs no other file; `command` makes the same page."""
    template = page_environment(Path(__file__).parent).get_template("description_page.html.jinja")
    return template.render(
        title=description.title,
        measures=description.measures,
        sentences=description.sentences,
        pictures=[(item, inline_svg(item.figure, item.name, item.caption)) for item in pictures(description)],
        command=command,
        say=table,
    )


def pictures(description: Description) -> list[Picture]:
    """Return the pictures that a description has: not every network has a receptive field to be drawn."""
    found = []
    try:
        caption = (
            "Over the input: the window of the unit in the middle of each layer's map. Beside it: the sides of the "
            "windows, in the same colours, from layer to layer."
        )
        found.append(Picture("fields", caption, fields(description)))
    except ValueError:
        pass  # the table says why
    if description.effective is not None:
        caption = "How much each pixel matters to the centre unit of the last map, at initialisation."
        found.append(Picture("effective", caption, draw_effective_field(description.effective), "wide"))
    if description.gradients is not None:
        caption = "How much of the loss's gradient arrives at each layer, at initialisation."
        profile = draw_gradient_profiles({description.title: description.gradients})
        found.append(Picture("gradients", caption, profile, "wide"))
    if description.measures.macs:
        caption = "Where the parameters and the multiply-accumulates are."
        found.append(Picture("budget", caption, draw_budget(description.measures)))
    return found


def fields(description: Description) -> Figure:
    """Draw how the receptive field grows, over a photograph of the input's size.

    Raises:
        ValueError: no layer has an exact receptive field.
    """
    measures = description.measures
    return draw_receptive_fields(measures, _photograph(*measures.input_shape[1:]))


def _photograph(height: int, width: int) -> Image:
    """Return the middle of scikit-learn's photograph of a flower, in the proportions of the input, of at most its size.

    It is no larger than what a picture shows of it, `LARGEST_PHOTOGRAPH` pixels a side.
    """
    whole = load_sample_image("flower.jpg")
    rows, columns = whole.shape[:2]
    scale = min(rows / height, columns / width)
    tall, wide = max(int(height * scale), 1), max(int(width * scale), 1)
    top, left = (rows - tall) // 2, (columns - wide) // 2
    part = whole[top : top + tall, left : left + wide]
    smaller = min(1.0, LARGEST_PHOTOGRAPH / max(height, width))
    size = (max(round(width * smaller), 1), max(round(height * smaller), 1))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
