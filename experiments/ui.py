"""Open the MLflow pages over the recorded runs, on this machine only.

whydeep ui
whydeep ui port=5001 runs_dir=runs

keys:
  port=5000       of the server on 127.0.0.1
  runs_dir=runs   where runs are recorded
Where $MLFLOW_TRACKING_URI names a server, its pages are shown and nothing is started; exit code 1 when it does not
answer. Ctrl-C stops the server.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from types import FrameType
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from experiments.arguments import split_arguments
from experiments.errors import UserError
from experiments.tracking.addresses import sqlite_file
from experiments.tracking.charts import VIEW_TAG, charts_link
from experiments.tracking.credentials import masked
from experiments.tracking.options import Destination, TrackingOptions

HOST = "127.0.0.1"
KEYS = {"port": "5000", "runs_dir": "runs"}

_START_SECONDS = 120.0
_STOP_SECONDS = 5.0
_PORTS = range(1, 65536)


def main(argv: Sequence[str]) -> int:
    """Serve until Ctrl-C; return the exit code.

    Raises:
        UserError: an unknown key, a port that cannot be had, or nothing recorded yet.
    """
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    keys, others = split_arguments(argv, KEYS)
    if others:
        raise UserError(f"{others[0]}: unknown argument; allowed: {', '.join(f'{key}=…' for key in KEYS)}")
    port = _port(str(keys["port"]))
    options = TrackingOptions(runs_dir=str(keys["runs_dir"]))
    options.check()
    destination = options.destination()
    if urlsplit(destination.uri).scheme in {"http", "https"}:
        return 0 if _print_links(destination.uri.rstrip("/")) else 1
    file = sqlite_file(destination.uri)
    if file is not None and not file.exists():
        raise UserError(
            f"runs_dir={keys['runs_dir']}: nothing is recorded in {file} yet; `make demo` records some runs"
        )
    _check_free(port)
    return _serve(destination, port)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) not in _PORTS:
        raise UserError(f"port={text}: allowed are numbers from {_PORTS[0]} to {_PORTS[-1]}")
    return int(text)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        # As the server itself does: a port that was in use a minute ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port={port}: cannot be had ({error.strerror}); try port={port % _PORTS[-1] + 1}"
            ) from error


def _serve(destination: Destination, port: int) -> int:
    address = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    if destination.artifact_root is not None:
        command += ["--default-artifact-root", destination.artifact_root]
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Seven more processes for jobs that nobody asks for here, which outlive the server.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **os.environ,
        # Not on the command line, where everybody on this machine could read its password.
        "MLFLOW_BACKEND_STORE_URI": destination.uri,
    }
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryFile() as log:
        # A session of its own: the server's children are stopped with it.
        server = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            print(f"starting MLflow on {address} …", flush=True)
            if not _wait_until_up(server, address):
                print(masked(f"the MLflow server did not start:\n{_tail(log)}"), file=sys.stderr)
                return 1
            _print_links(address)
            print("Ctrl-C stops the server.", flush=True)
            code = server.wait()
            print(masked(f"the MLflow server ended with exit code {code}:\n{_tail(log)}"), file=sys.stderr)
        except KeyboardInterrupt:
            print()
            return 0
        else:
            return 1
        finally:
            _stop(server)


def _wait_until_up(server: subprocess.Popen[bytes], address: str) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=1):  # noqa: S310 - loopback
                return True
        except OSError:
            time.sleep(0.1)
    return False


def _print_links(address: str) -> bool:
    """Print where the experiments are; whether the server has said which it has."""
    # MLflow opens with its pages for language models; the address of an experiment can ask for those about training.
    place, headers = _without_login(address)
    query = json.dumps({"max_results": 100, "order_by": ["last_update_time DESC"]}).encode()
    request = urllib.request.Request(  # noqa: S310 - loopback, or the server that the user named
        f"{place}/api/2.0/mlflow/experiments/search",
        data=query,
        headers={"Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            experiments = json.load(answer).get("experiments", [])
    except (OSError, ValueError) as error:
        print(masked(f"{place} does not list its experiments ({error})"), file=sys.stderr)
        return False
    print("Model training pages:")
    shown = [found for found in experiments if found["experiment_id"] != "0"] or experiments
    for found in shown:
        page = f"{place}/#/experiments/{found['experiment_id']}/runs?workflowType=machine_learning"
        print(f"  {found['name']}: {page}")
        if VIEW_TAG in {tag["key"] for tag in found.get("tags", [])}:
            print(f"    depth, parameters, receptive field, error: {place}/{charts_link(found['experiment_id'])}")
    return True


def _without_login(address: str) -> tuple[str, dict[str, str]]:
    """Return an address as a browser may be given it, and the HTTP headers that stand for its user and password."""
    parts = urlsplit(address)
    user = parts.username or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = parts.password or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    if not user:
        return address, {}
    login = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=place).geturl(), {"Authorization": f"Basic {login}"}


def _tail(log: BinaryIO) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-15:])


def _stop(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            return
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the form of a signal handler
    raise SystemExit(128 + number)
