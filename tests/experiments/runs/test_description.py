"""The page that describes a network stands alone and has every layer, every number with its size."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from experiments.measures.drawing import draw_budget
from experiments.measures.network import measure
from experiments.runs import description, description_page
from experiments.runs.description import Description, check_memory
from experiments.runs.description_page import LARGEST_PHOTOGRAPH, fields, page
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


class Sloped(nn.Module):
    """Every number of the receptive field is another one."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(1, 2, (9, 7), 2, padding=(3, 1)), nn.Conv2d(1, 2, (4, 3), 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 2, H', W')."""
        wide = self.wide(x)
        total: Tensor = wide + self.narrow(x)[..., : wide.shape[-2], : wide.shape[-1]]
        return total


def test_every_number_stands_below_its_head() -> None:
    html = page(Description("sloped", measure(Sloped(), (1, 8, 9))), "-")
    table = html[html.index("<thead>") : html.index("</table>")]
    heads = [
        " ".join(head.replace("<br>", " ").split()) for head in re.findall(r"<th\b[^>]*>(.*?)</th>", table, re.DOTALL)
    ]
    last = [cell.strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", table, re.DOTALL)][-len(heads) :]
    assert dict(zip(heads, last, strict=True)) == {
        "layer": "(network)",
        "kind": "add",
        "output": "2x3x3",
        "parameters": "",
        "MACs": "",
        "receptive field": "9 x 7",
        "shortest path": "4 x 3",
        "pixels seen": "0-7 x 1-7",
        "stride": "2",
        "padding": "3 x 1",
        "start": "1 x 2",
        "known": "exact, paths centred differently",
    }


@pytest.mark.parametrize("shape", [(50, 200), (200, 50), (64, 64), (300, 450)])
def test_the_photograph_is_cut_and_not_stretched(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.zeros((427, 640, 3), dtype=np.uint8)
    whole[180:247, 286:353] = 255  # a square in the middle
    monkeypatch.setattr(description_page, "load_sample_image", lambda _: whole)
    photograph = description_page._photograph(*shape)
    assert photograph.shape == (*shape, 3)
    white = photograph[..., 0] > 127
    tall, wide = (int(white.any(axis).sum()) for axis in (1, 0))
    assert tall > 4
    assert abs(tall - wide) <= 1


def heights(axes: Axes) -> list[float]:
    return [bar.get_bbox().height for bar in axes.patches if isinstance(bar, Rectangle)]


def test_bars_are_those_of_the_layers_with_weights() -> None:
    measures = measure(CifarResNet(depth=8, num_classes=10), (3, 32, 32))
    parameters, macs = draw_budget(measures).axes
    weighted = [layer for layer in measures.layers if layer.macs]
    assert heights(parameters) == [layer.parameters for layer in weighted]
    assert heights(macs) == [layer.macs for layer in weighted]
    assert len(weighted) == 8


@pytest.mark.parametrize(("height", "width"), [(32, 48), (100_000, 100_000), (100_000, 20)])
def test_the_photograph_is_no_larger_than_a_picture_shows(height: int, width: int) -> None:
    measures = measure(nn.Conv2d(3, 4, 3), (3, height, width))
    (photograph,) = fields(Description("conv", measures)).axes[0].images
    rows, columns = photograph.get_size()
    assert (rows, columns) == (
        (32, 48) if height == 32 else (LARGEST_PHOTOGRAPH, LARGEST_PHOTOGRAPH if width == height else 1)
    )
    assert list(photograph.get_extent()) == [0, width, height, 0]


def test_gradients_of_more_than_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measure(nn.Conv2d(3, 4, 3, bias=False), (3, 1024, 1024))
    each, weights = 4 * 3 * 1024**2, 4 * 4 * 3 * 9
    monkeypatch.setattr(description, "memory_of_machine", lambda: 5 * each + weights)
    check_memory(measures, "effective", 5)
    with pytest.raises(ValueError, match=r"^effective=6 takes about 72 MiB of memory, .* 60 MiB: .* or fewer images$"):
        check_memory(measures, "effective", 6)


def test_the_memory_of_this_machine_is_known() -> None:
    assert 1 << 28 < description.memory_of_machine() < 1 << 50


def test_long_names_break_after_points_and_the_table_may_be_wider_than_the_text() -> None:
    text = page(Description("nested", measure(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3))), (3, 8, 8))), "-")
    assert '<td class="name">0.<wbr>0</td>' in text
    assert '<div class="scroll wide"><table>' in text
