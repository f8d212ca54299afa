"""From what a person types to a run."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments.errors import UserError
from experiments.tracking.card import read_card
from experiments.tracking.leftovers import has_pending, reconcile
from experiments.tracking.lookup import find_run
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions


def _record(runs_dir: Path, options: TrackingOptions, name: str, folder: str) -> str:
    tracker = open_run(runs_dir / folder, options, name=name, tags={})
    (tracker.run_dir / "config.yaml").write_text("seed: 0")
    (tracker.run_dir / "checkpoints").mkdir(exist_ok=True)
    (tracker.run_dir / "checkpoints" / "best.ckpt").write_text("weights")
    tracker.artifact(tracker.run_dir / "config.yaml")
    tracker.artifact(tracker.run_dir / "checkpoints" / "best.ckpt", folder="checkpoints")
    tracker.finish("FINISHED")
    card = read_card(tracker.run_dir)
    assert card is not None
    return card.run_id or card.key


def test_a_run_is_found_by_id_beginning_name_and_directory(runs_dir: Path, options: TrackingOptions) -> None:
    run_id = _record(runs_dir, options, "resnet20-seed3", "deep/a")
    other = _record(runs_dir, TrackingOptions(runs_dir=str(runs_dir), deliver=False), "vgg11", "b")

    for reference in (run_id, run_id[:8], "resnet20-seed3", str(runs_dir / "deep/a")):
        assert find_run(runs_dir, reference, options) == runs_dir / "deep/a"
    assert find_run(runs_dir, other[:8], options) == runs_dir / "b"


def test_a_run_that_is_not_found_names_close_matches(runs_dir: Path, options: TrackingOptions) -> None:
    _record(runs_dir, TrackingOptions(runs_dir=str(runs_dir), deliver=False), "resnet20-seed3", "a")

    with pytest.raises(UserError, match=r"^run=resnet2O-seed3: no such run in .*; did you mean resnet20-seed3\?$"):
        find_run(runs_dir, "resnet2O-seed3", options)
    with pytest.raises(UserError, match=r"^run=xyz: no such run in .* nor in sqlite.*; there are 2 names and ids"):
        find_run(runs_dir, "xyz", options)
    with pytest.raises(UserError, match=r"^run=: give a run id"):
        find_run(runs_dir, "", options)


def test_too_short_a_beginning_says_how_many_runs_it_fits(
    runs_dir: Path, options: TrackingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = iter(["0a11" + "0" * 28, "0b22" + "0" * 28, "1c33" + "0" * 28])
    monkeypatch.setattr("experiments.tracking.opening.uuid.uuid4", lambda: SimpleNamespace(hex=next(keys)))
    for folder in ("a", "b", "c"):
        _record(runs_dir, TrackingOptions(runs_dir=str(runs_dir), deliver=False), folder, folder)

    with pytest.raises(UserError) as caught:
        find_run(runs_dir, "0", options)
    assert str(caught.value) == (
        f"run=0: begins the ids of 2 runs in {runs_dir}; give 4 characters or more, such as 0a110000"
    )
    with pytest.raises(UserError, match=r"^run=1c3: begins the id of one run in .*, such as 1c330000$"):
        find_run(runs_dir, "1c3", options)
    assert find_run(runs_dir, "1c33", options) == runs_dir / "c"


def test_nothing_is_made_where_nothing_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is recorded there yet"):
        find_run(tmp_path / "runs", "abc")

    assert list(tmp_path.iterdir()) == []


def test_a_name_that_several_runs_have_is_not_guessed(runs_dir: Path, options: TrackingOptions) -> None:
    kept = TrackingOptions(runs_dir=str(runs_dir), deliver=False)
    ids = [_record(runs_dir, kept, "same", folder) for folder in ("a", "b")]

    with pytest.raises(UserError, match="2 runs are meant, give more of a run id") as caught:
        find_run(runs_dir, "same", options)

    assert all(run_id[:8] in str(caught.value) for run_id in ids)


def test_a_run_that_is_not_on_this_machine_is_fetched_from_the_store(runs_dir: Path, options: TrackingOptions) -> None:
    run_id = _record(runs_dir, options, "gone", "gone")
    shutil.rmtree(runs_dir / "gone")

    for reference in ("gone", run_id, run_id[:8]):
        found = find_run(runs_dir, reference, options)
        assert found == runs_dir / "downloaded" / run_id
    assert (found / "config.yaml").read_text() == "seed: 0"
    assert (found / "checkpoints" / "best.ckpt").read_text() == "weights"
    card = read_card(found)
    assert card is not None
    assert (card.name, card.run_id, card.status, card.experiment) == ("gone", run_id, "FINISHED", "study")
    assert not has_pending(found)
    assert reconcile(runs_dir) == []
