"""Processes killed with -9, and what comes after them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from experiments.cli import run
from experiments.tracking.card import read_card
from experiments.tracking.journal import read_metrics
from experiments.tracking.leftovers import end_left_run, has_pending, reconcile
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from tests.experiments.tracking.status import read_status

WRITER = """
import sys, time
from pathlib import Path
from experiments.tracking.options import TrackingOptions
from experiments.tracking.opening import open_run
runs_dir, name, deliver = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "deliver"
options = TrackingOptions(runs_dir=str(runs_dir), experiment="study", deliver=deliver, interval_seconds=0.05)
tracker = open_run(runs_dir / name, options, name=name, tags={})
run_id = tracker.wait_for_run_id(60)
for step in range(10**9):
    tracker.metrics({"loss": step / 7}, step=step)
    if step == 200:
        tracker.flush()
        print(run_id, flush=True)
    time.sleep(0.001)
"""


Start = Callable[[str, bool], tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start(runs_dir: Path) -> Iterator[Start]:
    """Start a process that records without end; returned once 200 steps are in its journal."""
    writers: list[subprocess.Popen[str]] = []

    def begin(name: str, deliver: bool) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", WRITER, str(runs_dir), name, "deliver" if deliver else "keep"]
        writers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert writers[-1].stdout is not None
        return writers[-1], writers[-1].stdout.readline().strip()

    yield begin
    for writer in writers:
        writer.kill()
        writer.communicate()


def _kill(writer: subprocess.Popen[str]) -> None:
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()


def test_a_killed_run_is_found_sent_marked_and_resumed_under_its_run_id(
    runs_dir: Path,
    start: Start,
    client: MlflowClient,
    history: Callable[[str, str], list[tuple[int, float]]],
    options: TrackingOptions,
    capsys: pytest.CaptureFixture[str],
) -> None:
    writer, run_id = start("killed", True)
    assert client.get_run(run_id).info.status == "RUNNING"
    _kill(writer)

    assert run("sync", [f"runs_dir={runs_dir}"]) == 0

    said = capsys.readouterr().out
    assert "killed: its process is dead, marked KILLED" in said
    assert "killed: sent to sqlite:///" in said
    dead = client.get_run(run_id)
    assert dead.info.status == "KILLED"
    assert dead.data.tags["whydeep.reason"].startswith("the process died without a word")
    known = read_metrics(runs_dir / "killed")
    assert len(known) > 200
    assert history(run_id, "loss") == list(zip(known["step"], known["value"], strict=True))
    assert dead.info.end_time == round(known["time"].iloc[-1] * 1000)

    assert run("sync", [f"runs_dir={runs_dir}"]) == 0
    assert "everything is sent" in capsys.readouterr().out

    last = int(known["step"].max())
    tracker = open_run(runs_dir / "killed", options, name="killed", tags={})
    assert tracker.run_id == run_id
    for step in range(last - 50, last + 50):
        tracker.metrics({"loss": step / 7}, step=step)
    assert tracker.finish("FINISHED").pending == 0
    assert history(run_id, "loss") == [(step, step / 7) for step in range(last + 50)]
    alive = client.get_run(run_id)
    assert alive.info.status == "FINISHED"
    assert "whydeep.reason" not in alive.data.tags


def test_a_living_run_is_never_touched(runs_dir: Path, start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    living, _ = start("living", False)
    dead, _ = start("dead", False)
    _kill(dead)

    assert reconcile(runs_dir) == [runs_dir / "dead"]
    assert reconcile(runs_dir) == []
    assert run("sync", [f"runs_dir={runs_dir}"]) == 0

    assert "living: running, sends by itself" in capsys.readouterr().out
    status = read_status(runs_dir / "living")
    assert status is not None
    assert (status.status, status.alive) == ("RUNNING", True)
    assert living.poll() is None
    card = read_card(runs_dir / "living")
    assert card is not None
    assert (card.status, card.sent) == ("RUNNING", 0)


def test_the_next_run_sends_what_a_dead_one_left(
    runs_dir: Path, start: Start, options: TrackingOptions, client: MlflowClient
) -> None:
    writer, run_id = start("dead", True)
    other, _ = start("kept in its journal", False)
    _kill(writer)
    _kill(other)
    left = reconcile(runs_dir)
    assert len(left) == 2
    assert has_pending(runs_dir / "dead")

    tracker = open_run(runs_dir / "next", options, name="next", tags={}, leftovers=left)
    tracker.wait_for_run_id(20)
    for _ in range(400):
        if not has_pending(runs_dir / "dead"):
            break
        time.sleep(0.05)
    tracker.finish("FINISHED")

    assert client.get_run(run_id).info.status == "KILLED"
    card = read_card(runs_dir / "kept in its journal")
    assert card is not None
    assert (card.status, card.uri) == ("KILLED", None)


def test_a_process_that_ends_without_a_word_leaves_all_it_said(runs_dir: Path) -> None:
    script = WRITER.replace("10**9", "300") + "raise SystemExit(3)"
    done = subprocess.run([sys.executable, "-c", script, str(runs_dir), "silent", "keep"], check=False)

    assert done.returncode == 3
    assert len(read_metrics(runs_dir / "silent")) == 300
    assert reconcile(runs_dir) == [runs_dir / "silent"]
    status = read_status(runs_dir / "silent")
    assert status is not None
    assert status.status == "KILLED"


def test_a_card_older_than_its_journal_is_set_right(runs_dir: Path) -> None:
    options = TrackingOptions(runs_dir=str(runs_dir), deliver=False)
    tracker = open_run(runs_dir / "one", options, name="one", tags={})
    before = (runs_dir / "one" / "tracking.json").read_text()
    tracker.finish("FAILED", "a crash")
    (runs_dir / "one" / "tracking.json").write_text(before)

    assert reconcile(runs_dir) == []
    card = read_card(runs_dir / "one")
    assert card is not None
    assert (card.status, card.reason) == ("FAILED", "a crash")


def test_an_ended_run_whose_card_did_not_learn_of_it_is_set_right_by_who_settles_it(runs_dir: Path) -> None:
    options = TrackingOptions(runs_dir=str(runs_dir), deliver=False)
    tracker = open_run(runs_dir / "one", options, name="one", tags={})
    before = (runs_dir / "one" / "tracking.json").read_text()
    tracker.finish("FINISHED", None)
    journal = (runs_dir / "one" / "journal.jsonl").read_bytes()
    (runs_dir / "one" / "tracking.json").write_text(before)

    card = end_left_run(runs_dir / "one", options, "FINISHED", None)
    assert card is not None
    assert card.status == "FINISHED"
    assert (runs_dir / "one" / "journal.jsonl").read_bytes() == journal
