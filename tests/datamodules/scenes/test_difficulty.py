"""Knobs and their one-line errors."""

import pytest

from datamodules.errors import DataError
from datamodules.scenes.difficulty import Difficulty


@pytest.mark.parametrize(
    ("knobs", "error"),
    [
        ({"noise": 1.5}, "noise=1.5: must be a number from 0 to 1"),
        ({"noise": "much"}, "noise=much: must be a number from 0 to 1"),
        ({"noise": True}, "noise=True: must be a number from 0 to 1"),
        ({"noise": float("nan")}, "noise=nan: must be a number from 0 to 1"),
        ({"noise": None}, "noise=null: must be a number from 0 to 1"),
        ({"shapes": 9}, "shapes=9: must be a whole number from 2 to 8"),
        ({"shapes": 2.5}, "shapes=2.5: must be a whole number from 2 to 8"),
        ({"size": [0.6, 0.4]}, "size=[0.6, 0.4]: must be two numbers in order, each from 0.05 to 1"),
        ({"size": 0.4}, "size=0.4: must be two numbers in order, each from 0.05 to 1"),
        ({"turn": [0, 10, 20]}, "turn=[0, 10, 20]: must be two numbers in order, each from -180 to 180"),
        ({"specks": [0, 1.5]}, "specks=[0, 1.5]: must be two whole numbers in order, each from 0 to 100"),
        ({"things": [0, 2]}, "things=[0, 2]: must be two whole numbers in order, each from 1 to 6"),
        ({"noize": 0.1}, "noize=0.1: unknown; did you mean 'noise'?"),
        ({"side": 64}, "side=64: unknown; did you mean 'size'?"),
    ],
)
def test_a_knob_out_of_range_is_one_line(knobs: dict[str, object], error: str) -> None:
    with pytest.raises(DataError) as found:
        Difficulty.of(knobs)
    assert str(found.value) == error


def test_equal_knobs_are_described_alike_and_others_are_not() -> None:
    whole, broken = Difficulty.of({"shift": 1, "turn": [0, 90]}), Difficulty.of({"shift": 1.0, "turn": (0.0, 90.0)})
    assert whole == broken
    assert whole.described == broken.described
    assert Difficulty.of({"turn": [0, 91]}).described != whole.described
