"""A study at one of its scales: what the scale says replaces, all else stays."""

import pytest

from experiments.errors import UserError
from experiments.studies.claims import claims_of
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


def test_a_scale_takes_back_what_the_study_sets_of_a_key_and_below_it() -> None:
    own = ["datamodule=scenes", "datamodule.knobs.clutter=2", "datamodule.knobs.size=9", "optimizer.lr=0.05"]
    scales = {"full": {"overrides": ["datamodule=cifar10", "~datamodule.knobs", "+model.extra=1"]}}
    full = checked({**GIVEN, "overrides": own, "scales": scales}, "").at_scale("full")
    assert full.overrides == ["optimizer.lr=0.05", "datamodule=cifar10", "+model.extra=1"]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("~optimizer.lrs", "scales.toy.overrides: ~optimizer.lrs: takes back what the study sets; did you mean"),
        (
            "~optimizer.lr=0.9",
            "scales.toy.overrides: ~optimizer.lr=0.9: a scale takes a key back with any value; write ~",
        ),
        ("~optimizer.l", "did you mean 'optimizer.lr'? allowed: datamodule, optimizer.lr, trainer.max_epochs"),
    ],
)
def test_nothing_but_what_the_study_sets_can_be_taken_back(key: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        checked({**GIVEN, "scales": {"toy": {"overrides": [key]}}}, "").at_scale("toy")
    assert says in str(error.value)


def test_a_scale_takes_levels_away_but_not_those_that_claims_name() -> None:
    samples = {"10": ["datamodule.few_samples=10"], "50": ["datamodule.few_samples=50"], "90": ["seed_of=3"]}
    given = {
        **{key: value for key, value in GIVEN.items() if key != "arms"},
        "factors": {"samples": samples},
        "claim": {"contrast": "samples50 - samples10", "is": "lower"},
        "scales": {
            "toy": {"factors": {"samples": {50: ["datamodule.few_samples=12"], 90: None}}},
            "less": {"factors": {"samples": {50: None}}},
            "one": {"factors": {"samples": {50: None, 90: None}}},
            "moved": {"factors": {"samples": {10: None}}},
        },
    }
    study = checked(given, "")
    assert study.at_scale("toy").factors == {
        "samples": {"10": ["datamodule.few_samples=10"], "50": ["datamodule.few_samples=12"]}
    }
    with pytest.raises(UserError, match=r"scales\.one\.factors: .*samples needs at least two levels"):
        study.at_scale("one")
    with pytest.raises(UserError, match=r"scales\.moved\.factors\.samples\.10: null; the first level, the baseline"):
        study.at_scale("moved")
    # As every command does before it runs anything, at all scales.
    with pytest.raises(UserError, match="samples50"):
        claims_of(study.at_scale("less"))
