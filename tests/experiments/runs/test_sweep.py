"""The jobs of a plain sweep: named by what differs among them, under one run that says how they ended."""

from pathlib import Path

import pytest

from experiments.runs.configuration import compose
from experiments.runs.label import PARENT_TAG
from experiments.runs.sweep import JobLabels, open_sweep
from experiments.tracking.card import read_card
from experiments.tracking.parents import parents_key


def test_a_job_is_named_by_what_differs() -> None:
    labels = JobLabels("abc", ("model=vgg11,resnet20", "seed=0,1", "trainer.max_epochs=2"))
    label = labels.of(["model=resnet20", "seed=1", "trainer.max_epochs=2"])
    assert label.name == "model=resnet20 seed=1"
    assert parents_key(label.tags[PARENT_TAG]) == "abc"
    assert labels.of(["trainer.max_epochs=2"]).name is None


@pytest.mark.parametrize(
    ("codes", "stopped", "status", "reason"),
    [
        ([0, 0], False, "FINISHED", None),
        ([0, 1, 2], False, "FAILED", "2 of 3 jobs failed"),
        ([0], True, "KILLED", "stopped; the same command continues it"),
    ],
)
def test_a_sweep_says_how_it_ended_and_keeps_its_run(
    tmp_path: Path, codes: list[int], stopped: bool, status: str, reason: str | None
) -> None:
    given = ["seed=0,1", "tracking=local", f"runs_dir={tmp_path}"]
    cfg = compose(["seed=0", *given[1:]])
    first = open_sweep(cfg, given, given[:1])
    first.finish(codes, stopped=stopped)
    (folder,) = tmp_path.glob("sweep-*")
    card = read_card(folder)
    assert card is not None
    assert (card.name, card.status, card.reason, card.key) == ("seed=0,1", status, reason, first.labels.key)
    again = open_sweep(cfg, given[::-1], given[:1])
    again.finish([0], stopped=False)
    assert again.labels.key == first.labels.key
