"""The picture of effective receptive fields."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from experiments.measures.effective import effective_field
from experiments.measures.effective_drawing import draw_effective_field
from lightning_modules.networks.resnet import CifarResNet
from tests.experiments.measures.effective_networks import Gated, noise, random


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def outlines(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Return the rectangles of a picture: from and to y, from and to x."""
    lines = [np.asarray(line.get_xydata()) for panel in figure.axes for line in panel.lines]
    return [(*line[[0, 2], 1].tolist(), *line[[0, 2], 0].tolist()) for line in lines if len(line) == 5]


def test_the_drawing_outlines_both_fields_and_says_their_sizes() -> None:
    before, after = (effective_field(random(3, 8, relu=True), noise(2, 3, 16, 24), seed=seed) for seed in (0, 1))
    figure = draw_effective_field(before, after)
    expected: list[tuple[float, ...]] = []
    for field, panel, title in zip((before, after), figure.axes, ("Before", "After"), strict=False):
        half = field.side / 2
        expected += [(8 - half, 8 + half, 12 - half, 12 + half), (4.5, 11.5, 8.5, 15.5)]
        assert panel.get_title() == f"{title} training\nside {field.side:.1f} pixels, {field.side / 7:.1%} of 7x7"
        drawn = np.asarray(panel.images[0].get_array())
        np.testing.assert_allclose(drawn, (field.energy / field.energy.max()).clip(1e-4))
    assert outlines(figure) == [pytest.approx(edges) for edges in expected]
    assert "unit (8, 12) of the last map, 16x24" in figure.get_suptitle()
    with pytest.raises(
        ValueError, match=r"after=\(None, \(8, 8\), \(16, 16\)\): must be of the unit and the input size"
    ):
        draw_effective_field(before, effective_field(random(3, 8, relu=True), noise(2, 3, 16, 16)))


def test_the_drawing_of_one_field_whatever_is_known_of_it() -> None:
    whole = draw_effective_field(effective_field(Gated(), noise(1, 3, 16, 16)))
    assert len(outlines(whole)) == 1
    assert whole.axes[0].get_title().endswith("% of the 16x16 image")
    beyond = draw_effective_field(effective_field(CifarResNet(num_classes=10), noise(1, 3, 32, 32), layer="layer3"))
    labels = [text.get_text() for text in beyond.legends[0].get_texts()]
    assert labels == ["square with 95.45% of the energy", "theoretical receptive field, beyond all borders"]
    square, theoretical = beyond.legends[0].get_lines()
    assert (square.get_linestyle(), theoretical.get_linestyle()) == ("-", "None")
    assert len(outlines(beyond)) == 1
    assert "8x8 map of layer3" in beyond.get_suptitle()
