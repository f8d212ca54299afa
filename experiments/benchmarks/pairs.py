"""Two things measured in turn, so that a machine whose speed drifts slows both."""

from collections.abc import Callable
from typing import TypeVar

Measured = TypeVar("Measured")


def in_turn(pairs: int, one: Callable[[], Measured], other: Callable[[], Measured]) -> list[tuple[Measured, Measured]]:
    """Measure two things `pairs` times, in turn, each of them first every other time."""
    found = []
    for pair in range(pairs):
        first, second = (one, other) if pair % 2 == 0 else (other, one)
        began, ended = first(), second()
        found.append((began, ended) if pair % 2 == 0 else (ended, began))
    return found
