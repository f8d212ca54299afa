"""Budgets, confounds, measures and the state of planned runs, on configurations that nothing trains."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from experiments.errors import StudyError, UserError
from experiments.runs import configuration
from experiments.studies import composing
from experiments.studies import plan as plan_room
from experiments.studies.confounds import check_declared, planned_confounds
from experiments.studies.forecast import forecast, minutes
from experiments.studies.plan import PlannedRun, plan, plan_arms
from experiments.studies.state import look
from experiments.studies.study import checked
from tests.experiments.studies.planned_study import ARMS, COMMON, study


def test_thousands_of_seeds_are_composed_once_and_still_have_their_own_configuration() -> None:
    runs = plan(study(seeds=500))
    assert len(runs) == 1000
    assert set(runs[0].planned.seed_keys) == {"seed", "datamodule.seed"}
    for run in (runs[0], runs[1], runs[-1]):
        content = run.planned.content(run.seed)
        assert content == OmegaConf.to_container(run.cfg)
        assert (content["seed"], content["datamodule"]["seed"]) == (run.seed, run.seed)
    few = plan(study(seeds=[0, 321]))
    assert OmegaConf.to_container(runs[2 * 321 + 1].cfg) == OmegaConf.to_container(few[3].cfg)
    assert runs[2 * 321 + 1].command == few[3].command
    # As plain data too; what the seed does not decide is there once, not ten thousand times.
    contents = [runs[place].planned.content(runs[place].seed) for place in (1, 2 * 321 + 1, 2 * 322 + 1)]
    assert [content["seed"] for content in contents] == [0, 321, 322]
    assert contents[1] == OmegaConf.to_container(few[3].cfg)
    assert contents[1]["model"] is contents[2]["model"]


def test_arms_of_the_same_options_are_composed_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[list[str]] = []

    def compose(overrides: list[str]) -> DictConfig:
        composed.append(overrides)
        return real(overrides)

    real = configuration.compose
    for room in (composing, plan_room):
        monkeypatch.setattr(room, "compose", compose)
    arms = {name: {"overrides": [f"model.network.widths=[{name[1:]},8]"]} for name in ("w4", "w5", "w6", "w7")}
    arms["w4"]["role"] = "baseline"  # type: ignore[assignment]
    arms["own"] = {"overrides": ["datamodule.seed=0"]}
    planned = plan_arms(study(arms=arms, seeds=5, overrides=[*COMMON, "model=conv5x5"]))
    assert [arm.seed_keys for arm in planned] == [("seed", "datamodule.seed")] * 4 + [("seed",)]
    # A second seed shows once where it stands, and again where an arm says something of seeds.
    assert len(composed) == 5 + 2


def test_an_arm_that_refers_to_a_part_with_a_seed_in_it_holds_the_seed_there_too() -> None:
    """No override says "seed"; the arm before is of the same options."""
    note = "+optimizer.note=${datamodule}"
    arms = {**ARMS, "noted": {"overrides": ["model=conv5x5", "model.network.widths=[4,8]", note]}}
    plain, _, noted = plan_arms(study(arms=arms, seeds=5))
    assert plain.cfg.choices == noted.cfg.choices
    assert set(noted.seed_keys) == {*plain.seed_keys, "optimizer.note.seed"}
    assert noted.configuration(3) == configuration.compose([*noted.overrides, "seed=3"])


def test_a_seed_that_stands_elsewhere_too_is_composed_each_time() -> None:
    arms = plan_arms(study(seeds=5, overrides=[*COMMON, "datamodule.batch_size=${eval:'1'}"][:-1], arms=_with_seed()))
    assert arms[1].seed_keys == ()
    assert [arms[1].configuration(seed).model.network.widths[0] for seed in (1, 3)] == [8, 8]
    assert [arms[1].configuration(seed).runs_dir for seed in (1, 3)] == ["runs1", "runs3"]
    assert [arms[1].content(seed)["runs_dir"] for seed in (1, 3)] == ["runs1", "runs3"]


def _with_seed() -> dict[str, object]:
    return {**ARMS, "stacked": {"overrides": [*ARMS["stacked"]["overrides"], "runs_dir=runs${seed}"]}}  # type: ignore[index]


def test_equal_epochs_refuse_arms_of_different_lengths() -> None:
    arms = {**ARMS, "stacked": {"overrides": ["model=two_conv3x3", "trainer.max_epochs=3"]}}
    with pytest.raises(UserError, match=r"trainer\.max_epochs: the budget holds epochs equal.*wide 2, stacked 3"):
        plan_arms(study(arms=arms))
    with pytest.raises(UserError, match=r"trainer\.max_time=.*different numbers of epochs"):
        plan_arms(study(overrides=[*COMMON, "+trainer.max_time='00:00:01:00'"]))


def test_equal_samples_give_arms_with_less_data_more_epochs() -> None:
    arms = {"all": ARMS["wide"], "few": {"overrides": ["datamodule.few_samples=10", "model=conv5x5"]}}
    planned = plan_arms(study(arms=arms, budget={"equal": "samples", "samples": 1000}))
    # Ten of each class are fewer than a batch: its batches are of 100.
    assert [arm.cfg.trainer.max_steps for arm in planned] == [8, 10]
    assert [arm.share.note for arm in planned] == ["8 steps of 128: 1,024 samples", "10 steps of 100: 1,000 samples"]
    # A command holds each key once, or `whydeep train` would refuse it.
    keys = [override.partition("=")[0] for override in planned[0].overrides]
    assert len(keys) == len(set(keys))
    # As many as the baseline sees: two epochs of ten whole batches of 128.
    equal = plan_arms(study(arms=arms, budget={"equal": "samples"}))
    assert [arm.cfg.trainer.max_steps for arm in equal] == [20, 26]
    odd = {
        **arms,
        "few": {"overrides": ["datamodule.few_samples=10", "model=conv5x5", "trainer.accumulate_grad_batches=3"]},
    }
    with pytest.raises(UserError, match=r"arms\.few: trainer\.accumulate_grad_batches=3: an epoch of 1 batches"):
        plan_arms(study(arms=odd, budget={"equal": "samples"}))


def test_equal_parameters_solve_for_the_width_of_every_other_arm() -> None:
    arms = {name: {**arm, "overrides": [arm["overrides"][0]]} for name, arm in ARMS.items()}  # type: ignore[dict-item,index]
    planned = plan_arms(study(arms=arms, budget={"equal": "parameters", "tolerance": 0.03}))
    assert planned[0].share.overrides == ()
    (override,) = planned[1].share.overrides
    assert override.startswith("model.network.width_multiplier=1.")
    parameters = [state.assembly.measures.parameters for state in look(planned, [0], Path("unused"))]
    assert parameters[1] == pytest.approx(parameters[0], rel=0.03)
    assert planned_confounds(planned, []) == []


def test_a_budget_that_cannot_be_held_is_refused() -> None:
    with pytest.raises(UserError, match=r"budget\.equal=macs: arms\.stacked: .*outside the tolerance"):
        plan_arms(study(budget={"equal": "macs", "by": "depth", "tolerance": 0.001}))
    with pytest.raises(UserError, match=r"scheduler=cosine: equal wall time"):
        plan_arms(study(budget={"equal": "wall_time", "minutes": 1.5}))
    timed = plan_arms(study(budget={"equal": "wall_time", "minutes": 1.5}, overrides=[*COMMON, "scheduler=constant"]))
    assert {arm.cfg.trainer.max_time for arm in timed} == {"00:00:01:30"}
    assert all(85 < forecast(state).seconds < 100 for state in look(timed, [0], Path("unused")))


def test_the_linter_names_what_nobody_declared() -> None:
    arms = {
        "plain": {"overrides": ["model=vgg11_small"], "role": "baseline"},
        "norm": {"overrides": ["model=vgg11_small_bn"]},
    }
    common = ["datamodule=digits", "optimizer=adamw", "optimizer.lr=${model.suggested_lr}"]
    planned = plan_arms(study(arms=arms, overrides=common))
    (confound,) = planned_confounds(planned, [])
    assert confound.sentence() == "optimizer.lr differs: plain 0.01, norm 0.05"
    assert planned_confounds(planned, ["optimizer.lr"]) == []
    # What a third arm sets says nothing of the other two.
    third = {**arms, "slow": {"overrides": ["model=vgg11_small", "optimizer.lr=0.001"]}}
    (still,) = planned_confounds(plan_arms(study(arms=third, overrides=common)), [])
    assert still.sentence() == "optimizer.lr differs: plain 0.01, norm 0.05"
    with pytest.raises(UserError, match=r"optimizer\.lr: .* different rates \(plain 0\.01, norm 0\.05\)"):
        plan_arms(study(arms=third, overrides=["datamodule=digits"]))


def test_minutes_come_from_a_probe_and_shrink_with_workers() -> None:
    found = look(plan_arms(study()), [0, 1], Path("unused"))
    probes = [forecast(state) for state in found]
    assert {one.source for one in probes} == {"probe"}
    alone = minutes(found, probes, 1)
    assert alone == pytest.approx(2 * sum(one.seconds for one in probes) / 60)
    assert minutes(found, probes, 2) == pytest.approx(alone / 2)
    # However many workers, no faster than the longest run.
    assert minutes(found, probes, 100) == pytest.approx(max(one.seconds for one in probes) / 60)


def test_a_run_alone_is_made_by_its_command() -> None:
    run = plan(study())[1]
    assert isinstance(run, PlannedRun)
    assert run.command[:2] == ["whydeep", "train"]
    assert run.command[-1] == "seed=0"


def test_a_declaration_of_what_no_arm_has_is_refused() -> None:
    planned = plan_arms(study())
    check_declared(planned, ["optimizer.lr", "optimizer", "threads", "version of numpy", "epochs trained"])
    with pytest.raises(UserError, match=r"declared: optimizer\.lrr: no arm has such a key; did you"):
        check_declared(planned, ["optimizer.lrr"])


def test_what_only_the_code_tells_names_arm_and_override_too() -> None:
    tried = checked(
        {
            "question": "Which?",
            "arms": {
                "a": {"overrides": ["model=conv5x5"], "role": "baseline"},
                "b": {"overrides": ["model=two_conv3x3", "datamodule.image_size=large"]},
            },
            "seeds": 1,
            "metric": "test/top1_error",
        },
        "",
    )
    with pytest.raises(StudyError, match=r"^arm b: override datamodule\.image_size=large: must be int"):
        look(plan_arms(tried), [0], Path("unused"))
