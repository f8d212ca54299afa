"""A run that another process has finished between this one's look and its lock is not trained on."""

from pathlib import Path

import pytest

from experiments.runs import execute as room
from experiments.runs.configuration import compose
from experiments.runs.execute import execute
from experiments.runs.result import RunResult
from experiments.tracking.card import read_card

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")


def test_a_run_that_was_finished_meanwhile_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["model=conv5x5", "model.network.widths=[4,4]", "datamodule=digits", "datamodule.image_size=8"]
    asked += ["datamodule.few_samples=2", "effective_field_images=0", "trainer.max_epochs=1", f"runs_dir={tmp_path}"]
    cfg = compose(asked)
    first = execute(cfg, progress=False)
    written = (first.run_dir / "result.json").read_bytes()
    real, looks = RunResult.read, []

    def read(run_dir: Path) -> RunResult | None:
        """Know of no result until the run is about to be trained."""
        looks.append(run_dir)
        return None if len(looks) <= 2 else real(run_dir)  # to choose the directory, and to see whether it is done

    monkeypatch.setattr(RunResult, "read", read)
    monkeypatch.setattr(room, "train", lambda *_, **__: pytest.fail("it was trained again"))
    second = execute(cfg, progress=False)
    assert (second.run_id, second.metrics, second.skipped) == (first.run_id, first.metrics, True)
    assert (first.run_dir / "result.json").read_bytes() == written
    card = read_card(first.run_dir)
    assert card is not None
    assert card.status == "FINISHED"
