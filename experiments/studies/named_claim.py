"""A claim ready to be judged: a region of its contrast, with exact borders.

Every claim says that the contrast lies in a region whose ends are borders:

| is           | the claim: the contrast is …                        | its contrary, which refutes it |
|--------------|-----------------------------------------------------|--------------------------------|
| `lower`      | below target - margin                               | above target - margin          |
| `higher`     | above target + margin                               | below target + margin          |
| `not_worse`  | below target + margin (above target - margin where higher is better) | above (below) it |
| `equivalent` | above target - margin and below target + margin     | below the one or above the other |
| `equal`      | the target, in every value, exactly                 | another, in any value          |

The target is 0 for differences and 1 for ratios, unless the claim says otherwise.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from experiments.studies.claim import Kind
from experiments.studies.contrasts import Contrast, Number, Ratio

Side = Literal["below", "above"]


@dataclass(frozen=True)
class NamedClaim:
    """What is claimed of a contrast.

    Attributes:
        name: of the claim.
        contrast: of arms.
        kind: what it says of the contrast (`is`).
        margin: from 0, in the unit of the values; of ratios a share. Above 0 for `not_worse` and `equivalent`.
        target: what the margin is taken from; `None` for 0, or for 1 of a ratio.
        better: for `not_worse`: whether lower or higher values are better.
        exact: whether the values have no spread by their nature; `equal` is always exact.

    Raises:
        ValueError: a margin that does not go with the kind, or a border of a ratio that is not above 0.
    """

    name: str
    contrast: Contrast
    kind: Kind
    margin: Number = 0
    target: Number | None = None
    better: Literal["lower", "higher"] = "lower"
    exact: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.margin < math.inf:
            raise ValueError(f"claim {self.name}: margin={self.margin} is not a number from 0")
        if self.kind in ("not_worse", "equivalent") and not self.margin:
            raise ValueError(f"claim {self.name}: is: {self.kind} needs a margin above 0")
        if self.kind == "equal" and self.margin:
            raise ValueError(f"claim {self.name}: is: equal is exact and takes no margin")
        if isinstance(self.contrast, Ratio) and any(border <= 0 for _, border in self.region):
            raise ValueError(
                f"claim {self.name}: margin={self.margin}: a ratio is above 0, the margin must leave it so"
            )

    @property
    def is_exact(self) -> bool:
        """Whether the claim is judged without a test."""
        return self.exact or self.kind == "equal"

    @property
    def reference(self) -> Fraction:
        """The target."""
        return Fraction(int(isinstance(self.contrast, Ratio))) if self.target is None else exactly(self.target)

    @property
    def region(self) -> tuple[tuple[Side, Fraction], ...]:
        """The borders between which the contrast is claimed to lie, each with the side on which; none for `equal`."""
        low, high = self.reference - exactly(self.margin), self.reference + exactly(self.margin)
        regions: dict[Kind, tuple[tuple[Side, Fraction], ...]] = {
            "lower": (("below", low),),
            "higher": (("above", high),),
            "not_worse": (("below", high) if self.better == "lower" else ("above", low),),
            "equivalent": (("above", low), ("below", high)),
            "equal": (),
        }
        return regions[self.kind]

    def holds(self, value: Fraction) -> bool:
        """Whether one exact value is as claimed; at its borders `equivalent` is, the others are not."""
        if self.kind == "equal":
            return value == self.reference
        if self.kind == "equivalent":
            return abs(value - self.reference) <= exactly(self.margin)
        return all(value < border if side == "below" else value > border for side, border in self.region)

    def said(self, *, contrary: bool = False) -> str:
        """Say where the contrast is claimed to be, or where the contrary has it: `below -1`, `between -1 and 1`."""
        if self.kind == "equal":
            return f"{self.reference}"
        borders = [f"{float(border):g}" for _, border in self.region]
        if self.kind == "equivalent":
            return f"outside {borders[0]} to {borders[1]}" if contrary else f"between {borders[0]} and {borders[1]}"
        below = (self.region[0][0] == "below") != contrary
        return f"{'below' if below else 'above'} {borders[0]}"


def exactly(number: Number) -> Fraction:
    """Return a number as it is written: 0.72 is 18/25, not the nearest binary number."""
    return Fraction(str(float(number))) if isinstance(number, float) else Fraction(number)
