"""The textures: no change of the mean, one contrast, soft edges, each its own pattern."""

import numpy as np
import pytest

from datamodules.scenes import textures
from datamodules.scenes.scene import TEXTURES

PIXELS = 20  # a unit
STEPS = ((np.arange(1800, dtype=np.float32) + 0.5) / PIXELS - 45).astype(np.float32)
U, V = np.meshgrid(STEPS, STEPS)
PATTERNS = TEXTURES[1:]


def test_every_texture_of_the_contract_can_be_drawn_and_no_other() -> None:
    assert ("plain", *textures.BY_NAME) == TEXTURES


@pytest.mark.parametrize("texture", PATTERNS)
def test_a_texture_changes_neither_the_mean_nor_the_contrast(texture: str) -> None:
    tone = textures.BY_NAME[texture](U, V, PIXELS)
    assert tone.dtype == np.float32
    assert abs(tone.mean(dtype=np.float64)) < 0.01
    assert tone.max() - tone.min() == pytest.approx(2, abs=1e-5)


@pytest.mark.parametrize("texture", PATTERNS)
def test_edges_are_as_soft_as_one_pixel(texture: str) -> None:
    tone = textures.BY_NAME[texture](U[:200, :200], V[:200, :200], PIXELS)
    step = np.abs(np.diff(tone, axis=1)).max()
    assert 1 < step <= 2.01  # from dark to light within a pixel, and no further
    between = (tone > tone.min() + 0.1) & (tone < tone.max() - 0.1)
    assert 0.02 < between.mean() < 0.25


def test_stripes_run_from_the_lower_left_to_the_upper_right() -> None:
    tone = textures.striped(U[:60, :60], V[:60, :60], PIXELS)
    np.testing.assert_allclose(tone[1:, :-1], tone[:-1, 1:], atol=1e-3)
    assert np.abs(tone[1:, 1:] - tone[:-1, :-1]).max() > 1


def test_the_centre_is_in_a_dot_and_between_four_fields() -> None:
    u, v = np.array([0.1, -0.1, -0.1, 0.1], dtype=np.float32), np.array([0.1, 0.1, -0.1, -0.1], dtype=np.float32)
    assert (textures.dotted(u, v, PIXELS) > 1).all()
    np.testing.assert_array_equal(textures.checkered(u, v, PIXELS), [1, -1, 1, -1])
