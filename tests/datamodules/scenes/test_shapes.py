"""The eight shapes: of one area, within their circle, mirrored, and measured right along their outlines."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.scenes import shapes
from datamodules.scenes.scene import SHAPES

SIDE = 400
GRID = ((np.arange(SIDE, dtype=np.float32) + 0.5) * (2 / SIDE) - 1).astype(np.float32)
U, V = np.meshgrid(GRID, GRID)


def turned(degrees: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (U * cosine + V * sine).astype(np.float32), (V * cosine - U * sine).astype(np.float32)


def test_every_shape_of_the_contract_can_be_drawn_and_no_other() -> None:
    assert tuple(shapes.BY_NAME) == SHAPES


@pytest.mark.parametrize("shape", SHAPES)
def test_all_shapes_fill_the_same_area_of_their_circle(shape: str) -> None:
    share = np.count_nonzero(shapes.depth(shape, U, V) > 0) / SIDE**2
    assert share * 4 == pytest.approx(shapes.AREA, rel=0.005)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("notch", [0.0, 0.2])
def test_no_shape_leaves_its_circle(shape: str, notch: float) -> None:
    outside = np.hypot(U, V) > 1
    assert (shapes.depth(shape, U, V, notch)[outside] <= 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_its_mirror_image_to_the_bit(shape: str) -> None:
    found = shapes.depth(shape, U, V)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, shapes.depth(shape, -U, V))


@pytest.mark.parametrize(
    ("shape", "degrees"), [("disc", 17), ("ring", 17), ("square", 90), ("cross", 90), ("triangle", 120), ("star", 72)]
)
def test_turned_by_its_own_symmetry_a_shape_is_the_same(shape: str, degrees: float) -> None:
    found, expected = shapes.depth(shape, *turned(degrees)), shapes.depth(shape, U, V)
    near = expected > -0.05  # beyond, the depth of a corner is that of its edges' lines
    np.testing.assert_allclose(found[near], expected[near], atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_near_the_outline_depth_grows_by_a_radius_a_radius(shape: str) -> None:
    found = shapes.depth(shape, U, V)
    down, across = np.gradient(found, 2 / SIDE)
    steepness = np.hypot(down, across)[np.abs(found) < 0.03]
    assert steepness.size > 1000
    assert np.median(np.abs(steepness - 1)) < 0.01


def test_head_and_shaft_of_the_arrow_are_one_piece() -> None:
    middle = np.linspace(-0.85, 0.85, 100, dtype=np.float32)
    assert (shapes.depth("arrow", np.zeros_like(middle), middle) > 0.05).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_notch_takes_a_bite_of_its_radius_out_of_the_outline(shape: str) -> None:
    notch = 0.2
    whole, bitten = (shapes.depth(shape, U, V, radius) > 0 for radius in (0.0, notch))
    u, v = shapes.BY_NAME[shape].bite
    within = np.hypot(U - u, V - v) < notch
    np.testing.assert_array_equal(bitten, whole & ~within)
    lost = np.count_nonzero(whole & within) * 4 / SIDE**2
    assert 0.3 < lost / (math.pi * notch**2) < 0.75
