"""Interpolation as products with two matrices, whose weights are computed without rounding.

torch rounds the position of every output, so that a neighbour whose weight should be 0 gets a share of 1e-14, and a
gradient that is not zero. Here a weight is zero where it mathematically is. The rule is torch's own: the positions of
`torch.nn.functional.interpolate`, a = -0.75 for cubic weights (Keys 1981), the border shown again beyond it.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

CUBIC_A = Fraction(-3, 4)
# A scale factor stands for the simplest fraction near it: 0.3 for 3/10, though no float is that.
_LARGEST_DENOMINATOR = 1_000_000

# Per output the neighbours that it reads, each with its weight; none of weight 0. They may lie beyond the borders.
Taps = tuple[tuple[tuple[int, Fraction], ...], ...]


class Asked(NamedTuple):
    """What one call of `torch.nn.functional.interpolate` asks for, under the names of its arguments."""

    input: Tensor
    size: int | Sequence[int] | None = None
    scale_factor: float | Sequence[float] | None = None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None
    antialias: bool = False

    @property
    def is_exact_here(self) -> bool:
        """Whether it is of a kind whose weights are computed here: bilinear or bicubic, of a map."""
        return self.mode in ("bilinear", "bicubic") and not self.antialias

    def taps(self) -> tuple[Taps, Taps]:
        """Return the taps along y and x, by torch's rule.

        Positions follow the scale factor that was given, and not the ratio of the sizes, unless it is recomputed.
        """
        sizes = self.input.shape[-2:]
        # In every mode the sizes are the same.
        targets = F.interpolate(torch.empty(1, 1, *sizes, device="meta"), self.size, self.scale_factor).shape[-2:]
        given = None if self.recompute_scale_factor else self.scale_factor
        scales = tuple(given) if isinstance(given, Sequence) else (given, given)
        y, x = (
            taps_along(size, target, scale, cubic=self.mode == "bicubic", corners=bool(self.align_corners))
            for size, target, scale in zip(sizes, targets, scales, strict=True)
        )
        return y, x


@lru_cache(maxsize=256)
def taps_along(size: int, target: int, scale: float | None, *, cubic: bool, corners: bool) -> Taps:
    """Return what each of `target` outputs reads of `size` inputs along one axis."""
    if corners:
        step, centre = Fraction(size - 1, target - 1) if target > 1 else Fraction(0), Fraction(0)
    else:
        ratio = Fraction(size, target)
        step = 1 / Fraction(scale).limit_denominator(_LARGEST_DENOMINATOR) if scale else ratio
        centre = Fraction(1, 2)
    if target == size and not cubic:
        step = Fraction(1)  # torch copies, whatever the scale factor
    found = []
    for output in range(target):
        whole, rest = divmod((output + centre) * step - centre, 1)
        weights = _cubic(rest) if cubic else {0: 1 - rest, 1: rest}
        found.append(tuple((int(whole) + offset, weight) for offset, weight in weights.items() if weight))
    return tuple(found)


def _cubic(rest: Fraction) -> dict[int, Fraction]:
    """Return the weights of the four neighbours of a position that lies `rest` beyond the second."""

    def near(distance: Fraction) -> Fraction:
        return ((CUBIC_A + 2) * distance - (CUBIC_A + 3)) * distance**2 + 1

    def far(distance: Fraction) -> Fraction:
        return CUBIC_A * (distance**3 - 5 * distance**2 + 8 * distance - 4)

    return {-1: far(1 + rest), 0: near(rest), 1: near(1 - rest), 2: far(2 - rest)}


def matrix(taps: Taps, size: int, *, positive: bool = False) -> Tensor:
    """Return the weights `(outputs, size)` in float64; `positive`: their absolute values, of which none cancel."""
    weights = torch.zeros(len(taps), size, dtype=torch.float64)
    for output, neighbours in enumerate(taps):
        row: dict[int, Fraction] = {}
        for position, weight in neighbours:
            inside = min(max(position, 0), size - 1)
            row[inside] = row.get(inside, Fraction(0)) + (abs(weight) if positive else weight)
        for inside, weight in row.items():
            weights[output, inside] = float(weight)
    return weights


def beyond(taps: Taps, size: int) -> Tensor:
    """Return `(outputs,)` in float64: the absolute weights of the neighbours that lie beyond a border."""
    shares = [sum(abs(weight) for position, weight in row if not 0 <= position < size) for row in taps]
    return torch.tensor([float(share) for share in shares], dtype=torch.float64)


def interpolated(asked: Asked, *, positive: bool) -> Tensor:
    """(N, C, H, W) → (N, C, H', W'), in float64; `positive` as in `matrix`."""
    y, x = asked.taps()
    height, width = asked.input.shape[-2:]
    return matrix(y, height, positive=positive) @ asked.input @ matrix(x, width, positive=positive).T
