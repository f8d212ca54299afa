"""Claims as they stand in a file: margins where they are needed, targets that are exact."""

from fractions import Fraction

import pytest
from pydantic import ValidationError

from experiments.studies.claim import Claim


def claim(**fields: object) -> Claim:
    return Claim.model_validate({"contrast": "a - b", "is": "equal", "on": "measure/parameters", **fields})


@pytest.mark.parametrize(
    ("to", "expected"),
    [("18/25", Fraction(18, 25)), (0.72, Fraction(18, 25)), (0.1, Fraction(1, 10)), (3, Fraction(3))],
)
def test_a_target_is_the_number_that_was_written(to: object, expected: Fraction) -> None:
    assert claim(to=to).target == expected


def test_without_a_target_differences_are_zero_and_ratios_one() -> None:
    assert claim().target == 0
    assert claim(contrast="a / b").target == 1


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"is": "not_worse"}, "is: not_worse needs a margin above 0"),
        ({"is": "equivalent", "margin": 0}, "is: equivalent needs a margin above 0"),
        ({"margin": 1.0}, "is: equal is exact and takes no margin"),
        ({"is": "lower", "to": 1}, "is: lower takes no 'to'"),
        ({"is": "lower", "margin": -1.0}, "must be a number from 0"),
        ({"is": "lower", "margin": float("nan")}, "must be a number from 0"),
        ({"to": "1/0"}, "must be a number or a fraction"),
        ({"to": True}, "must be a number or a fraction"),
        ({"on": "test/top1_error", "is": "lower", "layers": "stages.*"}, "layers: goes with on: measure/parameters"),
        ({"is": "better"}, "Input should be 'lower', 'higher'"),
        ({"if": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_claimed(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        claim(**fields)
