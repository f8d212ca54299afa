"""A small study in an SQLite store, whose runs were never trained."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from experiments.benchmarks.large_study import NAME, large_study, make_store
from experiments.studies.gather import Gathered, gather
from experiments.studies.membership import AS_WRITTEN
from experiments.tracking.options import TrackingOptions
from experiments.tracking.search import Search
from experiments.tracking.store import Store

ARMS, SEEDS = 2, 3
WRITTEN = large_study(ARMS, SEEDS)


def make(runs_dir: Path) -> None:
    make_store(runs_dir, WRITTEN)


def copy(made: Path, to: Path) -> None:
    """Copy the store, whose write-ahead log a copy of the file would lack; the artifacts stay where they are."""
    with closing(sqlite3.connect(made / "mlflow.db")) as own, closing(sqlite3.connect(to / "mlflow.db")) as other:
        own.backup(other)


def search_of(runs_dir: Path) -> Search:
    return Search(Store(TrackingOptions(runs_dir=str(runs_dir)).destination(), 10.0))


def gathered(runs_dir: Path) -> Gathered:
    return gather(search_of(runs_dir), NAME, AS_WRITTEN)


@contextmanager
def rows(runs_dir: Path) -> Iterator[sqlite3.Connection]:
    """The store's data base, to change what is in it."""
    with closing(sqlite3.connect(runs_dir / "mlflow.db")) as connection, connection:
        yield connection


def run_id_of(runs_dir: Path, name: str) -> str:
    with rows(runs_dir) as connection:
        (found,) = connection.execute("select run_uuid from runs where name = ?", (name,)).fetchone()
    return str(found)
