"""Passwords are in nothing that is printed, logged or recorded."""

import socket
from pathlib import Path

import pytest

from experiments.tracking.credentials import is_masked, masked, masked_address
from experiments.tracking.options import Destination
from experiments.tracking.store import Store
from experiments.tracking.store_errors import StoreAwayError
from tests.experiments.conftest import TOY, Whydeep


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:secret@host:5000", "http://me:***@host:5000"),
        ("postgresql+psycopg2://me:se/cr@et@host/db", "postgresql+psycopg2://me:***@host/db"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////runs/mlflow.db", "sqlite:////runs/mlflow.db"),
    ],
)
def test_addresses_are_shown_without_passwords(address: str, shown: str) -> None:
    assert masked_address(address) == shown
    assert masked_address(shown) == shown
    assert is_masked(shown) == (address != shown)


def test_a_password_of_the_environment_is_found_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:pass%20word@host:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok123")
    assert masked("login 'pass word' (pass%20word, tok123) failed") == "login '***' (***, ***) failed"


def test_what_a_library_quotes_is_masked() -> None:
    with pytest.raises(StoreAwayError) as caught:
        Store(Destination("http://me:sec;ret@127.0.0.1:1", None), 1.0).experiment_id("study")
    assert "sec;ret" not in str(caught.value)


def test_a_whole_run_writes_and_prints_no_password(whydeep: Whydeep, tmp_path: Path) -> None:
    secret = f"{'correct'}-horse"  # this file may be among the uncommitted changes, which are recorded
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://me:{secret}@127.0.0.1:{unused.getsockname()[1]}"
        options = ("trainer=debug", "tracking.flush_seconds=0", f"tracking.uri={uri}")
        run = whydeep("train", TOY[0], TOY[1], TOY[3], *options)
    assert run.returncode == 0, run.stderr
    assert secret not in run.stdout + run.stderr
    assert "run id: None" not in run.stdout
    files = [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    assert len(files) > 10
    assert [file for file in files if secret.encode() in file.read_bytes()] == []
