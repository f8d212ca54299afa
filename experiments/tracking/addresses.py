"""Addresses of MLflow stores: which can be, and which can never work on this machine."""

import os
import re
import sqlite3
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

from experiments.errors import UserError
from experiments.tracking.credentials import masked

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SERVERS = ("http", "https")
_SCHEMES = (*DATABASES, *SERVERS, "databricks")
_ALLOWED = (
    "allowed: null (SQLite in runs_dir), sqlite:///FILE.db, postgresql://…, mysql://…, mssql://…, http(s)://HOST:PORT"
)


def check_uri(uri: str, key: str) -> None:
    """Refuse what MLflow would refuse much later.

    Raises:
        UserError: not the address of a store that MLflow can write to; the text begins with ``key``.
    """
    kind = scheme(uri)
    if kind in {"", "file"}:
        raise UserError(masked(f"{key}={uri}: MLflow no longer writes to plain folders (file stores); {_ALLOWED}"))
    if kind not in _SCHEMES and kind not in entry_points(group="mlflow.tracking_store").names:
        raise UserError(masked(f"{key}={uri}: no such kind of store; {_ALLOWED}"))
    if kind in SERVERS and (problem := _server_problem(uri)):
        raise UserError(masked(f"{key}={uri}: {problem}; allowed: http(s)://HOST:PORT"))


def check_usable(uri: str, key: str) -> None:
    """Refuse a store that can never work on this machine; one that is merely down is none of these.

    Raises:
        UserError: no driver for the data base, no data base in the file, no login; the text begins with ``key``.
    """
    check_uri(uri, key)
    kind = scheme(uri)
    problem = None
    if kind == "sqlite":
        problem = _file_problem(sqlite_file(uri))
    elif kind in DATABASES:
        problem = _driver_problem(uri)
    elif kind == "databricks":
        problem = _login_problem()
    if problem:
        raise UserError(masked(f"{key}={uri}: {problem}"))


def sqlite_file(uri: str) -> Path | None:
    """The absolute path of an SQLite store's file; None for every other kind of store."""
    path = re.sub(r"^sqlite(\+\w+)?:///", "", uri)
    return None if path == uri or path in {"", ":memory:"} else Path(path).resolve()


def scheme(uri: str) -> str:
    """The kind of store that an address names, in small letters; "" where it names none."""
    # "postgresql+psycopg2://…" names the driver too; a Windows drive letter is not a scheme.
    found = re.match(r"([A-Za-z][\w.-]+)(\+[\w]+)?:", uri)
    return found[1].lower() if found else ("databricks" if uri == "databricks" else "")


def _server_problem(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return "its port or host cannot be"
    return None if complete else "names no host"


def _file_problem(file: Path | None) -> str | None:
    if file is None:
        return "names no file; allowed: sqlite:///FILE.db"
    if file.exists() and not file.is_file():
        kind = "a folder" if file.is_dir() else "no regular file"
        return f"is {kind}; allowed: a file, sqlite:///FILE.db"
    if file.exists() and not os.access(file, os.R_OK):
        return "cannot be read"
    if file.exists() and not _is_database(file):
        return "is no SQLite data base; name another file, or move this one away"
    return None


def _is_database(file: Path) -> bool:
    """Ask SQLite itself whether a file is one of its own, or empty.

    Never open such a file without it: to close it again takes away all locks that this process has on it, whereupon
    another process takes itself for the last one and deletes the log that the connections of this one write to.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_NOTADB
    return True


def _driver_problem(uri: str) -> str | None:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - a third of a second that few need
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ImportError as error:
        return f"its driver is not installed ({error}); install it, or use an MLflow server"
    except (SQLAlchemyError, ValueError) as error:
        return f"not the address of a data base ({' '.join(str(error).split())})"
    return None


def _login_problem() -> str | None:
    file = Path(os.environ.get("DATABRICKS_CONFIG_FILE", "~/.databrickscfg")).expanduser()
    if file.is_file() or os.environ.get("DATABRICKS_HOST"):
        return None
    return f"no login; set DATABRICKS_HOST and DATABRICKS_TOKEN, or write {file}"
