"""What is wrong with an arm is said of the arm and its override; what the command line adds, as it is."""

import pytest

from experiments.errors import StudyError, UserError
from experiments.studies.composing import Sources, compose_arm

COMMON = ("datamodule=digits", "trainer.max_epochs=4")


def said(common: tuple[str, ...] = COMMON, given: tuple[str, ...] = (), own: tuple[str, ...] = ()) -> tuple[str, bool]:
    """Return what is said of an arm, and whether it is a mistake in the study."""
    with pytest.raises(UserError) as error:
        compose_arm(Sources("b", common, given, ("model=conv5x5", *own)), 3)
    assert "\n" not in str(error.value)
    return str(error.value), isinstance(error.value, StudyError)


def test_an_arm_is_composed_of_all_its_overrides_the_last_of_which_win() -> None:
    sources = Sources("b", COMMON, ("optimizer.lr=0.3",), ("model=conv5x5", "trainer.max_epochs=2"))
    cfg = compose_arm(sources, 3)
    assert (cfg.seed, cfg.trainer.max_epochs, cfg.optimizer.lr, cfg.choices.model) == (3, 2, 0.3, "conv5x5")


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("optimizer=sdg", "no such option; did you mean 'sgd'? allowed: "),
        ("optimizer.lrr=1", "unknown key; did you mean 'optimizer.lr'? allowed: "),
        ("optimizer.lr=abc", "must be a number from 0"),
        ("optimizer.lr=-1", "must be a number from 0"),
        ("ema_decay=2", "input should be less than 1"),
        ("+optimizer.lr=1", "has a value already; change it without '+'"),
        ("~optimizer.lrr", "unknown key; did you mean 'optimizer.lr'? allowed: "),
        ("optimizer.lr=1,2", "several values; "),
        ("~scheduler", "must be one of the options in conf/scheduler/"),
        ("trainer.max_epochs=[1", "cannot be read; "),
        # Another key is named than the override has.
        ("~experiment", "tracking.experiment: refers to 'experiment', which does not exist"),
        ("trainer.check_val_every_n_epoch=5", "must be at most trainer.max_epochs=4: "),
    ],
)
def test_a_mistake_names_arm_and_override(override: str, complaint: str) -> None:
    text, of_the_study = said(own=(override,))
    assert text.startswith(f"arm b: override {override}: {complaint}")
    assert of_the_study


def test_a_mistake_for_all_arms_names_none_of_them() -> None:
    text, of_the_study = said(common=(*COMMON, "optimizer.lrr=1"))
    assert text.startswith("override optimizer.lrr=1: unknown key; did you mean 'optimizer.lr'?")
    assert of_the_study


def test_a_mistake_on_the_command_line_is_not_the_studys() -> None:
    text, of_the_study = said(given=("optimizer.lrr=1",))
    assert text.startswith("optimizer.lrr: unknown key; did you mean 'optimizer.lr'?")
    assert not of_the_study


def test_of_two_overrides_that_contradict_each_other_the_one_that_is_named_is_told() -> None:
    text, _ = said(common=("trainer.max_epochs=2",), own=("trainer.check_val_every_n_epoch=3",))
    assert text.startswith("arm b: override trainer.check_val_every_n_epoch=3: must be at most trainer.max_epochs=2")


def test_an_arm_that_no_override_can_mend_is_named_alone() -> None:
    text, of_the_study = said(own=("~experiment", "~data_dir"))
    assert text.startswith(("arm b: tracking.experiment: refers to ", "arm b: datamodule.root: refers to "))
    assert of_the_study
