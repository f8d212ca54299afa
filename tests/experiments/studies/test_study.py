"""Studies as files: what is read, and that every mistake is one line naming file, key, value and what is allowed."""

from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.studies.plan import plan
from experiments.studies.study import Study, checked
from experiments.studies.study_file import STUDIES, read_study
from experiments.studies.study_parts import Arm

ARMS = "{a: {overrides: [model=conv5x5], role: baseline}, b: {overrides: [model=two_conv3x3]}}"
GOOD = {
    "question": "Which?",
    "arms": ARMS,
    "seeds": "2",
    "metric": "test/top1_error",
    "overrides": "[datamodule=digits]",
}


def written(folder: Path, **changes: str | None) -> Path:
    """Write a study with changed keys; `None` leaves one out."""
    lines = [f"  {key}: {value}" for key, value in {**GOOD, **changes}.items() if value is not None]
    (folder / "tried.yaml").write_text("study:\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_study_is_read(tmp_path: Path) -> None:
    study = read_study("tried", written(tmp_path, source="A paper, section 2"))
    assert study.question == "Which?"
    assert study.source == "A paper, section 2"
    assert list(study.arms) == ["a", "b"]
    assert study.baseline == "a"
    assert study.arms["b"].overrides == ["model=two_conv3x3"]
    assert study.seeds == [0, 1]
    assert study.overrides == ["datamodule=digits"]


def test_seeds_may_be_listed(tmp_path: Path) -> None:
    assert read_study("tried", written(tmp_path, seeds="[3, 7]")).seeds == [3, 7]
    assert read_study("tried", written(tmp_path)).with_seeds(4).seeds == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"question": None}, "study.question: missing"),
        (
            {"qestion": "Which?"},
            "study.qestion: unknown key; did you mean 'question'? allowed: arms, budget, claim, ",
        ),
        ({"seeds": "0"}, "study.seeds=0: must be a number from 1, or a list of different seeds from 0 to 4294967295"),
        ({"seeds": "[1, 1]"}, "study.seeds=[1, 1]: must be a number from 1"),
        ({"seeds": "[-1]"}, "study.seeds=[-1]: must be"),
        ({"seeds": "true"}, "study.seeds=true: must be"),
        ({"seeds": "many"}, "study.seeds='many': must be"),
        ({"metric": "3"}, "study.metric=3: must be text"),
        ({"arms": "{}"}, "study.arms"),
        ({"arms": "[a, b]"}, 'study.arms=["a", "b"]: must be a mapping from names to arms, such as {a: {overrides: ['),
        ({"arms": "{a: 3}"}, "study.arms.a=3: must be a mapping such as {overrides: [model=conv5x5]}"),
        ({"arms": "{a: }"}, "study.arms.a=null: must be a mapping such as {overrides: "),
        ({"arms": "{1: {overrides: [x=1]}}"}, "study.arms: 1 is not read as a name; put it in quotes"),
        (
            {"arms": "{yes: {overrides: [x=1]}}"},
            "study.arms: true is not read as a name; put it in quotes; YAML reads yes and on as true",
        ),
        (
            {"arms": "{a: {overrides: {x: 1}, role: baseline}}"},
            'study.arms.a.overrides={"x": 1}: must be a list of settings, such as [optimizer.lr=0.1]',
        ),
        (
            {"arms": "{a: {overrides: [x: 1], role: baseline}}"},
            'study.arms.a.overrides.0={"x": 1}: must be text of the form key=value',
        ),
        ({"arms": "{a: {overrides: [], role: baseline}}"}, "study.arms.a.overrides=[]: must not be empty"),
        ({"budget": "epochs"}, "study.budget='epochs': must be a mapping such as {equal: epochs}"),
        ({"budget": "{equal: wall_time, minutes: long}"}, "study.budget.minutes='long': must be a number"),
        ({"budget": "{equal: wall_time}"}, "study.budget: minutes goes with equal: wall_time"),
        ({"claim": "b - a"}, "study.claim='b - a': must be a mapping such as {contrast: b - a, is: lower}"),
        ({"claim": "{contrast: b - a, is: best}"}, "study.claim.is='best': must be 'lower', 'higher', "),
        ({"claims": "{c: b - a}"}, "study.claims.c='b - a': must be a mapping such as {contrast: b - a, is: lower}"),
        ({"claims": "[b - a]"}, 'study.claims=["b - a"]: must be a mapping from names to claims'),
        ({"scales": "{toy: 3}"}, "study.scales.toy=3: must be a mapping such as {seeds: 2, "),
        ({"factors": "{n: {a: x=1, b: [x=2]}}"}, "study.factors.n.a='x=1': must be a list of settings"),
        ({"factors": "{n: [a, b]}"}, 'study.factors.n=["a", "b"]: must be a mapping from levels to settings'),
        (
            {"arms": "{a: {overrides: [x=1]}, b: {overrides: [x=2]}}"},
            "study.arms: exactly one arm must have 'role: baseline'; none has",
        ),
        (
            {"arms": "{a: {overrides: [x=1], role: baseline}, b: {overrides: [x=2], role: baseline}}"},
            "study.arms: exactly one arm must have 'role: baseline'; 2 arms have (a, b)",
        ),
        (
            {"arms": "{a: {overrides: [x=1], role: base}}"},
            "study.arms.a.role='base': must be 'baseline'",
        ),
        (
            {"arms": "{a: {overides: [x=1], role: baseline}}"},
            "study.arms.a.overides: unknown key; did you mean 'overrides'? allowed: overrides, role",
        ),
        (
            {"arms": "{a: {overrides: [x=1], role: baseline, rle: 1}}"},
            "study.arms.a.rle: unknown key; did you mean 'role'? allowed: overrides, role",
        ),
        (
            {"arms": "{a: {overrides: [model], role: baseline}}"},
            "study.arms.a.overrides: 'model' is not of the form key=value",
        ),
        ({"overrides": "[a=1, a=2]"}, "study.overrides: 'a' is set twice; one of them must go"),
        ({"overrides": "[--verbose=1]"}, "study.overrides: '--verbose=1' is not of the form key=value"),
        ({"overrides": "[seed=3]"}, "study.overrides: 'seed=3' is set for each run; list the seeds under 'seeds'"),
        ({"arms": "{a: {overrides: [x=1]}, a: {overrides: [x=2], role: baseline}}"}, "not readable as YAML"),
        ({"arms": "{a: {overrides: [x=1]"}, "not readable as YAML"),
    ],
)
def test_every_mistake_is_one_line_naming_the_file(tmp_path: Path, changes: dict[str, str], complaint: str) -> None:
    with pytest.raises(UserError) as error:
        read_study("tried", written(tmp_path, **changes))
    text = str(error.value)
    assert complaint in text
    assert text.startswith(str(tmp_path / "tried.yaml"))
    assert "\n" not in text


