"""A process in which the libraries are imported, from which commands are forked: each has a process of its own."""

import importlib
import json
import os
import signal
import subprocess
import sys
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

    def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: int
    ) -> "subprocess.CompletedProcess[str]":
        """Run `whydeep ARGUMENTS` in a folder; return the finished process, killed by SIGALRM after `timeout` s."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with TemporaryDirectory() as said:
            asked = {
                "arguments": list(arguments),
                "folder": str(folder),
                "environment": dict(environment),
                "timeout": timeout,
                "said": said,
            }
            print(json.dumps(asked), file=self._process.stdin, flush=True)
            code = int(self._process.stdout.readline())
            out, err = (Path(said, name).read_text(encoding="utf-8") for name in ("out", "err"))
        return subprocess.CompletedProcess(list(arguments), code, out, err)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _serve() -> int:
    """Fork a process for each line of the standard input and tell its exit code; in the child, return it."""
    for module in IMPORTED:
        importlib.import_module(module)
    for line in sys.stdin:
        asked = json.loads(line)
        if (child := os.fork()) == 0:
            _become(asked)
            return main(asked["arguments"])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return 0


def _become(asked: Mapping[str, Any]) -> None:
    signal.alarm(asked["timeout"])
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{asked['said']}/{name}", os.O_CREAT | os.O_WRONLY), stream)
    sys.argv = ["whydeep", *asked["arguments"]]


if __name__ == "__main__":
    sys.exit(_serve())
