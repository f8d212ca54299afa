"""Reading a store in a read-only folder: SQLite and MLflow leave files beside a data base that they only read."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from experiments.errors import UserError
from experiments.tracking.addresses import sqlite_file
from experiments.tracking.options import Destination


@contextmanager
def readable(destination: Destination) -> Iterator[Destination]:
    """The store itself, or a copy of it for as long as it is read, where it lies in a folder that is read-only.

    Raises:
        UserError: it cannot be copied.
    """
    file = sqlite_file(destination.uri)
    if file is None or not file.exists() or _is_writable(file):
        yield destination
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, file.name)
        try:
            _copy(file, copy)
        except OSError as error:
            raise UserError(f"{file}: in a read-only folder, and cannot be copied to be read ({error})") from error
        yield replace(destination, uri=f"sqlite:///{copy}")


def _is_writable(file: Path) -> bool:
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK | os.X_OK)


def _copy(file: Path, to: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as own, closing(sqlite3.connect(to)) as new:
            own.backup(new)
    except sqlite3.Error:
        # SQLite opens no data base with a write-ahead log where it can neither find nor make the log's index; where
        # there is none, nobody writes either, and the files are the whole of it.
        for part in ("", "-wal"):
            if (own_part := file.with_name(f"{file.name}{part}")).exists():
                shutil.copyfile(own_part, to.with_name(f"{to.name}{part}"))