@pytest.mark.parametrize("name", sorted(file.stem for file in STUDIES.glob("*.yaml")))
def test_every_shipped_study_can_be_planned(name: str) -> None:
    study = read_study(name)
    runs = plan(study)
    assert len(runs) == len(study.cells) * len(study.seeds)
    assert {run.cfg.seed for run in runs} == set(study.seeds)


def study(**arms: list[str]) -> Study:
    first = next(iter(arms))
    named = {name: Arm(overrides=given, role="baseline" if name == first else None) for name, given in arms.items()}
    common = ["datamodule=digits", "trainer.max_epochs=4"]
    return Study(question="Which?", arms=named, seeds=[5, 6], metric="test/top1_error", overrides=common)


def test_a_plan_goes_seed_by_seed_and_gives_each_run_its_own_configuration() -> None:
    runs = plan(study(a=["model=conv5x5"], b=["model=two_conv3x3"]), ["trainer.max_epochs=1", "optimizer.lr=0.1"])
    assert [(run.arm, run.seed) for run in runs] == [("a", 5), ("b", 5), ("a", 6), ("b", 6)]
    assert [run.cfg.model.network.kernel_size for run in runs] == [5, 3, 5, 3]
    assert {(run.cfg.trainer.max_epochs, run.cfg.optimizer.lr, run.cfg.choices.datamodule) for run in runs} == {
        (1, 0.1, "digits")
    }
    assert runs[1].command == [
        "whydeep",
        "train",
        "datamodule=digits",
        "trainer.max_epochs=1",
        "optimizer.lr=0.1",
        "model=two_conv3x3",
        "seed=5",
    ]


