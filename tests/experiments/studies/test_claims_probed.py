"""Claims on what layers respond to: runs must record it, and what is a difference may be claimed of one arm alone."""

import pytest
from omegaconf import DictConfig

from experiments.errors import UserError
from experiments.studies.answers import answer
from experiments.studies.claims import check_asked, claims_of
from tests.experiments.studies.test_answers import run, study

AFTER = "probe/shape_after_edge"


def test_a_difference_within_a_network_is_claimed_of_one_arm() -> None:
    asked = study({"later": {"contrast": "b", "on": AFTER, "is": "higher", "margin": 0.1}})
    runs = [run("b", seed, probe__shape_after_edge=0.3 + 0.01 * seed) for seed in range(4)]
    (verdict,) = answer(asked, [], runs)
    assert verdict.outcome == "supported"
    assert verdict.effect is not None
    assert verdict.effect.mean == pytest.approx(0.315)


@pytest.mark.parametrize("on", ["probe/edge_depth", "test/top1_error"])
def test_what_is_no_difference_needs_two_arms(on: str) -> None:
    with pytest.raises(UserError, match=r"claims\.it: contrast='b': the coefficients of a contrast sum to 0"):
        claims_of(study({"it": {"contrast": "b", "on": on, "is": "higher"}}))


def test_arms_that_do_not_record_it_are_refused() -> None:
    asked = study({"it": {"contrast": "b - a", "on": AFTER, "is": "higher"}})
    check_asked(asked, _probed(a=1, b=2))
    with pytest.raises(UserError, match=r"claims\.it\.on=probe/shape_after_edge: b records it with probe_every alone"):
        check_asked(asked, _probed(a=1, b=0))
    check_asked(study({"it": {"contrast": "b - a", "is": "higher"}}), _probed(a=0, b=0))


def test_errors_before_any_training_can_be_claimed_where_they_are_counted() -> None:
    asked = study({"it": {"contrast": "b - a", "on": "initial/val_top1_error", "is": "lower"}})
    cfgs = {arm: DictConfig({"initial_errors": arm == "b"}) for arm in "ab"}
    with pytest.raises(UserError, match=r"a records it with initial_errors alone, which is off"):
        check_asked(asked, cfgs)


def _probed(**every: int) -> dict[str, DictConfig]:
    return {arm: DictConfig({"probe_every": epochs}) for arm, epochs in every.items()}
