"""What is measured of segments, against loops over pixels."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.proposals.colours import COLOUR_SPACES
from datamodules.proposals.segments import REFERENCE_PIXELS, Channels

GENERATOR = np.random.default_rng(0)


def patchwork(height: int = 24, width: int = 30) -> NDArray[np.uint8]:
    """A picture of patches of 6 x 6 pixels of different colours."""
    patches = GENERATOR.integers(0, 256, (math.ceil(height / 6), math.ceil(width / 6), 3), dtype=np.uint8)
    return np.kron(patches, np.ones((6, 6, 1), dtype=np.uint8))[:height, :width]


PICTURE = patchwork()


@pytest.mark.parametrize("space", COLOUR_SPACES)
def test_a_segment_is_measured_as_a_loop_would(space: str) -> None:
    channels = COLOUR_SPACES[space](PICTURE)
    measured = Channels(channels)
    labels = measured._labels(50)
    segments = measured.segments(50)
    assert len(segments.sizes) == labels.max() + 1 > 1
    for number in range(len(segments.sizes)):
        y, x = np.nonzero(labels == number)
        assert segments.sizes[number] == len(x)
        assert segments.boxes[number].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        expected = np.zeros((channels.shape[2], 25))
        for pixel in channels[y, x]:
            for channel, value in enumerate(pixel):
                expected[channel, int(value) * 25 // 256] += 1
        assert np.allclose(segments.colour[number], expected.ravel() / expected.sum())
    pairs = {
        (min(one, other), max(one, other))
        for row in range(labels.shape[0])
        for column in range(labels.shape[1])
        for one, other in (
            (labels[row, column], labels[min(row + 1, len(labels) - 1), column]),
            (labels[row, column], labels[row, min(column + 1, labels.shape[1] - 1)]),
        )
        if one != other
    }
    assert sorted(map(tuple, segments.neighbours.tolist())) == sorted(pairs)


@pytest.mark.parametrize("space", COLOUR_SPACES)
def test_histograms_have_a_sum_of_one(space: str) -> None:
    channels = COLOUR_SPACES[space](PICTURE)
    segments = Channels(channels).segments(50)
    assert segments.colour.shape == (len(segments.sizes), 25 * channels.shape[2])
    assert segments.texture.shape == (len(segments.sizes), 80 * channels.shape[2])
    for histogram in (segments.colour, segments.texture):
        assert histogram.min() >= 0
        assert np.allclose(histogram.sum(axis=1), 1)


def test_texture_knows_the_direction_of_an_edge() -> None:
    step = np.zeros((20, 20, 1), dtype=np.uint8)
    step[:, 10:] = 255
    found = {}
    for name, turns in (("right", 0), ("down", 3), ("left", 2), ("up", 1)):
        channels = Channels(np.rot90(step, turns))
        whole = np.zeros((20, 20), dtype=np.int64)
        texture = channels._texture(whole, np.array([400])).reshape(8, 10)
        found[name] = int((texture @ np.arange(10)).argmax())
        # The two pixels beside the step have the strongest derivative of all.
        assert texture[found[name], 8:].sum() == pytest.approx(2 / 20 / 8)
    # Directions come in opposite pairs, along x, the diagonal, y, the other diagonal.
    assert found == {"right": 0, "left": 1, "down": 4, "up": 5}


def test_the_least_size_of_a_segment_grows_with_the_side_of_the_picture() -> None:
    asked = []

    class Noted(Channels):
        def least(self, k: int) -> int:
            return int(self.segments(k).sizes.min())

    for side in (24, 48, 96):
        noise = GENERATOR.integers(0, 256, (side, side, 1), dtype=np.uint8)
        least = 100 * side / math.sqrt(REFERENCE_PIXELS)
        asked.append(Noted(noise).least(100) / least)
    assert all(1 <= share + 0.1 < 4 for share in asked)


def test_black_is_grey_in_shares_of_colour() -> None:
    black, grey = (np.full((1, 1, 3), value, dtype=np.uint8) for value in (0, 90))
    convert = COLOUR_SPACES["rgI"]
    assert convert(black)[0, 0].tolist() == [85, 85, 0]
    assert convert(grey)[0, 0].tolist() == [85, 85, 90]
    assert convert(np.array([[[200, 0, 0]]], dtype=np.uint8))[0, 0, :2].tolist() == [255, 0]
