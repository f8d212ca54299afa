"""HTML pages that need no other file: one look for all of them, figures as SVG inside."""

import io
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from experiments.runs.plotting import INK


def page_environment(folder: Path) -> Environment:
    """Return what renders the templates in `folder`; those of HTML extend `page.html.jinja` and escape their values."""
    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=select_autoescape(("html.jinja",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def inline_svg(figure: Figure, name: str, title: str) -> Markup:
    """Return `figure` as an SVG element that takes the page's text colour and width.

    Args:
        figure: drawn with `plotting.INK` as the colour of its text.
        name: makes the element's ids different from those of other figures of the page.
        title: read out to those who cannot see it.
    """
    buffer = io.StringIO()
    # Glyphs as paths look the same everywhere; a fixed salt gives the same bytes for the same figure.
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = _compact(re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL))
    svg = re.sub(r'(\sid="|url\(#|\shref="#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(INK, "currentColor")
    root = f'<svg role="img" aria-label="{Markup.escape(title)}"'
    svg = re.sub(r'^<svg|(?<=\s)(?:width|height)="[\d.]+pt"', lambda found: root if found[0] == "<svg" else "", svg)
    return Markup(svg)  # noqa: S704 - matplotlib's own drawing, which escapes the names that it writes


def _compact(svg: str) -> str:
    """Return the same drawing in half the bytes: points to a hundredth, no comments or names that nothing refers to."""
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    # What scales a glyph is a power of two, which must be whole.
    svg = re.sub(r"(?<!scale\()(?<![\d.])(\d+\.\d\d)\d+", r"\1", svg)
    svg = re.sub(r" ?\n(?=[A-Za-z\"])", "", svg)
    svg = re.sub(r"(?<=[MLQC]) (?=[-\d])", "", svg)
    svg = re.sub(r'style="[^"]*"', lambda found: found[0].replace("; ", ";").replace(": ", ":"), svg)
    # Letters stand in a row; `href` needs no name space in a page.
    svg = re.sub(r'transform="translate\(([-\d.]+) 0\)"(?=/>)', r'x="\1"', svg)
    svg = re.sub(r'xlink:(?=href=)|\sxmlns:xlink="[^"]*"', "", svg)
    return re.sub(r">\s+<", "><", svg)
