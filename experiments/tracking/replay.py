"""A resumed run goes over steps that it recorded before it was interrupted: what is new in what it says again?"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import pairwise
from operator import itemgetter

from experiments.tracking.records import Metrics

# Durations differ each time a step is taken; the first one stands.
_FIRST_ONE_WINS = "time/"


class Replay:
    """The metrics of earlier sessions, 16 bytes a number.

    Attributes:
        first_difference: what the first number that came back different was, in words; None while all agree.
    """

    def __init__(self) -> None:
        self._points: dict[str, tuple[array[int], array[float]]] = {}
        self.first_difference: str | None = None

    def remember(self, record: Metrics) -> None:
        """Take note of an earlier session's metrics."""
        for key, value in record.values.items():
            steps, values = self._points.setdefault(key, (array("q"), array("d")))
            steps.append(record.step)
            values.append(value)

    def prepare(self) -> None:
        """Call once, after the last ``remember``: an earlier resume may have left steps out of order."""
        for key, (steps, values) in self._points.items():
            if any(later < earlier for earlier, later in pairwise(steps)):
                pairs = sorted(zip(steps, values, strict=True), key=itemgetter(0))
                self._points[key] = (array("q", map(itemgetter(0), pairs)), array("d", map(itemgetter(1), pairs)))

    def news(self, step: int, values: Mapping[str, float]) -> Mapping[str, float]:
        """What of one step's metrics the journal does not have yet."""
        if not self._points:
            return values
        return {key: value for key, value in values.items() if self._is_new(key, step, value)}

    def _is_new(self, key: str, step: int, value: float) -> bool:
        if key not in self._points:
            return True
        steps, values = self._points[key]
        known = values[bisect_left(steps, step) : bisect_right(steps, step)]
        if not known:
            return True
        if key.startswith(_FIRST_ONE_WINS) or any(_same(value, earlier) for earlier in known):
            return False
        if self.first_difference is None:
            self.first_difference = f"{key} at step {step}: {known[0]!r}, then {value!r}"
        return True


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
