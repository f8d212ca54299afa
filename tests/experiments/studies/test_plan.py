"""Budgets, confounds, measures and the state of planned runs, on configurations that nothing trains."""

import json
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from experiments.errors import StudyError, UserError
from experiments.runs import configuration, source_files
from experiments.runs.result import RunResult, Status
from experiments.studies import composing
from experiments.studies import plan as plan_room
from experiments.studies import state as state_room
from experiments.studies.confounds import check_declared, planned_confounds
from experiments.studies.forecast import forecast, minutes, remaining
from experiments.studies.plan import PlannedArm, PlannedRun, plan, plan_arms
from experiments.studies.state import ArmState, look, remember
from experiments.studies.study import Study, checked

COMMON = ["datamodule=digits", "datamodule.image_size=8", "optimizer.lr=0.05", "trainer.max_epochs=2"]
ARMS = {
    "wide": {"overrides": ["model=conv5x5", "model.network.widths=[8,8]"], "role": "baseline"},
    "stacked": {"overrides": ["model=two_conv3x3", "model.network.widths=[8,8]"]},
}


def study(**fields: object) -> Study:
    given = {"question": "Which?", "arms": ARMS, "seeds": 2, "metric": "test/top1_error", "overrides": COMMON}
    return checked({**given, **fields}, "")


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


def states(folder: Path, planned: list[PlannedArm], seeds: list[int]) -> list[ArmState]:
    return look(planned, seeds, folder / "studies" / "s")


def finish(state: ArmState, place: int, status: Status = "FINISHED", reason: str | None = None) -> None:
    one = state.replicates[place]
    one.run_dir.mkdir(parents=True)
    files = source_files.code_digests(source_files.code_files(one.run.cfg).items())
    code = {"code_files": files, "data": state.assembly.datamodule.digest}
    (one.run_dir / "config.yaml").write_text(OmegaConf.to_yaml(one.run.cfg))
    (one.run_dir / "identity.json").write_text(json.dumps(code))
    RunResult(
        one.run_dir, "id", one.identity, one.run_dir.name, status, one.run.seed, {}, (1, 8, 8), reason=reason
    ).write()


def test_runs_are_done_failed_interrupted_stale_or_to_do(tmp_path: Path) -> None:
    overrides = [f"runs_dir={tmp_path}"]
    planned = plan_arms(study(seeds=4), overrides)
    before = states(tmp_path, planned, [0, 1, 2, 3])
    remember(before, tmp_path / "studies" / "s")
    assert {one.kind for state in before for one in state.replicates} == {"to do"}
    finish(before[0], 0)
    finish(before[0], 1, "FAILED", "the loss became nan")
    finish(before[0], 2, "KILLED")
    before[0].replicates[3].run_dir.mkdir()
    (now, other) = states(tmp_path, planned, [0, 1, 2, 3])
    assert [one.kind for one in now.replicates] == ["done", "failed", "interrupted", "interrupted"]
    assert now.replicates[1].why == "the loss became nan"
    assert (remaining(now), remaining(other)) == (3, 4)

    changed = states(tmp_path, plan_arms(study(seeds=4), [*overrides, "optimizer.weight_decay=0.5"]), [0, 1])
    assert [(one.kind, one.why) for one in changed[0].replicates] == [
        ("stale", "configuration: optimizer.weight_decay"),
        ("to do", ""),
    ]


def test_the_latest_of_several_former_runs_says_why_it_is_stale(tmp_path: Path) -> None:
    folder = tmp_path / "studies" / "s"
    for override in ("optimizer.weight_decay=0.5", "optimizer.momentum=0.5"):
        former = look(plan_arms(study(seeds=[0]), [f"runs_dir={tmp_path}", override]), [0], folder)
        remember(former, folder)
        finish(former[0], 0)
    (now, _) = look(plan_arms(study(seeds=[0]), [f"runs_dir={tmp_path}"]), [0], folder)
    assert (now.replicates[0].kind, now.replicates[0].why) == ("stale", "configuration: optimizer.momentum")
    assert now.replicates[0].result is not None
    assert now.replicates[0].result.run_dir == former[0].replicates[0].run_dir


def test_what_made_runs_stale_is_found_out_once_for_all_that_differ_in_their_seeds_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = [0, 1, 2, 3, 4, 5]
    before = states(tmp_path, plan_arms(study(seeds=6), [f"runs_dir={tmp_path}"]), seeds)
    remember(before, tmp_path / "studies" / "s")
    for place in seeds:
        finish(before[0], place)
    # One of them was recorded with other epochs.
    odd = before[0].replicates[4].run_dir / "config.yaml"
    odd.write_text(odd.read_text().replace("max_epochs: 2", "max_epochs: 3"))
    # Another with another file.
    older = before[0].replicates[2].run_dir / "identity.json"
    older.write_text(older.read_text().replace('"datamodules.digits": "', '"datamodules.digits": "0'))
    asked: list[Path] = []

    def changes(former: Path, cfg: DictConfig, data: str) -> str:
        asked.append(former)
        return real(former, cfg, data)

    real = state_room.changes
    monkeypatch.setattr(state_room, "changes", changes)
    planned = plan_arms(study(seeds=6), [f"runs_dir={tmp_path}", "optimizer.weight_decay=0.5"])
    why = [one.why for one in states(tmp_path, planned, seeds)[0].replicates]
    assert [why[place] for place in (0, 1, 3, 5)] == ["configuration: optimizer.weight_decay"] * 4
    assert why[2] == "code: datamodules.digits; configuration: optimizer.weight_decay"
    assert why[4] == "configuration: optimizer.weight_decay, trainer.max_epochs"
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("weights", "data", "why"),
    [
        ("null", "other", "data: other pictures or labels"),
        ("null", "same", "configuration: the number of processes"),
        ("begin.pt", "same", "configuration: the content of model.weights"),
    ],
)
def test_what_no_key_shows_and_makes_a_run_stale_is_said(weights: str, data: str, why: str, tmp_path: Path) -> None:
    cfg = plan(study(), [f"model.weights={weights}"])[0].cfg
    files = source_files.code_digests(source_files.code_files(cfg).items())
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    (tmp_path / "identity.json").write_text(json.dumps({"code_files": files, "data": data}))
    assert state_room.changes(tmp_path, cfg, "same") == why


def test_arms_that_differ_in_how_they_are_executed_alone_are_refused(tmp_path: Path) -> None:
    model = ["model=two_conv3x3", "model.network.widths=[8,8]"]
    arms = {**ARMS, "workers": {"overrides": [*model, "datamodule.num_workers=2"]}}
    with pytest.raises(StudyError, match=r"^arms\.workers: the same runs as arms\.stacked: "):
        states(tmp_path, plan_arms(study(arms=arms)), [0])


def test_a_changed_source_file_makes_exactly_the_arms_stale_that_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = {"stack": ARMS["wide"], "resnet": {"overrides": ["model=resnet20"]}}
    planned = plan_arms(study(arms=arms, seeds=[0]), [f"runs_dir={tmp_path}"])
    before = states(tmp_path, planned, [0])
    remember(before, tmp_path / "studies" / "s")
    for state in before:
        finish(state, 0)
    real, edited = source_files.file_digest, {"resnet.py", "progress.py"}
    monkeypatch.setattr(source_files, "file_digest", lambda path: "x" if path.name in edited else real(path))
    stack, resnet = states(tmp_path, planned, [0])
    assert stack.replicates[0].kind == "done"
    assert (resnet.replicates[0].kind, resnet.replicates[0].why) == ("stale", "code: lightning_modules.networks.resnet")


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
