"""Tags that a run gets once it has ended."""

from pathlib import Path

from mlflow import MlflowClient

from experiments.tracking.afterwards import tag_ended_run
from experiments.tracking.card import read_card
from experiments.tracking.leftovers import has_pending
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions


def test_a_tag_reaches_the_store_and_leaves_the_status_as_it_is(
    runs_dir: Path, options: TrackingOptions, client: MlflowClient
) -> None:
    tracker = open_run(runs_dir / "one", options, name="one", tags={"first": "1"})
    tracker.finish("FINISHED")
    card = tag_ended_run(runs_dir / "one", options, {"later": "2"})
    assert card is not None
    assert card.run_id is not None
    run = client.get_run(card.run_id)
    assert (run.data.tags["first"], run.data.tags["later"], run.info.status) == ("1", "2", "FINISHED")
    assert not has_pending(runs_dir / "one")


def test_a_run_that_is_being_written_or_has_no_journal_is_left_alone(runs_dir: Path, options: TrackingOptions) -> None:
    tracker = open_run(runs_dir / "one", options, name="one", tags={})
    assert tag_ended_run(runs_dir / "one", options, {"later": "2"}) is None
    tracker.finish("FINISHED")
    assert tag_ended_run(runs_dir / "none", options, {"later": "2"}) is None
    assert read_card(runs_dir / "none") is None
