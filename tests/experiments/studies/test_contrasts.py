"""Contrasts as they are written, what is refused, and which seeds they can be taken of."""

import math
from fractions import Fraction

import pytest

from experiments.errors import UserError
from experiments.studies.contrasts import Difference, Ratio, paired, parse_contrast

ARMS = ["conv5x5", "two_conv3x3", "a", "b", "c", "d", "0.5", "resnet.depth20"]


@pytest.mark.parametrize(
    ("text", "coefficients"),
    [
        ("two_conv3x3 - conv5x5", {"two_conv3x3": "1", "conv5x5": "-1"}),
        ("0.5*a + 0.5*b - c", {"a": "1/2", "b": "1/2", "c": "-1"}),
        ("a - b - c + d", {"a": "1", "b": "-1", "c": "-1", "d": "1"}),
        (" -a+ b ", {"a": "-1", "b": "1"}),
        ("a + b + c - 3 * d", {"a": "1", "b": "1", "c": "1", "d": "-3"}),
        ("0.1*a + 0.2*b - 0.3*c", {"a": "1/10", "b": "1/5", "c": "-3/10"}),
        ("a + a - 2*b", {"a": "2", "b": "-2"}),
        ("2*0.5 - 2*resnet.depth20", {"0.5": "2", "resnet.depth20": "-2"}),
    ],
)
def test_differences(text: str, coefficients: dict[str, str]) -> None:
    assert parse_contrast(text, ARMS) == Difference({arm: Fraction(factor) for arm, factor in coefficients.items()})


def test_ratios() -> None:
    assert parse_contrast("two_conv3x3 / conv5x5", ARMS) == Ratio("two_conv3x3", "conv5x5")
    assert parse_contrast("a/b", ARMS) == Ratio("a", "b")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("two_conv - conv5x5", "'two_conv' is no arm; did you mean 'two_conv3x3'? allowed: 0.5, a, b, c, conv5x5, d"),
        ("a / e", "'e' is no arm; allowed: "),
        ("a", "the coefficients of a contrast sum to 0, these to 1"),
        ("a + b - c", "the coefficients of a contrast sum to 0, these to 1"),
        ("0.5*a - b", "the coefficients of a contrast sum to 0, these to -0.5"),
        ("a - a", "arm 'a' cancels out"),
        ("a - b + c - c", "arm 'c' cancels out"),
        ("a / a", "always 1"),
        ("a / b - c", "a ratio is of two arms and stands alone"),
        ("a / b / c", "a ratio is of two arms and stands alone"),
        ("a b", "not readable from 'b' on; allowed: arms with + and -"),
        ("a - - b", "not readable from '- - b' on"),
        ("a - b*2", "not readable from '*2' on"),
        ("(a + b) - c", "not readable from '(a + b) - c' on"),
        ("a -", "not readable from '-' on"),
        ("", "not readable from '' on"),
    ],
)
def test_what_cannot_be_a_contrast_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_contrast(text, ARMS)
    assert f"contrast={text!r}: " in str(raised.value)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_whole_numbers_stay_exact() -> None:
    assert Ratio("a", "b").of({"a": 18 * 64, "b": 25 * 64}) == Fraction(18, 25)
    tenths = parse_contrast("0.1*a + 0.2*b - 0.3*c", ARMS)
    assert tenths.of({"a": 1, "b": 1, "c": 1}) == 0
    assert parse_contrast("a - b", ARMS).of({"a": 0.75, "b": 0.5}) == 0.25


def test_seeds_are_paired_and_the_others_said() -> None:
    values = {"a": {0: 1.0, 1: 2.0, 2: math.nan, 5: 1.0}, "b": {2: 1.0, 1: 5.0, 0: 3.0}, "c": {9: 1.0}}
    whole, left_out = paired(parse_contrast("a - b", ARMS), values, planned=[0, 1, 2, 3])
    assert whole == {0: {"a": 1.0, "b": 3.0}, 1: {"a": 2.0, "b": 5.0}}
    assert left_out == (2, 3, 5)
    assert paired(parse_contrast("a - d", ARMS), values) == ({}, (0, 1, 2, 5))
