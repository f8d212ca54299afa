"""A store in a read-only folder is read from a copy, what its write-ahead log holds included."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.tracking import read_only
from experiments.tracking.addresses import sqlite_file
from experiments.tracking.options import Destination
from experiments.tracking.read_only import readable


@pytest.fixture
def store(tmp_path: Path) -> Destination:
    """A data base whose last row is in its write-ahead log only, as a killed writer leaves it."""
    made, left = tmp_path / "made.db", tmp_path / "left.db"
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE runs (name TEXT)")
        connection.execute("INSERT INTO runs VALUES ('one')")
        connection.commit()
        for part in ("", "-wal"):
            left.with_name(f"left.db{part}").write_bytes(made.with_name(f"made.db{part}").read_bytes())
    return Destination(f"sqlite:///{left}", None)


def _names(destination: Destination) -> list[str]:
    file = sqlite_file(destination.uri)
    assert file is not None
    with closing(sqlite3.connect(file)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM runs")]


@pytest.mark.parametrize("opens", [True, False])
def test_a_copy_is_read_and_taken_away(store: Destination, monkeypatch: pytest.MonkeyPatch, *, opens: bool) -> None:
    connect = sqlite3.connect

    def no_index(database: str | Path, *, uri: bool = False) -> sqlite3.Connection:
        if uri:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(database)

    monkeypatch.setattr(os, "access", lambda *_: False)
    if not opens:
        monkeypatch.setattr(sqlite3, "connect", no_index)
    with readable(store) as copy:
        assert copy.uri != store.uri
        assert _names(copy) == ["one"]
        file = sqlite_file(copy.uri)
    assert file is not None
    assert not file.exists()


def test_what_can_be_written_to_is_read_where_it_is(store: Destination) -> None:
    with readable(store) as same:
        assert same == store


def test_a_store_that_cannot_be_copied_is_one_line(store: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(read_only, "_copy", full)
    with pytest.raises(UserError, match="in a read-only folder, and cannot be copied to be read"), readable(store):
        pass
