"""What a number of seeds can show: the smallest effect that the tests of verdicts detect. Pure functions of numbers."""

import math

import numpy as np
from scipy import optimize, special, stats

from experiments.studies.intervals import ALPHA

POWER = 0.8
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)


def detectable(n: int, deviation: float = 1.0, *, claims: int = 1, power: float = POWER) -> float | None:
    """Return the smallest effect that `n` seeds show with probability `power`; `None` for n < 2, which show nothing.

    The effect is the distance of the true contrast from the claim's border: from 0 for `lower` and `higher` without a
    margin; for `not_worse`, how far inside its margin the truth must lie. It is exact for normal differences and
    Student's t; where the wider of t and bootstrap decides, a power of 0.80 is 0.76 in truth at n = 10, 0.78 at n = 20.

    Args:
        n: seeds, each a pair of runs.
        deviation: standard deviation of the contrast between seeds, in the unit of the metric; 1 returns the effect in
            standard deviations, for when it is not known yet.
        claims: that are tested together; the effect is for the worst step of Holm's correction, the first.
        power: between 0 and 1.
    """
    if n < 2:  # noqa: PLR2004 - one value has no spread
        return None
    quantile = float(stats.t.ppf(1 - ALPHA / claims, n - 1))
    # Power grows with the effect, from ALPHA / claims at 0 to all but 1 where even a deviation of 10 would not hide it.
    farthest = (quantile * 10 + 10) / math.sqrt(n)
    effect: float = optimize.brentq(lambda d: power_of(d, n, claims=claims) - power, 0, farthest, xtol=1e-10)
    return effect * deviation


def power_of(effect: float, n: int, *, claims: int = 1) -> float:
    """Return how probably `n` seeds show an `effect`, in standard deviations, on the right side.

    This is the upper tail of the noncentral t distribution, integrated over the estimated standard deviation: SciPy's
    own is not a number at some large effects.
    """
    quantile = stats.t.ppf(1 - ALPHA / claims, n - 1)
    estimated = stats.chi.ppf((_NODES + 1) / 2, n - 1) / math.sqrt(n - 1)
    return float(special.ndtr(effect * math.sqrt(n) - quantile * estimated) @ _WEIGHTS / 2)
