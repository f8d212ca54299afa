"""Runs nest under others by key: at once where the store has the parent, and later where it does not."""

from pathlib import Path

import pytest

from experiments import sync
from experiments.tracking.card import read_card
from experiments.tracking.leftovers import has_pending, send_leftover
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.parents import PARENT_TAG, parent_by_key, parents_key
from experiments.tracking.store import Store


def options(runs_dir: Path, *, deliver: bool = True) -> TrackingOptions:
    return TrackingOptions(runs_dir=str(runs_dir), deliver=deliver)


def parent_of(runs_dir: Path, name: str) -> str | None:
    card = read_card(runs_dir / name)
    assert card is not None
    assert card.run_id is not None
    store = Store(options(runs_dir).destination(), 10.0)
    found: str | None = store.client.get_run(card.run_id).data.tags.get(PARENT_TAG)
    return found


def test_a_child_names_its_parent_by_key(tmp_path: Path) -> None:
    parent = open_run(tmp_path / "parent", options(tmp_path), name="parent", tags={})
    tags = {PARENT_TAG: parent_by_key(parent.key), "more": "1"}
    child = open_run(tmp_path / "child", options(tmp_path), name="child", tags=tags)
    assert parent.wait_for_run_id(30.0)
    assert child.finish("FINISHED").pending == 0
    assert parent_of(tmp_path, "child") == parent.run_id
    assert parent.finish("FINISHED").pending == 0
    assert parents_key(parent_by_key("x")) == "x"
    assert parents_key("0123") is None


def test_a_child_that_is_sent_before_its_parent_is_nested_later(tmp_path: Path) -> None:
    parent = open_run(tmp_path / "z-parent", options(tmp_path, deliver=False), name="parent", tags={})
    tags = {PARENT_TAG: parent_by_key(parent.key), "more": "1"}
    child = open_run(tmp_path / "child", options(tmp_path), name="child", tags=tags)
    delivery = child.finish("FINISHED")
    assert (delivery.pending, delivery.error) == (1, "the store does not have the run that it nests under yet")
    assert has_pending(tmp_path / "child")
    assert parent_of(tmp_path, "child") is None
    parent.finish("FINISHED")

    store = Store(options(tmp_path).destination(), 10.0)
    assert send_leftover(tmp_path / "z-parent", store)
    sent = send_leftover(tmp_path / "child", store)
    assert sent is not None
    assert sent.pending == 0
    card = read_card(tmp_path / "z-parent")
    assert card is not None
    assert parent_of(tmp_path, "child") == card.run_id
    assert not has_pending(tmp_path / "child")


def test_sync_sends_parents_before_their_children(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parent = open_run(tmp_path / "z-parent", options(tmp_path, deliver=False), name="parent", tags={})
    child = open_run(
        tmp_path / "a-child",
        options(tmp_path, deliver=False),
        name="child",
        tags={PARENT_TAG: parent_by_key(parent.key)},
    )
    child.finish("FINISHED")
    parent.finish("FINISHED")
    assert sync.main([f"runs_dir={tmp_path}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["z-parent", "a-child"]
    card = read_card(tmp_path / "z-parent")
    assert card is not None
    assert parent_of(tmp_path, "a-child") == card.run_id