def test_a_group_of_the_study_can_be_replaced() -> None:
    runs = plan(study(a=["model=conv5x5"], b=["model=two_conv3x3"]), ["datamodule=cifar10"])
    assert {run.cfg.choices.datamodule for run in runs} == {"cifar10"}


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("model=vgg11", r"model=vgg11: the arms differ in 'model' \(see b\)"),
        ("+seed=3", r"\+seed=3: a study sets the seed of each run; give seeds=N or seeds=\[3\]"),
        ("~seed", r"~seed: a study sets the seed of each run; give seeds=N$"),
        ("~optimizer.momentun", r"optimizer\.momentun: unknown key; did you mean"),
        ("+optimizer.lr=1", r"optimizer\.lr: has a value already; change it without '\+'"),
        ("seed=3", r"seed=3: a study sets the seed of each run; give seeds=N or seeds=\[3\]"),
        ("trainer.max_epoch=3", r"trainer\.max_epoch: unknown key; did you mean 'trainer\.max_epochs'\?"),
        ("augmentation=flips", r"augmentation=flips: no such option"),
        ("optimizer.lr=1,2", r"optimizer\.lr=1,2: several values"),
        ("nonsense", r"nonsense: not of the form key=value"),
    ],
)
def test_an_override_that_cannot_be_is_refused_before_anything_runs(override: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        plan(study(a=["model=conv5x5"], b=["model=two_conv3x3"]), [override])


def test_two_arms_that_are_the_same_are_refused() -> None:
    with pytest.raises(UserError, match=r"arms\.b: the same configuration as arms\.a"):
        plan(study(a=["model=conv5x5"], b=["model=conv5x5", "optimizer.lr=0.05"]))


def test_arms_that_begin_at_different_rates_unsaid_are_refused() -> None:
    arms = study(a=["model=vgg11_small"], b=["model=vgg11_small_bn"])
    with pytest.raises(UserError, match=r"optimizer\.lr: .* different rates \(a 0\.01, b 0\.05\)"):
        plan(arms)
    assert {run.cfg.optimizer.lr for run in plan(arms, ["optimizer.lr=0.02"])} == {0.02}
    assert {run.cfg.optimizer.lr for run in plan(arms, ["optimizer=adamw"])} == {1e-3}
    said = study(a=["model=vgg11_small", "optimizer.lr=0.01"], b=["model=vgg11_small_bn", "optimizer.lr=0.05"])
    assert [run.cfg.optimizer.lr for run in plan(said)][:2] == [0.01, 0.05]


def test_keys_are_added_and_taken_away_in_arms_and_for_all() -> None:
    tried = study(a=["model=conv5x5"], b=["model=conv5x5", "~optimizer.weight_decay"])
    runs = plan(tried, ["+optimizer.dampening=0", "~trainer.max_epochs", "++trainer.max_steps=7"])
    assert ["weight_decay" in run.cfg.optimizer for run in runs[:2]] == [True, False]
    assert [run.cfg.optimizer.dampening for run in runs[:2]] == [0, 0]
    # What takes a key away replaces what the study sets.
    assert [run.cfg.trainer.get("max_epochs") for run in runs[:2]] == [None, None]
    assert [run.command.count("trainer.max_epochs=4") for run in runs[:2]] == [0, 0]


def test_signs_are_read_from_a_file(tmp_path: Path) -> None:
    read = read_study("tried", written(tmp_path, overrides="[~optimizer.weight_decay, +trainer.x=1, ++trainer.y=2]"))
    assert read.overrides == ["~optimizer.weight_decay", "+trainer.x=1", "++trainer.y=2"]


@pytest.mark.parametrize("second", ["+trainer.x=2", "++trainer.x=2", "~trainer.x", "trainer.x=2"])
def test_a_key_under_two_signs_is_set_twice(tmp_path: Path, second: str) -> None:
    with pytest.raises(UserError, match=r"study\.overrides: 'trainer\.x' is set twice; one of them must go"):
        read_study("tried", written(tmp_path, overrides=f"[+trainer.x=1, {second}]"))


def test_a_scale_replaces_what_levels_set_and_keeps_their_names() -> None:
    content = {
        "question": "Is less enough?",
        "factors": {"samples": {10: ["datamodule.few_samples=10"], 50: ["datamodule.few_samples=50"]}},
        "seeds": 2,
        "metric": "test/top1_error",
        "scales": {
            "toy": {"factors": {"samples": {50: ["datamodule.few_samples=20"]}}},
            "other_factor": {"factors": {"sample": {50: []}}},
            "other_level": {"factors": {"samples": {5: []}}},
        },
    }
    study = checked(content, "")
    assert study.at_scale("toy").factors == {
        "samples": {"10": ["datamodule.few_samples=10"], "50": ["datamodule.few_samples=20"]}
    }
    with pytest.raises(UserError, match=r"^scales\.other_factor\.factors\.sample: .*allowed: samples"):
        study.at_scale("other_factor")
    with pytest.raises(UserError, match=r"^scales\.other_level\.factors\.samples\.5: .*allowed: 10, 50"):
        study.at_scale("other_level")
    doubled = {"toy": {"factors": {"samples": {10: ["seed=1"]}}}}
    with pytest.raises(UserError, match=r"^scales\.toy\.factors\.samples\.10: 'seed=1' is set for each run"):
        checked({**content, "scales": doubled}, "")
