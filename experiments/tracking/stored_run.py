"""A run as a store tells it, and what is asked of a store that has many."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class StoredRun:
    """A run as the store tells it.

    Attributes:
        run_id: MLflow's.
        experiment_id: that it lies in.
        name: of the run.
        status: MLflow's word; `RUNNING` also where a process died without a word.
        start: seconds since the epoch.
        end: likewise; `None` while it runs.
        artifacts: where its files lie.
        tags: those that were asked for.
        metrics: last values of those that were asked for; NaN included.
    """

    run_id: str
    experiment_id: str
    name: str
    status: str
    start: float
    end: float | None
    artifacts: str
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What to bring of each run besides who it is: these tags, and the last values of these metrics."""

    tags: Collection[str] = ()
    metrics: Collection[str] = ()


class Reader(Protocol):
    """One way to read a store. Deleted runs do not count, and runs come in no order.

    Every method raises StoreAwayError, RefusedError or RunGoneError.
    """

    def tagged(self, tags: Mapping[str, str], wanted: Wanted) -> list[StoredRun]:
        """The runs that carry all of `tags` (one at least), in any experiment."""

    def named(self, run_ids: Sequence[str], wanted: Wanted) -> list[StoredRun]:
        """The runs that have these ids, as far as the store has them."""

    def points(self, run_ids: Sequence[str], metric: str) -> Iterator[tuple[str, int, float]]:
        """What runs recorded of a metric: run id, step and value; of one run in the order of time."""


def chunks(values: Sequence[str], size: int) -> Iterator[list[str]]:
    """Cut a list into pieces of `size` at most."""
    for first in range(0, len(values), size):
        yield list(values[first : first + size])
