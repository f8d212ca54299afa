"""Addresses that can never work are refused before a run; a store that is merely down is not."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.tracking.addresses import check_usable
from experiments.tracking.options import TrackingOptions


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://", "names no host"),
        ("https://:5000", "names no host"),
        ("http://host:99999", "its port or host cannot be"),
        ("foo://x", "no such kind of store"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////tmp", "is a folder"),
        ("mssql+nodriver://host/db", "not the address of a data base"),
        ("mysql+mysqldb://host/db", "its driver is not installed"),
        ("databricks", "no login; set DATABRICKS_HOST"),
    ],
)
def test_what_can_never_work_is_one_line(uri: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", "/nowhere")
    monkeypatch.delenv("DATABRICKS_HOST", raising=False)
    with pytest.raises(UserError) as caught:
        check_usable(uri, "tracking.uri")
    assert str(caught.value).startswith(f"tracking.uri={uri}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "https://me:secret@nowhere.invalid"])
def test_a_server_that_is_down_is_not_refused(uri: str) -> None:
    check_usable(uri, "tracking.uri")


def test_a_file_that_holds_no_data_base_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a data base")
    with pytest.raises(UserError, match=r"^runs_dir=.*: store=sqlite:.*/mlflow\.db: is no SQLite data base"):
        TrackingOptions(runs_dir=str(tmp_path)).check()
    (tmp_path / "mlflow.db").write_bytes(b"")
    TrackingOptions(runs_dir=str(tmp_path)).check()


def test_to_look_at_a_store_takes_no_locks_from_those_who_write_to_it(tmp_path: Path) -> None:
    """Without its locks another process deletes the log that this one writes to, and what it writes is lost."""
    file = tmp_path / "mlflow.db"
    insert = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('insert into t values (1)'); c.commit()"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table t(x)")
        connection.commit()
        TrackingOptions(runs_dir=str(tmp_path)).check()
        subprocess.run([sys.executable, "-c", f"{insert}; c.close()", str(file)], check=True)
        connection.execute("insert into t values (2)")
        connection.commit()
        with closing(sqlite3.connect(file)) as other:
            assert other.execute("select count(*) from t").fetchone() == (2,)


def test_a_password_is_not_quoted() -> None:
    with pytest.raises(UserError) as caught:
        check_usable("http://me:secret@host:99999", "tracking.uri")
    assert "secret" not in str(caught.value)
