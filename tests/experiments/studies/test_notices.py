"""What may mislead in a study is said in one line, and what does not is not."""

import pytest

from experiments.studies.notices import notices, unjudged
from experiments.studies.plan import plan_arms
from experiments.studies.study import Study, checked

ARMS = {
    "a": {"overrides": ["model=conv5x5"], "role": "baseline"},
    "b": {"overrides": ["model=two_conv3x3"]},
}
CLAIM = {"contrast": "b - a", "is": "not_worse", "margin": 1.0}


def study(**changes: object) -> Study:
    content = {"question": "Which?", "arms": ARMS, "seeds": 2, "metric": "test/top1_error", "claim": CLAIM}
    content["overrides"] = ["datamodule=digits"]
    return checked({key: value for key, value in {**content, **changes}.items() if value is not None}, "")


def said(**changes: object) -> list[str]:
    tried = study(**changes)
    return notices(tried, plan_arms(tried))


def test_a_plain_study_has_no_notices() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        ({"claim": None}, "no claims: the arms are compared, and nothing is judged"),
        (
            {"claim": None, "arms": {"a": ARMS["a"]}},
            "a is the only arm: nothing is compared, and nothing is judged",
        ),
        (
            {"seeds": 1, "claim": {"contrast": "b - a", "on": "measure/parameters", "is": "lower"}},
            "one seed: test/top1_error has no interval; at least two show how much it varies",
        ),
        (
            {"claim": {**CLAIM, "on": "measure/parameters", "margin": 10}},
            "claims.claim: margin=10: in the unit of measure/parameters, not in percent",
        ),
        (
            {"claim": {**CLAIM, "contrast": "b / a", "margin": 1}},
            "claims.claim: margin=1: of a ratio it is a share, here 100%",
        ),
        ({"declared": ["optimizer.lr"]}, "declared: optimizer.lr: the arms do not differ in it"),
        ({"declared": ["optimizer"]}, "declared: optimizer: the arms do not differ in it"),
        (
            {"overrides": ["model=resnet20"]},
            "overrides: model=resnet20: without effect, every arm sets model itself",
        ),
    ],
)
def test_what_may_mislead_is_said_once(changes: dict[str, object], notice: str) -> None:
    assert said(**changes) == [notice]


@pytest.mark.parametrize(
    "changes",
    [
        # The plan says for each claim that one seed shows nothing.
        {"seeds": 1},
        {"claim": {**CLAIM, "contrast": "b / a", "margin": 0.1}},
        {"declared": ["model.network.kernel_size"]},
        # Recorded of runs, not known before.
        {"declared": ["threads", "version of numpy", "epochs trained"]},
        # One arm leaves it as it is.
        {
            "overrides": ["optimizer.lr=0.1"],
            "arms": {"a": ARMS["a"], "b": {"overrides": ["model=two_conv3x3", "optimizer.lr=0.2"]}},
        },
    ],
)
def test_what_does_not_mislead_is_not_said(changes: dict[str, object]) -> None:
    assert said(**changes) == []


def test_a_study_that_judges_leaves_nothing_open() -> None:
    assert unjudged(study()) == []
