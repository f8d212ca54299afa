"""The ground behind the things: shaded, textured, with specks that lie alike at every size."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.scenes import backgrounds
from datamodules.scenes.scene import TEXTURES, Background
from datamodules.scenes.stream import Stream

GREY = ((0.4, 0.4, 0.4), (0.4, 0.4, 0.4))


def specks(count: int, size: int, index: int = 0) -> NDArray[np.float32]:
    picture = np.full((3, size, size), 100.0, dtype=np.float32)
    backgrounds.scatter(picture, count, Stream(index, "specks"))
    return picture


def test_it_is_shaded_from_the_first_colour_to_the_second_along_the_light() -> None:
    colours = ((0.2, 0.3, 0.4), (0.6, 0.5, 0.4))
    found = backgrounds.ground(Background(colours, light=(0.0, 1.0)), 64)
    assert found.shape == (3, 64, 64)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :, :1], found.shape))  # from above: rows are even
    assert (np.diff(found[0, :, 0]) > 0).all()
    np.testing.assert_allclose(found.mean(axis=(1, 2)), [0.4 * 255] * 3, rtol=1e-3)
    corner = backgrounds.ground(Background(colours, light=(0.5**0.5, 0.5**0.5)), 64)
    np.testing.assert_allclose(corner[:, 0, 0], np.array(colours[0]) * 255, atol=1)
    np.testing.assert_allclose(corner[:, -1, -1], np.array(colours[1]) * 255, atol=1)


@pytest.mark.parametrize("texture", TEXTURES[1:])
def test_a_texture_has_its_contrast_and_keeps_the_mean(texture: str) -> None:
    found = backgrounds.ground(Background(GREY, (0.6, 0.8), texture, contrast=0.2), 64)[0]
    assert found.mean() == pytest.approx(0.4 * 255, rel=0.01)
    assert (found.max() - found.min()) / (2 * 0.4 * 255) == pytest.approx(0.2, rel=0.01)
    assert found.std() > 0.1 * found.mean()


def test_plain_or_of_no_contrast_it_is_even() -> None:
    plain = backgrounds.ground(Background(GREY, texture="plain", contrast=0.2), 32)
    assert np.ptp(plain) == 0
    np.testing.assert_array_equal(plain, backgrounds.ground(Background(GREY, texture="dotted"), 32))


def test_a_texture_turns_with_the_light() -> None:
    upright, turned = (
        backgrounds.ground(Background(GREY, light, "striped", 0.2), 64) for light in ((1.0, 0.0), (0.0, 1.0))
    )
    np.testing.assert_array_equal(turned, np.rot90(upright, -1, axes=(1, 2)))


def test_every_speck_is_seen_and_small() -> None:
    for index in range(20):
        changed = (specks(1, 64, index) != 100).any(axis=0)
        rows, columns = np.nonzero(changed)
        assert 2 <= changed.sum() <= 30
        assert max(np.ptp(rows), np.ptp(columns)) < 7


def test_specks_are_bars_and_dots_of_their_area_wherever_they_lie() -> None:
    size = 512
    length, width, radius = (value * size for value in (backgrounds._BAR, backgrounds._BAR_WIDTH, backgrounds._DOT))
    areas = {"dot": math.pi * radius**2, "bar": 4 * length * width + math.pi * width**2}
    found = []
    for index in range(40):
        off = np.abs(specks(1, size, index) - 100).max(axis=0)
        area = np.count_nonzero(off > off.max() / 2)
        found.append(min(areas, key=lambda kind: abs(areas[kind] - area)))
        assert area == pytest.approx(areas[found[-1]], rel=0.03)
    assert 10 < found.count("bar") < 30


def test_more_specks_cover_more() -> None:
    shares = [(specks(count, 64) != 100).any(axis=0).mean() for count in (1, 4, 16)]
    assert shares[0] < shares[1] < shares[2] < 0.1


def test_specks_follow_the_grain_alone_and_lie_alike_at_every_size() -> None:
    small, large = specks(6, 64), specks(6, 128)
    np.testing.assert_array_equal(small, specks(6, 64))
    assert (small != specks(6, 64, index=1)).any()
    pooled = large.reshape(3, 64, 2, 64, 2).mean(axis=(2, 4))
    assert np.abs(pooled - small).max() < 40
    assert np.corrcoef(pooled.ravel(), small.ravel())[0, 1] > 0.97


def test_a_picture_smaller_than_a_specks_window_is_drawn_too() -> None:
    assert specks(3, 2).shape == (3, 2, 2)
