"""A run whose process died without a word gets its end from another process, once, and nothing that is done is lost."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.runs import crash
from experiments.runs.configuration import compose
from experiments.runs.crash import end_crashed
from experiments.runs.record import CONFIG_FILE
from experiments.runs.result import RunResult
from experiments.tracking.card import read_card
from experiments.tracking.locks import RunLock
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions

REASON = "its process was killed by SIGKILL"


@pytest.fixture
def died(tmp_path: Path) -> Path:
    """The directory of a run that had begun to be recorded."""
    run_dir = tmp_path / "run"
    tracker = open_run(run_dir, TrackingOptions(runs_dir=str(tmp_path), deliver=False), name="run", tags={})
    tracker.flush()
    tracker._close()
    cfg = compose(["model=conv5x5", "datamodule=digits", "seed=3", f"runs_dir={tmp_path}", "tracking.deliver=false"])
    (run_dir / CONFIG_FILE).write_text(OmegaConf.to_yaml(cfg, resolve=True))
    (run_dir / "identity.json").write_text(json.dumps({"identity": "i" * 64}))
    (run_dir / "data.json").write_text(json.dumps({"spec": {"channels": 1, "image_size": 8}}))
    return run_dir


def test_its_end_is_recorded_with_the_reason(died: Path) -> None:
    result = end_crashed(died, "FAILED", REASON)
    assert result is not None
    assert RunResult.read(died) == result
    assert (result.status, result.reason, result.seed, result.identity) == ("FAILED", REASON, 3, "i" * 64)
    assert (result.input_shape, result.choices["model"]) == ((1, 8, 8), "conv5x5")
    card = read_card(died)
    assert card is not None
    assert (card.status, card.reason) == ("FAILED", REASON)


def test_what_had_finished_stays_finished(died: Path) -> None:
    done = RunResult(died, "id", "i", "run", "FINISHED", 3, {}, (1, 8, 8), metrics={"test/loss": 0.5})
    done.write()
    assert end_crashed(died, "FAILED", REASON) == done
    assert RunResult.read(died) == done


def test_what_somebody_else_goes_on_with_is_left_alone(died: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "HELD_SECONDS", 0.0)
    lock = RunLock(died)
    try:
        assert end_crashed(died, "FAILED", REASON) is None
    finally:
        lock.release()
    assert RunResult.read(died) is None


def test_what_had_failed_before_it_died_failed_for_its_own_reason(died: Path) -> None:
    failed = RunResult(died, "id", "i", "run", "FAILED", 3, {}, (1, 8, 8), reason="the loss is NaN")
    failed.write()
    assert end_crashed(died, "FAILED", REASON) == failed
    card = read_card(died)
    assert card is not None
    assert (card.status, card.reason) == ("FAILED", "the loss is NaN")
    # Once its record has ended, a result is an earlier session's.
    again = end_crashed(died, "KILLED", REASON)
    assert again is not None
    assert (again.status, again.reason) == ("KILLED", REASON)


@pytest.mark.parametrize("missing", [CONFIG_FILE, "identity.json", "data.json"])
def test_what_had_not_begun_to_be_recorded_has_no_result(died: Path, missing: str) -> None:
    (died / missing).unlink()
    assert end_crashed(died, "KILLED", REASON) is None
    assert RunResult.read(died) is None
