"""Arguments of the verbs: their own keys apart from settings, each said once."""

import pytest

from experiments.arguments import check_keys, refuse_doubles, split_arguments, split_launcher
from experiments.errors import UserError


@pytest.mark.parametrize("second", ["a=2", "+a=2", "++a=2", "~a", "~a=1"])
def test_a_setting_is_made_once_under_whatever_sign(second: str) -> None:
    with pytest.raises(UserError) as error:
        refuse_doubles(["a=1", second])
    assert str(error.value) == f"{second}: given twice"


def test_names_may_stand_twice() -> None:
    refuse_doubles(["one.png", "one.png", "a.b=1", "a=1"])


def test_what_is_not_the_verbs_own_is_left_for_the_configuration() -> None:
    keys, others = split_arguments(["workers=2", "~optimizer.momentum", "+trainer.x=1"], {"workers": None})
    assert keys == {"workers": "2"}
    assert others == ["~optimizer.momentum", "+trainer.x=1"]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("+workers=2", "+workers=2: not a setting of the configuration; write workers=… without a sign before it"),
        ("~sed", "sed: unknown key; did you mean 'seed'?"),
        ("+modle.x=1", "modle.x: unknown key"),
        ("wrokers=2", "wrokers: unknown key; did you mean 'workers'?"),
    ],
)
def test_a_key_that_no_run_and_no_verb_has_is_one_line(override: str, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        check_keys([override], ["workers"])
    assert str(error.value).startswith(complaint)


def test_what_is_set_of_a_launcher_is_told_apart_under_whatever_sign() -> None:
    settings = ["hydra.launcher.partition=gpu", "+hydra.launcher.new=1", "++hydra.launcher.mem_gb=8"]
    assert split_launcher(["a=1", *settings, "+b=2", "hydrant=1"]) == (settings, ["a=1", "+b=2", "hydrant=1"])


@pytest.mark.parametrize("other", ["hydra/launcher=ray", "hydra.job.name=x", "+hydra.sweep.dir=x", "hydra=default"])
def test_what_a_study_does_not_follow_of_hydra_is_refused(other: str) -> None:
    with pytest.raises(UserError, match="without effect on a study; allowed: launcher=NAME, and "):
        split_launcher([other])
