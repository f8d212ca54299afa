"""The baselines of drawn scenes, on pictures of which the answer is known."""

import numpy as np
import pytest

from experiments.benchmarks.scene_baselines import BASELINES, Part, histogram, main, wrong
from experiments.errors import UserError

GENERATOR = np.random.default_rng(0)


def part(count: int, *, coloured: bool = False, placed: bool = False) -> Part:
    labels = np.arange(count) % 2
    pictures = GENERATOR.integers(0, 40, (count, 3, 8, 8), dtype=np.uint8)
    where = GENERATOR.integers(0, 4, count) if not placed else np.zeros(count, dtype=np.int64)
    for picture, label, row in zip(pictures, labels, where, strict=True):
        channel = label if coloured else 0
        column = 4 * label if placed else 0
        picture[channel, row : row + 4, column : column + 4] = 220
    return Part(pictures, labels)


def test_histogram_counts_the_cells_of_the_colour_cube() -> None:
    picture = np.zeros((1, 3, 2, 2), dtype=np.uint8)
    picture[0, :, 0, 0] = 255
    picture[0, 2, 1, 1] = 64
    found = histogram(picture)[0]
    assert np.flatnonzero(found).tolist() == [0, 1, 63]
    assert found[[0, 1, 63]].tolist() == [0.5, 0.25, 0.25]


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_finds_what_it_can_see_and_nothing_else(name: str) -> None:
    coloured = [part(count, coloured=True) for count in (80, 40, 60)]
    placed = [part(count, placed=True) for count in (80, 40, 60)]
    alike = [part(count) for count in (80, 40, 60)]
    assert wrong(name, *coloured) == 0
    assert (wrong(name, *placed) == 0) == (name != "histogram")
    assert 12 < wrong(name, *alike) < 48


def test_an_unknown_preset_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^presets=nope: must be some of scenes, scenes_count, .* with commas"):
        main(["presets=nope"])
