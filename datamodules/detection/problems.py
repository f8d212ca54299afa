"""What is wrong with a data set: refused at once, or left out and counted."""

import logging
from collections import Counter
from enum import StrEnum

from datamodules.errors import DataError

_log = logging.getLogger(__name__)


class Problem(StrEnum):
    """What is left out where that is allowed: a picture with its objects, or a single object."""

    MISSING_PICTURE = "missing picture"
    BROKEN_PICTURE = "broken picture"
    BROKEN_ENTRY = "broken entry"  # of a picture or of an object in the file that lists it
    DUPLICATE = "duplicate"
    UNKNOWN_CLASS = "unknown class"
    EMPTY_BOX = "box without area"
    OUTSIDE_BOX = "box outside its picture"


class Problems:
    """Refuses what is wrong, or counts it.

    Args:
        strict: refuse; else whoever finds something wrong leaves it out.

    Attributes:
        left_out: how often each `Problem` was met.
        cut_boxes: boxes that reached up to one pixel beyond their picture, and were cut off at its border.
    """

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.left_out: Counter[str] = Counter()
        self.cut_boxes = 0
        self._first = ""

    def found(self, problem: Problem, text: str) -> None:
        """Note something wrong; `text` is one line with file, object, value and what is allowed.

        Raises:
            DataError: where it must not be left out.
        """
        if self.strict:
            raise DataError(f"{text}; strict=false leaves it out")
        self._first = self._first or text
        self.left_out[problem.value] += 1

    def tell(self, name: str) -> None:
        """Log in one line what was left out of the data set `name`, if anything was."""
        if self.left_out:
            counts = ", ".join(f"{count} x {problem}" for problem, count in self.left_out.most_common())
            _log.warning("%s: strict=false left out: %s; the first: %s", name, counts, self._first)
