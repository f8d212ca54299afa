"""The command that shows the recorded runs, as a person starts and stops it."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from experiments.cli import run
from experiments.tracking.charts import charts_link
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_pages_are_served_on_loopback_and_end_with_the_command(runs_dir: Path, options: TrackingOptions) -> None:
    tracker = open_run(runs_dir / "one", options, name="one", tags={})
    (tracker.run_dir / "notes.txt").write_text("kept")
    tracker.artifact(tracker.run_dir / "notes.txt")
    tracker.finish("FINISHED")
    port = _free_port()
    command = [sys.executable, "-m", "experiments.cli", "ui", f"port={port}", f"runs_dir={runs_dir}"]
    ui = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert ui.stdout is not None
        lines = [ui.stdout.readline().strip() for _ in range(4)]
        base = f"http://127.0.0.1:{port}"
        assert lines[0] == f"starting MLflow on {base} …"
        assert lines[1] == "Model training pages:"
        name, page = lines[2].split(": ", maxsplit=1)
        assert name == "study"
        assert page.startswith(f"{base}/#/experiments/")
        assert page.endswith("/runs?workflowType=machine_learning")
        charts = lines[3].removeprefix("depth, parameters, receptive field, error: ")
        assert charts == f"{base}/{charts_link(page.split('/')[-2])}"
        assert "<html" in urllib.request.urlopen(base, timeout=10).read().decode()
        artifact = f"{base}/get-artifact?run_uuid={tracker.run_id}&path=notes.txt"
        assert urllib.request.urlopen(artifact, timeout=10).read() == b"kept"  # noqa: S310 - loopback
        with pytest.raises(OSError, match=r"refused|timed out|assign"):  # another address of this machine
            socket.create_connection(("127.0.0.2", port), timeout=1).close()

        os.kill(ui.pid, signal.SIGINT)
        _, errors = ui.communicate(timeout=120)  # a guard against hanging, not a measure of speed
        assert (ui.returncode, errors) == (0, "")
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(base, timeout=2)
    finally:
        # Not killed: it has to stop its server.
        ui.terminate()
        ui.communicate()


def test_a_server_that_does_not_answer_is_told_on_the_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"http://127.0.0.1:{_free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    assert run("ui", []) == 1

    told = capsys.readouterr()
    assert told.err.startswith(f"{uri} does not list its experiments")
    assert told.out == ""


def test_what_is_no_data_base_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlflow.db").write_text("not a data base")
    assert run("ui", [f"runs_dir={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert "mlflow.db: is no SQLite data base" in said
    assert said.count("\n") == 1


def test_mistakes_are_one_line_and_exit_code_2(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, expected in (
            (["port=many"], "port=many: allowed are numbers from 1 to 65535"),
            (["port=0"], "port=0: allowed are numbers from 1 to 65535"),
            ([f"port={port}", f"runs_dir={runs_dir}"], f"port={port}: cannot be had (Address already in use)"),
            (["runs_dir=nowhere"], "runs_dir=nowhere: nothing is recorded in"),
            (["host=0.0.0.0"], "host=0.0.0.0: unknown argument; allowed: port=…, runs_dir=…"),
        ):
            assert run("ui", arguments) == 2
            said = capsys.readouterr().err
            assert said.startswith(f"whydeep: error: {expected}")
            assert said.count("\n") == 1


def test_help_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("ui", "sync"):
        assert run(verb, ["--help"]) == 0
        assert f"whydeep {verb}" in capsys.readouterr().out
