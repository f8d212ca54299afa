"""Two things measured in turn, so that a machine whose speed drifts slows both."""

from collections.abc import Callable


def in_turn(pairs: int, one: Callable[[], float], other: Callable[[], float]) -> list[tuple[float, float]]:
    """Measure two things `pairs` times, in turn, each of them first every other time."""
    found = []
    for pair in range(pairs):
        first, second = (one, other) if pair % 2 == 0 else (other, one)
        values = first(), second()
        found.append(values if pair % 2 == 0 else values[::-1])
    return found
