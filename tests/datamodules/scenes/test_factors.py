"""Angles and colours of things."""

import math
from dataclasses import replace

import numpy as np
import pytest

from datamodules.scenes.difficulty import Difficulty
from datamodules.scenes.factors import LEAST_CONTRAST, Factors, NoRoom, rotation, touch
from datamodules.scenes.stream import Stream
from datamodules.scenes.things import PALETTE


@pytest.mark.parametrize("degrees", [0, 1e-3, 30, 45, 90, 135, 179.5, 180, -90, -120, 240, -270])
def test_rotation_is_cosine_and_sine(degrees: float) -> None:
    expected = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    assert rotation(degrees) == pytest.approx(expected, abs=1e-14)


def test_factors_are_drawn_from_the_whole_of_their_ranges() -> None:
    knobs = Difficulty(gain=(0.6, 1.3), turn=(-40.0, 10.0), size=(0.2, 0.5), light=(0.3, 0.4), shade=0.0)
    drawn = [Factors(Stream(index, "test"), knobs) for index in range(500)]
    things = [factors.thing("disc", factors.size(), (0.5, 0.5)) for factors in drawn]
    for values, low, high in (
        ([thing.gain for thing in things], 0.6, 1.3),
        ([thing.size for thing in things], 0.2, 0.5),
        ([math.degrees(math.atan2(thing.turn[1], thing.turn[0])) for thing in things], -40, 10),
    ):
        assert low <= min(values) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < max(values) <= high
        assert np.mean(values) == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    assert {factors.background.colours[0] == factors.background.colours[1] for factors in drawn} == {True}


def test_things_stand_out_from_their_background() -> None:
    knobs = Difficulty(gain=(0.6, 1.3), light=(0.3, 0.8))
    colours = set()
    for index in range(300):
        factors = Factors(Stream(index, "test"), knobs)
        thing = factors.thing("disc", 0.5, (0.5, 0.5))
        colours.add(thing.colour)
        for end in factors.background.colours:
            ink = np.asarray(PALETTE[thing.colour]) * thing.gain
            assert np.abs(ink - end).max() >= LEAST_CONTRAST
    assert colours == set(PALETTE)


def test_places_are_within_the_picture_and_apart() -> None:
    factors = Factors(Stream(0, "test"), Difficulty())
    taken = [replace(factors.thing("disc", 0.3, factors.place(0.3))) for _ in range(1)]
    for _ in range(50):
        x, y = factors.place(0.3, taken)
        assert min(x, y) >= 0.15
        assert max(x, y) <= 0.85
        assert not touch((x, y), 0.3, taken[0])
    assert factors.place(1.0) == (0.5, 0.5)
    with pytest.raises(NoRoom):
        factors.place(0.9, [factors.thing("disc", 0.9, (0.5, 0.5))])
