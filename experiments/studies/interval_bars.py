"""How far the interval of a mean is drawn: as far as its metric can go."""

import math

from experiments.studies import wording
from experiments.studies.intervals import Estimate


def reach(metric: str) -> tuple[float, float]:
    """The least and the greatest value that a metric can have."""
    greatest = {"%": 100.0, "nats": math.inf}
    unit = wording.metric_unit(metric)
    return (0.0, greatest[unit]) if unit in greatest else (-math.inf, math.inf)


def drawn_ends(value: Estimate, metric: str | None = None) -> tuple[float, float] | None:
    """Where the bar of a mean begins and ends; `None` where it has no interval.

    A t interval does not know that no error is below 0 % or above 100 %: with few seeds near either it reaches beyond.
    Its numbers stand as they were computed, and tests use them; a bar to where nothing can be would be read as a value.

    Args:
        value: the mean.
        metric: what it is of; `None` for a difference, which has no such ends.
    """
    if value.low is None or value.high is None:
        return None
    least, greatest = (-math.inf, math.inf) if metric is None else reach(metric)
    # The mean itself may be out of reach, of a metric that is not what its name says.
    return min(max(value.low, least), value.mean), max(min(value.high, greatest), value.mean)


def bar_lengths(value: Estimate, metric: str | None = None) -> tuple[float, float] | None:
    """How far the bar reaches below and above the mean; see `drawn_ends`."""
    ends = drawn_ends(value, metric)
    return None if ends is None else (value.mean - ends[0], ends[1] - value.mean)
