"""Signals that come between trainings are neither lost nor fatal."""

import os
import signal
from pathlib import Path

import pytest

from experiments.runs import asked
from experiments.runs.callbacks import Checkpoints, RunKilled, StepLosses
from experiments.runs.causes import ending_of, is_crash, raised_by
from experiments.runs.processes import Silence
from experiments.runs.stopping import CleanStop


def stop(folder: Path) -> CleanStop:
    losses = StepLosses(Silence())
    return CleanStop(Checkpoints(folder, losses, Silence(), minutes=1.0))


def test_a_signal_is_noted_and_what_trains_next_stops_at_once(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with asked.listening() as heard:
        assert stop(tmp_path).signal_number is None
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert (heard.number, heard.count) == (signal.SIGTERM, 2)
        assert asked.stopped_by() == signal.SIGTERM
        with pytest.raises(RunKilled):
            stop(tmp_path).stop_if_asked()
    assert asked.stopped_by() is None
    assert signal.getsignal(signal.SIGTERM) is before


def told_twice() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("the second signal was lost")


def test_a_second_signal_ends_what_can_be_ended_at_once() -> None:
    with asked.listening() as heard:
        with pytest.raises(RunKilled, match="SIGINT"), heard.impatient():
            told_twice()
        os.kill(os.getpid(), signal.SIGINT)
    assert heard.count == 3


def test_who_listens_hears_what_a_training_took(tmp_path: Path) -> None:
    with asked.listening() as heard:
        training = stop(tmp_path)
        with training.watching():
            os.kill(os.getpid(), signal.SIGINT)
        assert training.signal_number == signal.SIGINT
        assert (heard.number, heard.count) == (signal.SIGINT, 1)


def test_what_the_machine_may_have_caused_is_told_from_what_comes_again() -> None:
    assert is_crash(OSError("no space left"))
    assert is_crash(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."))
    for lasting in (ValueError("x"), MemoryError(), RuntimeError("CUDA out of memory"), RunKilled(signal.SIGTERM)):
        assert not is_crash(lasting)
    assert is_crash(raised_by(ending_of(ConnectionError("gone")), None))
    assert not is_crash(raised_by(ending_of(ValueError("wrong")), None))
