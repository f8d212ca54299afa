"""Contrasts of arms: `two_conv3x3 - conv5x5`, `0.5*a + 0.5*b - c`, or the ratio `a / b`, taken seed by seed."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from experiments.errors import UserError
from experiments.runs.configuration import nearest

Number = int | float | Fraction
ByArm = Mapping[str, Mapping[int, Number]]  # one number for each seed, by arm

_NAME = r"[A-Za-z0-9_.]+"
_RATIO = re.compile(rf"\s*({_NAME})\s*/\s*({_NAME})\s*")
_TERM = re.compile(rf"\s*(?P<sign>[+-])?\s*(?:(?P<number>\d+(?:\.\d+)?)\s*\*\s*)?(?P<arm>{_NAME})\s*")
_FORMS = "allowed: arms with + and -, each after a number and * or not (0.5*a + 0.5*b - c), or a ratio (a / b)"


@dataclass(frozen=True)
class Difference:
    """A sum of arms whose coefficients sum to 0, or one arm, of what is a difference already; no coefficient is 0."""

    coefficients: Mapping[str, Fraction]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms, in the order in which they were written."""
        return tuple(self.coefficients)

    def of(self, values: Mapping[str, Number]) -> Number:
        """Return the contrast of one value for each arm; exact where the values are whole numbers or fractions."""
        return sum((factor * values[arm] for arm, factor in self.coefficients.items()), start=Fraction())


@dataclass(frozen=True)
class Ratio:
    """One arm divided by another."""

    numerator: str
    denominator: str

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms, in the order in which they were written."""
        return (self.numerator, self.denominator)

    def of(self, values: Mapping[str, Number]) -> Number:
        """Return the ratio of one value for each arm; exact where the values are whole numbers or fractions.

        Raises:
            ZeroDivisionError: the lower one is 0.
        """
        over, under = values[self.numerator], values[self.denominator]
        return over / under if isinstance(over, float) or isinstance(under, float) else Fraction(over) / Fraction(under)


Contrast = Difference | Ratio


def parse_contrast(text: str, arms: Collection[str], *, alone: bool = False) -> Contrast:
    """Read a contrast of `arms`.

    Args:
        text: of one of the forms.
        arms: that there are.
        alone: one arm by itself is a contrast too, of what is a difference already.

    Raises:
        UserError: it is not of one of the forms, names an unknown arm, or its coefficients do not sum to 0.
    """
    if alone and text.strip() in arms:
        return Difference({text.strip(): Fraction(1)})
    if "/" in text:
        return _ratio(text, arms)
    coefficients: dict[str, Fraction] = {}
    position = 0
    while position < len(text) or not coefficients:
        term = _TERM.match(text, position)
        if term is None or (coefficients and term["sign"] is None):
            raise _mistake(text, f"not readable from {text[position:].strip()!r} on; {_FORMS}")
        position = term.end()
        factor = Fraction(term["number"] or 1) * (-1 if term["sign"] == "-" else 1)
        arm = _known(term["arm"], text, arms)
        coefficients[arm] = coefficients.get(arm, Fraction()) + factor
    total = sum(coefficients.values())
    if total != 0:
        raise _mistake(text, f"the coefficients of a contrast sum to 0, these to {_decimal(total)}")
    for arm, factor in coefficients.items():
        if factor == 0:
            raise _mistake(text, f"arm {arm!r} cancels out")
    return Difference(coefficients)


def paired(
    contrast: Contrast, values: ByArm, planned: Collection[int] = ()
) -> tuple[dict[int, dict[str, Number]], tuple[int, ...]]:
    """Return, for each seed that has a finite number in all arms of `contrast`, these numbers; and the other seeds.

    Args:
        contrast: names the arms.
        values: by arm and seed; arms may be missing, and may be more.
        planned: seeds that count as left out where no arm has them.
    """
    own = {arm: values.get(arm, {}) for arm in contrast.arms}
    seeds = sorted({*planned, *(seed for numbers in own.values() for seed in numbers)})
    whole = {
        seed: {arm: numbers[seed] for arm, numbers in own.items()}
        for seed in seeds
        if all(seed in numbers and math.isfinite(numbers[seed]) for numbers in own.values())
    }
    return whole, tuple(seed for seed in seeds if seed not in whole)


def _ratio(text: str, arms: Collection[str]) -> Ratio:
    found = _RATIO.fullmatch(text)
    if found is None:
        raise _mistake(text, f"a ratio is of two arms and stands alone (a / b); {_FORMS}")
    ratio = Ratio(_known(found[1], text, arms), _known(found[2], text, arms))
    if ratio.numerator == ratio.denominator:
        raise _mistake(text, "a ratio of an arm to itself is always 1")
    return ratio


def _known(name: str, text: str, arms: Collection[str]) -> str:
    if name not in arms:
        raise _mistake(text, f"{name!r} is no arm; {nearest(name, arms)}")
    return name


def _mistake(text: str, reason: str) -> UserError:
    return UserError(f"contrast={text!r}: {reason}")


def _decimal(number: Fraction | int) -> str:
    return f"{float(number):g}"
