"""The page that describes a network: totals, pictures, and a table of its layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from experiments.measures import table
from experiments.measures.network import NetworkMeasures
from experiments.runs.pages import inline_svg, page_environment


@dataclass(frozen=True)
class Picture:
    """A figure of the page: `name` is unique on it, `caption` stands below and is read to those who cannot see it."""

    name: str
    caption: str
    figure: Figure


def description_page(
    title: str,
    measures: NetworkMeasures,
    *,
    command: str,
    remarks: Sequence[str] = (),
    pictures: Sequence[Picture] = (),
) -> str:
    """Return the page of a network as HTML that needs no other file.

    Args:
        title: the network's name.
        measures: what is known of it.
        command: that makes the same page.
        remarks: sentences on how it was chosen or measured, shown below the totals.
        pictures: shown in this order.
    """
    template = page_environment(Path(__file__).parent).get_template("description.html.jinja")
    return template.render(
        title=title,
        measures=measures,
        totals=table.totals(measures, title),
        remarks=remarks,
        pictures=[(inline_svg(item.figure, item.name, item.caption), item.caption) for item in pictures],
        command=command,
        say=table,
    )
