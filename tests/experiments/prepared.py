"""A process in which the libraries are imported, from which commands are forked: each has a process of its own."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.cli import main

IMPORTED = (
    "experiments.studies.warm",
    "experiments.study",
    "experiments.train",
    "mlflow.store.tracking.sqlalchemy_store",
    "alembic.command",
    "albumentations",
    "sklearn.datasets",
)


class Prepared:
    """Runs `whydeep` as a process of its own would, without the seconds that importing takes each of them.

    Args:
        environment: of the process that is forked; the commands get their own.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.experiments.prepared"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], said: Path | None = None
    ) -> "Command":
        """Start `whydeep ARGUMENTS` in a folder; what it says goes into `out` and `err` of the folder `said`."""
        asked = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "said": said and str(said),
        }
        return Command(self, self.ask(asked))

    def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """Run `whydeep ARGUMENTS` in a folder and return the finished process."""
        with TemporaryDirectory() as said:
            code = self.start(arguments, folder, environment, Path(said)).wait(timeout)
            out, err = (Path(said, name).read_text(encoding="utf-8") for name in ("out", "err"))
        return subprocess.CompletedProcess(list(arguments), code, out, err)

    def ask(self, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Return what the process answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Command:
    """A command that was started, as far as tests need what `subprocess.Popen` offers."""

    def __init__(self, prepared: Prepared, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._prepared = prepared

    def poll(self) -> int | None:
        """Return the exit code, `None` while it runs, less than 0 where a signal has ended it."""
        if self.returncode is None:
            self.returncode = self._prepared.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float = 240) -> int:
        """Return the exit code; a command that takes more than `timeout` seconds is killed, and raises."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                self.kill()
                raise subprocess.TimeoutExpired("whydeep", timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _serve() -> int:
    """Answer each line of the standard input; in a process that is forked for a command, return its exit code."""
    for module in IMPORTED:
        importlib.import_module(module)
    for line in sys.stdin:
        asked = json.loads(line)
        if "ended" in asked:
            pid, status = os.waitpid(asked["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif (answer := os.fork()) == 0:
            _become(asked)
            return main(asked["arguments"])
        print(json.dumps(answer), flush=True)
    return 0


def _become(asked: Mapping[str, Any]) -> None:
    os.chdir(asked["folder"])
    sys.path[0] = asked["folder"]  # as `python -m` has it
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{asked['said']}/{name}" if asked["said"] else os.devnull, os.O_CREAT | os.O_WRONLY), stream)
    sys.argv = ["whydeep", *asked["arguments"]]


if __name__ == "__main__":
    sys.exit(_serve())
