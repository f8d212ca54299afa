"""Which of several processes that end is the cause, and that the others do not outlive it; none of them trains."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.runs import launch, processes
from experiments.runs.endings import Ending, Endings
from experiments.runs.order import Order

ENDING = """
import os, signal, sys, time
rank = int(os.environ["RANK"])
from pathlib import Path
sys.path.insert(0, {house!r})
from experiments.runs.endings import Ending, Endings
from experiments.runs.order import Order
endings = Endings(Path({folder!r}), "s")
{program}
"""


ORDER: Order = {
    "run_dir": "",
    "config": {},
    "session": "s",
    "command": [],
    "progress": False,
    "heartbeat": None,
    "name": None,
    "tags": {},
}


def launched(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> Ending | None:
    """Launch two processes that run `program` instead of a rank's."""
    house = str(Path(__file__).parents[3])
    text = ENDING.format(house=house, folder=str(folder), program=program)
    real = subprocess.Popen

    def start(command: list[str], **options: object) -> "subprocess.Popen[str]":
        assert command[1:3] == ["-m", "experiments.runs.rank"]
        return real([sys.executable, "-c", text], **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr("experiments.runs.launch.subprocess.Popen", start)
    monkeypatch.setattr(launch, "FAILED_SECONDS", 1.0)
    monkeypatch.setattr(launch, "TOLD_SECONDS", 1.0)
    return launch.launch(2, Endings(folder, "s"), ORDER)


def test_two_that_end_well_leave_no_ending(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert launched(monkeypatch, tmp_path, "") is None


def test_a_real_failure_is_not_covered_by_the_stop_that_follows_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = """
if rank == 1:
    endings.write(Ending(1, "FAILED", "dog.png is broken", time.time()))
    sys.exit(1)
def stopped(*_):
    endings.write(Ending(0, "KILLED", "stopped by SIGTERM", time.time(), signal.SIGTERM))
    sys.exit(143)
signal.signal(signal.SIGTERM, stopped)
time.sleep(60)
"""
    ending = launched(monkeypatch, tmp_path, program)
    assert ending is not None
    assert (ending.rank, ending.status, ending.reason) == (1, "FAILED", "dog.png is broken")


def test_a_process_that_does_not_listen_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = """
if rank == 0:
    os.kill(os.getpid(), signal.SIGKILL)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
endings.write(Ending(1, "FAILED", "connection closed by peer", time.time()))
time.sleep(60)
"""
    began = time.monotonic()
    ending = launched(monkeypatch, tmp_path, program)
    assert ending is not None
    assert (ending.rank, ending.reason) == (0, "process 0 of 2 was killed by SIGKILL")
    assert time.monotonic() - began < 30


def test_the_environment_is_left_as_it_was_found() -> None:
    # Whoever runs the tests may have launched them, but not as one of several processes.
    assert not processes.launched_by_others()
    before = dict(os.environ)
    with processes.left_as_found():
        os.environ["LOCAL_RANK"] = "0"
        os.environ.pop("PATH", None)
        assert not processes.launched_by_others()
    assert dict(os.environ) == before
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
