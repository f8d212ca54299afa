"""Which directory a run gets: that of its latest attempt, or the next one."""

from pathlib import Path

import pytest

from experiments.runs.attempts import directory, following, latest, stem
from experiments.runs.result import RunResult, Status


def attempt(folder: Path, status: Status | None) -> None:
    folder.mkdir(parents=True)
    if status is not None:
        RunResult(folder, None, "i", folder.name, status, 0, {}, (1, 8, 8)).write()


def test_a_name_says_what_people_tell_runs_apart_by() -> None:
    choices = {"model": "resnet20", "datamodule": "cifar10", "augmentation": None}
    assert stem(choices, 3, "0123456789abcdef") == "resnet20-cifar10-own-seed3-0123456789"


def test_attempts_are_counted_from_the_second(tmp_path: Path) -> None:
    assert latest(tmp_path, "run") == following(tmp_path, "run") == tmp_path / "run"
    attempt(tmp_path / "run", None)
    assert (latest(tmp_path, "run").name, following(tmp_path, "run").name) == ("run", "run-2")
    for number in range(2, 12):
        attempt(tmp_path / f"run-{number}", None)
    assert (latest(tmp_path, "run").name, following(tmp_path, "run").name) == ("run-11", "run-12")


@pytest.mark.parametrize(
    ("status", "rerun", "resume", "expected"),
    [
        ("FINISHED", False, True, "run"),
        ("FINISHED", True, True, "run-2"),
        ("FINISHED", False, False, "run"),
        ("FAILED", False, True, "run"),
        ("FAILED", True, True, "run"),
        ("KILLED", False, False, "run-2"),
        (None, False, True, "run"),
        (None, False, False, "run-2"),
    ],
)
def test_the_directory_of_the_next_execution(
    tmp_path: Path, status: Status | None, rerun: bool, resume: bool, expected: str
) -> None:
    attempt(tmp_path / "run", status)
    assert directory(tmp_path, "run", rerun=rerun, resume=resume).name == expected
