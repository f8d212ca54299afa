"""The effective receptive field as a picture: whose gradient reaches how far, before and after training."""

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke

from experiments.measures.effective import SHARE, EffectiveField
from experiments.measures.palette import MAP
from experiments.measures.reach import Status

# An energy of normal shape is as small √(2 ln 10⁴) = 4.3 standard deviations away from its middle.
SMALLEST = 1e-4
INCHES = 4.6  # per map


def draw_effective_field(before: EffectiveField, after: EffectiveField | None = None) -> Figure:
    """Draw the energy of a unit's gradient over the input, before and, side by side, after training.

    The scale is logarithmic, from the largest energy of each map down to 10⁻⁴ of it. Outlined are the square that holds
    95.45 % of the energy and, where it is known and ends inside the input, the theoretical receptive field; the cross
    is its middle.

    Raises:
        ValueError: the two are of different units or input sizes.
    """
    if after is not None and (_what(before) != _what(after)):
        raise ValueError(f"after={_what(after)}: must be of the unit and the input size of before={_what(before)}")
    fields = {"Before training": before, "After training": after} if after else {"": before}
    figure = Figure(figsize=(INCHES * len(fields) + 1.2, INCHES + 1.6), layout="constrained")
    panels = figure.subplots(1, len(fields), squeeze=False, sharex=True, sharey=True)[0]
    norm = LogNorm(SMALLEST, 1)
    for panel, (title, field) in zip(panels, fields.items(), strict=True):
        height, width = field.energy.shape
        relative = (field.energy / field.energy.max()).clip(SMALLEST)
        image = panel.imshow(relative, cmap=MAP, norm=norm, interpolation="nearest")
        y, x = field.unit.centre
        half = field.side / 2
        square = ((y - half, y + half), (x - half, x + half))
        _outline(panel, square, "tab:orange", "-", f"square with {SHARE:.2%} of the energy")
        if _is_beyond(field):
            # Said in the legend, without a line: none is to be seen.
            panel.plot([], [], linestyle="none", label="theoretical receptive field, beyond all borders")
        elif field.unit.window is not None:
            (top, bottom), (left, right) = field.unit.window
            edges = ((top - 0.5, bottom + 0.5), (left - 0.5, right + 0.5))
            _outline(panel, edges, "white", "--", "theoretical receptive field")
        panel.plot(x, y, "+", color="black", markersize=9, markeredgewidth=1.5)
        panel.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xlabel="x (pixels)")
        panel.set_title("\n".join(line for line in (title, _size(field)) if line))
    panels[0].set_ylabel("y (pixels)")
    bar = figure.colorbar(image, ax=panels, label="energy of the gradient, per its maximum", extend="min", shrink=0.8)
    bar.minorticks_off()
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(fields), facecolor="0.75"
    )
    rows, columns = before.unit.units
    maps = f"the {rows}x{columns} map of {before.layer}" if before.layer else f"the last map, {rows}x{columns}"
    joint = " " if after else "\n"
    figure.suptitle(f"Effective receptive field{joint}of unit {before.unit.index} of {maps}")
    return figure


def _what(field: EffectiveField) -> tuple[object, ...]:
    return field.layer, field.unit.index, field.energy.shape


def _size(field: EffectiveField) -> str:
    ratio = field.ratio
    return f"side {field.side:.1f} pixels" + ("" if ratio is None else f", {ratio:.1%} of {_theoretical(field)}")


def _theoretical(field: EffectiveField) -> str:
    y, x = field.theoretical.size
    size = f"{y}x{x}"
    return {Status.WHOLE_IMAGE: f"the {size} image", Status.BOUND: f"at most {size}"}.get(
        field.theoretical.status, size
    )


def _is_beyond(field: EffectiveField) -> bool:
    """Tell whether all edges of the theoretical receptive field lie outside the input, where they are known."""
    window, sizes = field.unit.window, field.energy.shape
    return window is not None and all(
        first < 0 and last >= size for (first, last), size in zip(window, sizes, strict=True)
    )


def _outline(
    panel: Axes,
    edges: tuple[tuple[float, float], tuple[float, float]],
    colour: str,
    style: Literal["-", "--"],
    label: str,
) -> None:
    """Draw a rectangle from and to these positions (y, x), on a dark rim, as the map is bright in places."""
    (top, bottom), (left, right) = edges
    rim = [Stroke(linewidth=3.5, foreground="black"), Normal()]
    corners = ([left, right, right, left, left], [top, top, bottom, bottom, top])
    panel.plot(*corners, color=colour, linestyle=style, linewidth=1.8, path_effects=rim, label=label)
