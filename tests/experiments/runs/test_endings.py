"""What ended the first process of a run is what ended the run."""

from pathlib import Path

from experiments.runs.endings import Ending, Endings


def test_the_first_ending_counts_and_other_sessions_do_not(tmp_path: Path) -> None:
    endings, earlier = Endings(tmp_path, "2-7"), Endings(tmp_path, "1-7")
    assert endings.first() is None
    earlier.write(Ending(0, "FAILED", "long ago", 1.0))
    endings.write(Ending(0, "FAILED", "connection closed by peer", 12.5))
    endings.write(Ending(1, "FAILED", "dog.png is broken", 12.0))
    endings.write(Ending(2, "KILLED", "stopped by SIGTERM", 13.0, signal_number=15))
    first = endings.first()
    assert first is not None
    assert (first.rank, first.reason) == (1, "dog.png is broken")


def test_what_was_written_is_forgotten(tmp_path: Path) -> None:
    endings, earlier = Endings(tmp_path, "2-7"), Endings(tmp_path, "1-7")
    earlier.write(Ending(0, "FAILED", "long ago", 1.0))
    endings.write(Ending(0, "FAILED", "now", 2.0))
    endings.forget_others()
    assert earlier.first() is None
    assert endings.first() is not None
    endings.forget()
    assert list(tmp_path.iterdir()) == []
