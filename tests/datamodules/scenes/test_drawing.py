"""A drawn scene: what is seen of each thing, at every size, and what textures and noise leave as it is."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.scenes.drawing import draw
from datamodules.scenes.scene import COLOURS, SHAPES, TEXTURES, Background, Drawing, Point, Scene, Thing
from datamodules.scenes.stream import Stream
from datamodules.scenes.things import PALETTE

DARK = Background(((0.2, 0.2, 0.2), (0.2, 0.2, 0.2)))
BLACK = Background(((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
UPRIGHT = (1.0, 0.0)
TURNS = (UPRIGHT, (0.8, 0.6), (-0.28, 0.96))


def drawn(*things: Thing, size: int = 64, background: Background = DARK, noise: float = 0.0, index: int = 0) -> Drawing:
    return draw(Scene(things, background, noise), size, Stream(index, "grain"))


def single(
    shape: str = "disc",
    texture: str = "plain",
    diameter: int = 14,
    turn: Point = UPRIGHT,
    centre: Point = (0.5, 0.5),
) -> Drawing:
    """Draw one white thing of `diameter` pixels on black, in a picture that just holds it."""
    size = diameter + 6
    return drawn(Thing(shape, "white", texture, diameter / size, centre, turn), size=size, background=BLACK)


def crowd(index: int, count: int = 4) -> tuple[Thing, ...]:
    """Return things of every kind that overlap, some of them partly outside."""
    stream = Stream(index, "crowd")
    return tuple(
        Thing(
            stream.choice(SHAPES),
            stream.choice(COLOURS),
            stream.choice(TEXTURES),
            stream.uniform(0.2, 0.6),
            (stream.uniform(), stream.uniform()),
            stream.turn(),
        )
        for _ in range(count)
    )


def test_a_drawing_is_of_the_shapes_and_kinds_of_the_contract() -> None:
    found = drawn(*crowd(0), size=48)
    arrays = (found.picture, found.instances, found.boxes, found.visible)
    assert [array.shape for array in arrays] == [(3, 48, 48), (48, 48), (4, 4), (4,)]
    assert [array.dtype for array in arrays] == [np.uint8, np.uint8, np.float32, np.float32]


def test_a_scene_without_things_is_its_background() -> None:
    found = drawn()
    assert found.boxes.shape == (0, 4)
    assert found.visible.shape == (0,)
    assert not found.instances.any()
    assert (found.picture == 51).all()


@pytest.mark.parametrize("colour", COLOURS)
def test_a_plain_thing_has_its_colour_times_its_gain(colour: str) -> None:
    for gain in (1.0, 0.6):
        found = drawn(Thing("square", colour, "plain", 0.5, (0.5, 0.5), gain=gain))
        expected = np.array(PALETTE[colour]) * gain * 255
        np.testing.assert_allclose(found.picture[:, 28:36, 28:36].mean(axis=(1, 2)), expected, atol=0.51)


@pytest.mark.parametrize("index", range(10))
def test_boxes_and_shares_are_those_of_the_masks(index: int) -> None:
    things = crowd(index)
    found = drawn(*things)
    for label, thing in enumerate(things, start=1):
        seen = found.instances == label
        alone = drawn(thing).instances == 1
        later = [drawn(other).instances == 1 for other in things[label:]]
        np.testing.assert_array_equal(seen, alone & ~np.any([np.zeros_like(alone), *later], axis=0))
        rows, columns = np.nonzero(seen)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if seen.any() else (0, 0, 0, 0)
        assert found.boxes[label - 1].tolist() == list(box)
        assert found.visible[label - 1] == np.float32(seen.sum() / alone.sum() if alone.any() else 0)


def test_some_of_the_crowds_are_covered_and_some_cut_by_the_border() -> None:
    shares = np.concatenate([drawn(*crowd(index)).visible for index in range(10)])
    assert np.count_nonzero(shares == 1) >= 5
    assert np.count_nonzero((shares > 0) & (shares < 1)) >= 5
    boxes = np.concatenate([drawn(*crowd(index)).boxes for index in range(10)])
    assert np.count_nonzero((boxes[:, 2:] == 64).any(axis=1)) >= 3


def test_a_thing_partly_outside_counts_what_is_inside() -> None:
    found = drawn(Thing("square", "red", "plain", 0.5, (0.0, 0.5)))
    left, top, right, bottom = found.boxes[0]
    assert (left, right, bottom - top) == (0, 9, 18)
    assert found.visible[0] == 1


def test_a_thing_wholly_outside_or_hidden_is_not_seen() -> None:
    outside = drawn(Thing("star", "red", "striped", 0.3, (1.4, -0.5)), Thing("disc", "blue", "plain", 0.3, (0.5, 0.5)))
    assert outside.boxes[0].tolist() == [0, 0, 0, 0]
    assert outside.visible.tolist() == [0, 1]
    hidden = drawn(Thing("star", "red", "plain", 0.2, (0.5, 0.5)), Thing("disc", "blue", "plain", 0.8, (0.5, 0.5)))
    assert hidden.boxes[0].tolist() == [0, 0, 0, 0]
    assert hidden.visible.tolist() == [0, 1]
    assert set(np.unique(hidden.instances)) == {0, 2}
    red = np.array(PALETTE["red"]).argmax()
    assert hidden.picture[red, 32, 32] == round(PALETTE["blue"][red] * 255)


def test_later_things_hide_earlier_ones() -> None:
    one = Thing("disc", "red", "plain", 0.5, (0.45, 0.5))
    other = Thing("square", "blue", "plain", 0.5, (0.55, 0.5))
    assert drawn(one, other).instances[32, 32] == 2
    assert drawn(other, one).picture[0, 32, 32] > drawn(other, one).picture[2, 32, 32]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("texture", TEXTURES)
def test_a_texture_turns_with_its_thing(shape: str, texture: str) -> None:
    upright, turned = (single(shape, texture, 26, turn=turn) for turn in (UPRIGHT, (0.0, 1.0)))
    np.testing.assert_array_equal(turned.picture, np.rot90(upright.picture, -1, axes=(1, 2)))
    np.testing.assert_array_equal(turned.instances, np.rot90(upright.instances, -1))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_mask_holds_the_pixels_that_are_covered_by_half(shape: str) -> None:
    found = single(shape, diameter=40, turn=(0.8, 0.6))
    white = PALETTE["white"][0] * 255
    np.testing.assert_array_equal(found.instances == 1, found.picture[0] > white / 2)
    soft = (found.picture[0] > 0.1 * white) & (found.picture[0] < 0.9 * white)
    assert 20 < soft.sum() < 260


@pytest.mark.parametrize("shape", SHAPES)
def test_a_notch_is_cut_out_of_picture_and_mask(shape: str) -> None:
    whole, notched = (drawn(Thing(shape, "white", "plain", 0.8, (0.5, 0.5), notch=notch)) for notch in (0.0, 0.1))
    lost = (whole.instances == 1) & (notched.instances == 0)
    assert np.count_nonzero(whole.instances) - np.count_nonzero(notched.instances) == np.count_nonzero(lost)
    bite = math.pi * (0.1 * 0.8 * 64 / 2) ** 2  # 0.1 of the thing's 51 pixels across
    assert 0.3 * bite < np.count_nonzero(lost) < 0.8 * bite
    assert (whole.picture[0][lost] > notched.picture[0][lost]).all()


@pytest.mark.parametrize("index", range(6))
def test_at_twice_the_size_it_is_the_same_scene_but_for_borders(index: int) -> None:
    background = Background(((0.2, 0.3, 0.2), (0.4, 0.3, 0.3)), (0.6, 0.8), TEXTURES[index % 4], 0.1, specks=4)
    small, large = (drawn(*crowd(index), size=size, background=background) for size in (64, 128))
    quarters = large.instances.reshape(64, 2, 64, 2).transpose(0, 2, 1, 3).reshape(64, 64, 4)
    whole = (quarters == quarters[..., :1]).all(axis=-1)
    np.testing.assert_array_equal(small.instances[whole], quarters[..., 0][whole])
    assert whole.mean() > 0.8
    uncovered = (small.visible == 1) & (large.visible == 1)  # of others a corner may show at one size alone
    np.testing.assert_allclose(large.boxes[uncovered] / 2, small.boxes[uncovered], atol=1.5)
    np.testing.assert_allclose(large.visible, small.visible, atol=0.08)
    pooled = large.picture.reshape(3, 64, 2, 64, 2).mean(axis=(2, 4))
    assert np.abs(pooled - small.picture).mean() < 2


def test_noise_is_off_by_its_amplitude_at_most_and_follows_the_grain() -> None:
    grey = Background(((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    clean = drawn(background=grey).picture.astype(int)
    for amplitude in (0.05, 0.2):
        off = drawn(background=grey, noise=amplitude).picture - clean
        assert amplitude * 255 * 0.95 < np.abs(off).max() <= amplitude * 255 + 1
        assert abs(off.mean()) < 1
        assert off.std() == pytest.approx(amplitude * 255 / 3**0.5, rel=0.05)
    again, other = (drawn(background=grey, noise=0.2, index=index).picture for index in (0, 1))
    assert (again - clean == off).all()
    assert abs(np.corrcoef(off.ravel(), (other - clean).ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(off[0].ravel(), off[1].ravel())[0, 1]) < 0.05


def test_light_and_noise_beyond_white_are_cut_off() -> None:
    found = drawn(Thing("square", "white", "plain", 0.9, (0.5, 0.5), gain=2.0), background=BLACK, noise=0.1)
    assert found.picture[:, 28:36, 28:36].min() == 255
    assert found.picture.min() == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_textures_leave_the_mean_brightness_and_can_be_told_apart_on_14_pixels(shape: str) -> None:
    for turn in TURNS:
        pictures = {texture: single(shape, texture, turn=turn).picture[0].astype(float) for texture in TEXTURES}
        inside = single(shape, turn=turn).instances == 1
        for texture in TEXTURES[1:]:
            assert pictures[texture].sum() == pytest.approx(pictures["plain"].sum(), rel=0.05)
        for one, other in itertools.combinations(TEXTURES, 2):
            off = (pictures[one] - pictures[other])[inside] / pictures["plain"][inside].mean()
            assert np.sqrt((off**2).mean()) > 0.13


def test_shapes_of_14_pixels_are_told_apart_by_the_nearest_picture() -> None:
    def picture(shape: str, angle: float, centre: Point) -> NDArray[np.float64]:
        turn = (math.cos(angle), math.sin(angle))
        return np.array(single(shape, turn=turn, centre=centre).picture[0].ravel(), dtype=np.float64)

    def circle(steps: int, start: float) -> list[float]:
        return [(step + start) * 2 * math.pi / steps for step in range(steps)]

    known = np.array([[picture(shape, angle, (0.5, 0.5)) for angle in circle(24, 0)] for shape in SHAPES])
    for truth, shape in enumerate(SHAPES):
        for angle, shift in itertools.product(circle(8, 0.31), (0.0, 0.02)):
            asked = picture(shape, angle, (0.5 + shift, 0.5 - shift))
            distances = ((known - asked) ** 2).sum(axis=-1).min(axis=-1)
            nearest, second = np.argsort(distances)[:2]
            assert nearest == truth
            assert distances[second] > 1.5 * distances[nearest]
