"""A study at one of its scales: what the scale says replaces, all else stays."""

import pytest

from experiments.errors import UserError
from experiments.studies.study import Study, checked

GIVEN = {
    "question": "Which?",
    "arms": {"a": {"overrides": ["model=conv5x5"], "role": "baseline"}, "b": {"overrides": ["model=two_conv3x3"]}},
    "seeds": 5,
    "metric": "test/top1_error",
    "overrides": ["datamodule=digits", "optimizer.lr=0.05", "trainer.max_epochs=20"],
    "scales": {
        "toy": {"seeds": 2, "overrides": ["trainer.max_epochs=1", "datamodule.few_samples=4"]},
        "full": {"overrides": ["datamodule=cifar10"]},
    },
}


@pytest.fixture
def study() -> Study:
    return checked(GIVEN, "")


def test_a_scale_keeps_the_lines_that_it_does_not_replace(study: Study) -> None:
    toy = study.at_scale("toy")
    assert list(toy.overrides) == [
        "datamodule=digits",
        "optimizer.lr=0.05",
        "trainer.max_epochs=1",
        "datamodule.few_samples=4",
    ]
    assert list(toy.seeds) == [0, 1]
    assert [(cell.name, tuple(cell.overrides)) for cell in toy.cells] == [
        (cell.name, tuple(cell.overrides)) for cell in study.cells
    ]


def test_a_scale_without_seeds_has_those_of_the_study(study: Study) -> None:
    full = study.at_scale("full")
    assert list(full.overrides) == ["optimizer.lr=0.05", "trainer.max_epochs=20", "datamodule=cifar10"]
    assert full.seeds == study.seeds


def test_the_study_as_it_is_written_is_a_scale_too(study: Study) -> None:
    assert study.at_scale("laptop") is study
    with pytest.raises(UserError, match=r"scale=huge: no such scale of this study; .*full, laptop, toy"):
        study.at_scale("huge")
