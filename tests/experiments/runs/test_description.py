"""The page that describes a network stands alone and has every layer, every number with its size."""

from html.parser import HTMLParser

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from experiments.measures.drawing import draw_budget
from experiments.measures.network import measure
from experiments.runs.description import Description
from experiments.runs.description_page import page
from lightning_modules.networks.resnet import CifarResNet


class Page(HTMLParser):
    """Collects what a page refers to, its rows and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.rows = 0
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.rows += tag == "tr"
        values = {name: value or "" for name, value in attrs}
        for name in ("src", "href", "xlink:href"):
            if name in values and not values[name].startswith(("#", "data:")):
                self.outside.append(values[name])

    def handle_data(self, data: str) -> None:
        self.text += " ".join(data.split()) + " "


class Shifted(nn.Module):
    """Two paths, one of which looks further to the right."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 4, (1, 2)), nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4, H, W - 1)."""
        total: Tensor = self.one(x) + self.other(x)[..., :-1]
        return total


def test_the_page_has_all_layers_and_needs_nothing_else() -> None:
    measures = measure(CifarResNet(depth=20, num_classes=10), (3, 32, 32))
    text = page(Description("resnet20", measures, remarks=("assumed: num_classes=10",)), "whydeep describe")
    shown = Page(text)
    assert text.count("<svg") == 2
    assert shown.outside == []
    assert shown.rows == 1 + len(measures.layers)
    assert "40,551,040 MACs and" in shown.text
    assert "MACs are of one image of 3x32x32" in shown.text
    assert "81 pixels, stride 4, padding 40; shortest path 3; paths centred alike" in shown.text
    assert "assumed: num_classes=10" in shown.text
    assert "whydeep describe" in shown.text


def test_what_is_not_as_usual_stands_beside_the_layer() -> None:
    shifted = Page(page(Description("<shifted>", measure(Shifted(), (3, 8, 8))), "-")).text
    assert "exact, paths centred differently" in shifted
    assert "<shifted>" in shifted  # escaped in the source
    squeezed = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))
    assert "whole image (8)" in Page(page(Description("norm", measure(squeezed, (3, 8, 8))), "-")).text


def heights(axes: Axes) -> list[float]:
    return [bar.get_bbox().height for bar in axes.patches if isinstance(bar, Rectangle)]


def test_bars_are_those_of_the_layers_with_weights() -> None:
    measures = measure(CifarResNet(depth=8, num_classes=10), (3, 32, 32))
    parameters, macs = draw_budget(measures).axes
    weighted = [layer for layer in measures.layers if layer.macs]
    assert heights(parameters) == [layer.parameters for layer in weighted]
    assert heights(macs) == [layer.macs for layer in weighted]
    assert len(weighted) == 8
