"""The drawing of receptive fields: which layers it shows, and that it says which it does not."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from experiments.measures.drawing import draw_receptive_fields
from experiments.measures.network import measure
from lightning_modules.networks.resnet import CifarResNet
from tests.experiments.measures.small import Small


def test_the_drawing_shows_every_layer_that_widens_the_receptive_field() -> None:
    figure = draw_receptive_fields(measure(Small(), (3, 33, 17)))
    windows, sides = figure.axes
    # The stem and twice two convolutions, over the image's frame.
    drawn = [
        (patch.get_bbox().height, patch.get_bbox().width) for patch in windows.patches if isinstance(patch, Rectangle)
    ]
    assert drawn == [(11, 27), (11, 19), (7, 15), (7, 7), (3, 3), (33, 17)]
    # At the pixels that the centre unit, row 8 and column 4, has in them: unit 0 is centred on pixel 1, the next on 3.
    corners = [tuple(map(int, patch.get_bbox().min)) for patch in windows.patches if isinstance(patch, Rectangle)]
    halves = ((5, 13), (5, 9), (3, 7), (3, 3), (1, 1))
    assert corners == [*((9 - half_x, 17 - half_y) for half_y, half_x in halves), (0, 0)]
    # One colour per layer, the same in both pictures.
    faces = [patch.get_facecolor() for patch in list(windows.patches)[:5]]
    assert len(set(faces)) == 5
    assert np.asarray(sides.collections[0].get_facecolor()) == pytest.approx(np.array(faces[::-1]))
    names = [tick.get_text() for tick in sides.get_xticklabels()]
    assert names == ["stem.0", "block.conv1", "block.conv2", "block.conv1", "block.conv2"]
    assert np.asarray(sides.lines[0].get_ydata()).tolist() == [3, 7, 7, 11, 11]
    assert np.asarray(sides.lines[1].get_ydata()).tolist() == [3, 7, 15, 19, 27]
    with pytest.raises(ValueError, match="no layer"):
        draw_receptive_fields(measure(nn.Sequential(nn.AdaptiveAvgPool2d(1)), (1, 8, 8)))


class Gated(nn.Module):
    """A map times its mean, between two convolutions."""

    def __init__(self, *after: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 5)
        self.gate = nn.AdaptiveAvgPool2d(1)
        self.after = nn.Sequential(*after)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4, H', W')."""
        x = self.conv(x)
        out: Tensor = self.after(x * self.gate(x))
        return out


def test_the_drawing_says_from_where_on_layers_are_not_drawn() -> None:
    figure = draw_receptive_fields(measure(Gated(nn.Conv2d(4, 4, 3), nn.ReLU()), (3, 20, 20)))
    assert figure.get_suptitle() == (
        "Drawn are only layers before gate (AdaptiveAvgPool2d): from there on, what units see is the whole image,\n"
        "for 4 of 5 layers (gate: mean over the whole map)"
    )
    _, sides = figure.axes
    assert [text.get_text() for text in sides.texts] == ["then: the whole image"]
    assert sides.get_title() == "5x5 pixels after the 1 layer that widens it"

    class Unfolded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.unfold(2, 2, 2)

    figure = draw_receptive_fields(measure(nn.Sequential(nn.Conv2d(3, 4, 5), Unfolded()), (3, 20, 20)))
    assert "before 1 (Unfolded): from there on, what units see is not known" in figure.get_suptitle()


def test_a_drawing_of_all_layers_says_nothing_of_others() -> None:
    # What comes after the last map, such as global pooling, is no part of its receptive field.
    figure = draw_receptive_fields(measure(CifarResNet(num_classes=10), (3, 32, 32)))
    assert figure.get_suptitle() == ""
    assert not figure.axes[1].texts
