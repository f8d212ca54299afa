"""The way to a store: MLflow's client, with our settings of its requests, and an SQLite store made whole.

MLflow is imported when it is first used: the import takes two seconds that a run's first steps, and commands that
record nothing, should not wait for.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.tracking.addresses import sqlite_file
from experiments.tracking.locks import exclusive
from experiments.tracking.options import Destination

if TYPE_CHECKING:
    from mlflow import MlflowClient

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"


def connect(destination: Destination, timeout_seconds: float) -> "MlflowClient":
    """Return MLflow's client of a store; an SQLite store that does not exist yet is made.

    Args:
        destination: address and artifact root.
        timeout_seconds: for one request, where the user's environment does not set it.
    """
    # Set, not forced: whoever has set them knows why. MLflow's own retries (minutes) would hide a store that is away,
    # and nothing about a training leaves the machine unasked.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault(TIMEOUT, str(max(1, round(timeout_seconds))))
    from mlflow import MlflowClient  # noqa: PLC0415 - MLflow is imported late, as the module says

    for noisy, level in (("mlflow.store.db.utils", logging.CRITICAL), ("alembic", logging.WARNING)):
        if logging.getLogger(noisy).level == logging.NOTSET:
            logging.getLogger(noisy).setLevel(level)
    file = sqlite_file(destination.uri)
    if file is not None:
        _make_sqlite(file, destination.artifact_root)
    return MlflowClient(destination.uri)


def _make_sqlite(file: Path, artifact_root: str | None) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - see above

    file.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that make the tables at once both fail, hence the lock; a process killed half way would leave tables
    # that nobody can complete, hence the draft.
    with exclusive(file.with_name(f"{file.name}.lock")):
        if file.exists() and file.stat().st_size > 0:
            return
        draft = file.with_name(f"{file.name}.draft")
        for left in file.parent.glob(f"{draft.name}*"):
            left.unlink()
        store = SqlAlchemyStore(f"sqlite:///{draft}", artifact_root)  # type: ignore[no-untyped-call]
        store.engine.dispose()
        # With a write-ahead log the pages of the UI can be read while runs are written.
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        draft.replace(file)


@contextmanager
def patient_http(seconds: int) -> Iterator[None]:
    """Let requests take so many seconds within."""
    usual = os.environ.get(TIMEOUT)
    os.environ[TIMEOUT] = str(seconds)
    try:
        yield
    finally:
        if usual is not None:
            os.environ[TIMEOUT] = usual
