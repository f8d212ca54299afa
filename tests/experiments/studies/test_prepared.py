"""A study made ready: what is wrong with it is one line with its file, before the seconds that torch takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.errors import StudyError, UserError
from experiments.studies.prepared import check_scales, prepare
from experiments.studies.study import Study, checked
from tests.experiments.conftest import environment

ARMS = "arms: {a: {overrides: [model=conv5x5], role: baseline}, b: {overrides: [model=two_conv3x3%s]}}"
REST = "question: Which\n  seeds: 2\n  metric: test/top1_error"
RANK = "claim: {contrast: b - a, on: trained/jacobian_rank, is: higher}"
MISTAKES = {
    "option": (f"{ARMS % '3'}\n  {REST}", "arm b: override model=two_conv3x33: no such option; did you mean"),
    "key": (f"{ARMS % ', optimizer.lrr=1'}\n  {REST}", "arm b: override optimizer.lrr=1: unknown key; did you mean"),
    "value": (f"{ARMS % ', optimizer.lr=abc'}\n  {REST}", "arm b: override optimizer.lr=abc: must be a number from 0"),
    "common": (f"{ARMS % ''}\n  {REST}\n  overrides: [ema_decay=2]", "override ema_decay=2: input should be less"),
    "metric": (f"{ARMS % ''}\n  {REST.replace('error', 'eror')}", "metric=test/top1_eror: no run records it; did you"),
    "claim": (f"{ARMS % ''}\n  {REST}\n  claim: {{contrast: a - c, is: lower}}", "claims.claim: contrast='a - c': 'c'"),
    "unasked": (
        f"{ARMS % ', linearity_images=2'}\n  {REST}\n  {RANK}",
        "claims.claim.on=trained/jacobian_rank: a records it with linearity_images alone, which is 0",
    ),
    "twins": (f"{ARMS.replace('two_conv3x3', 'conv5x5') % ''}\n  {REST}", "arms.b: the same configuration as arms.a"),
    "declared": (
        f"{ARMS % ''}\n  {REST}\n  declared: 3",
        "study.declared=3: must be a list of keys, such as [optimizer.lr]",
    ),
    "rerun": (f"{ARMS % ''}\n  {REST}\n  overrides: [rerun=true]", "rerun: a study runs what is missing; "),
    "scale": (
        f"{ARMS % ''}\n  {REST}\n  scales: {{toy: {{overrides: [optimizer=zz]}}}}",
        "scale toy: override optimizer=zz: no ",
    ),
    "many": (f"{ARMS % ''}\n  {REST.replace('2', '100000000')}", "study.seeds=100000000: must be at most 10000"),
    "laptop": (
        f"{ARMS % ''}\n  {REST}\n  scales: {{laptop: {{seeds: 1}}}}",
        "study.scales: 'laptop' is the study as it",
    ),
    "whole": (f"{ARMS % ', tracking=server'}\n  {REST}", "arm b: override tracking=server: is of a study as a whole"),
    "place": (f"{ARMS % ', runs_dir=x'}\n  {REST}", "arm b: override runs_dir=x: is of a study as a whole"),
    "resumed": (f"{ARMS % ', resume=never'}\n  {REST}", "arm b: override resume=never: is of a study as a whole"),
    "hydra": (f"{ARMS % ', hydra.run.dir=x'}\n  {REST}", "arm b: override hydra.run.dir=x: without effect on a study"),
    "chosen": (f"{ARMS % ''}\n  {REST}\n  overrides: [+choices.x=3]", "override +choices.x=3: without effect on a "),
    **{
        setting.partition("=")[0]: (
            f"{ARMS % ''}\n  {REST}\n  overrides: [{setting}]",
            f"override {setting}: is of how a study is executed, not of what it asks; give it on the command line",
        )
        for setting in ("resume=never", "runs_dir=x", "tracking=server")
    },
    "scaled": (
        f"{ARMS % ''}\n  {REST}\n  scales: {{toy: {{overrides: [runs_dir=x]}}}}",
        "scale toy: override runs_dir=x: is of how a study is executed",
    ),
    "form": (f"{ARMS % ', optimizer'}\n  {REST}", "study.arms.b.overrides: 'optimizer' is not of the form key=value"),
}
PROGRAM = """
import json, sys
from pathlib import Path
from experiments.errors import UserError
from experiments.studies import study_file
from experiments.study import main
study_file.STUDIES = Path.cwd()
said = {}
for file in sorted(Path.cwd().glob("*.yaml")):
    try:
        main([file.stem])
    except UserError as error:
        said[file.stem] = str(error)
try:
    main(["value", "optimizer.lrr=1"])
except UserError as error:
    said["command line"] = str(error)
loaded = [name for name in ("torch", "mlflow", "pytorch_lightning", "scipy", "matplotlib") if name in sys.modules]
print(json.dumps({"said": said, "loaded": loaded}))
"""


def test_every_mistake_names_the_file_before_torch_is_imported(tmp_path: Path) -> None:
    for name, (content, _) in MISTAKES.items():
        (tmp_path / f"{name}.yaml").write_text(f"study:\n  {content}\n")
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, (_, complaint) in MISTAKES.items():
        assert found["said"][name].startswith(f"{name}.yaml: {complaint}"), found["said"][name]
    # The file is not to blame for what the command line adds.
    assert found["said"]["command line"].startswith("optimizer.lrr: unknown key; did you mean 'optimizer.lr'?")
    assert found["loaded"] == []


def study() -> Study:
    arms = {"a": {"overrides": ["model=conv5x5"], "role": "baseline"}, "b": {"overrides": ["model=two_conv3x3"]}}
    return checked({"question": "Which?", "arms": arms, "seeds": 2, "metric": "test/top1_error"}, "")


def test_a_study_is_an_experiment_of_its_own_unless_it_is_said_otherwise() -> None:
    assert {arm.cfg.experiment for arm in prepare(study(), "mine", [])} == {"mine"}
    assert {arm.cfg.experiment for arm in prepare(study(), "mine", ["experiment=other"])} == {"other"}
    own = study().model_copy(update={"overrides": ["experiment=own"]})
    assert {arm.cfg.experiment for arm in prepare(own, "mine", [])} == {"own"}


def test_a_claim_on_what_every_arm_of_its_contrast_looks_at_stands() -> None:
    on = {"contrast": "b - a", "on": "gradient/median_front_to_back", "is": "higher"}
    asked = {**study().model_dump(exclude_unset=True), "claim": on, "overrides": ["gradient_flow_every=5"]}
    assert {arm.cfg.gradient_flow_every for arm in prepare(checked(asked, ""), "mine", [])} == {5}


def test_a_study_is_not_rerun() -> None:
    with pytest.raises(UserError, match=r"^rerun: a study runs what is missing") as error:
        prepare(study(), "mine", ["rerun=true"])
    assert not isinstance(error.value, StudyError)


def test_other_scales_need_no_data_to_be_checked() -> None:
    content = {
        "question": "Which",
        "arms": {
            "a": {"overrides": ["model=conv5x5"], "role": "baseline"},
            "b": {"overrides": ["model=two_conv3x3"]},
        },
        "seeds": 2,
        "budget": {"equal": "macs"},
        "metric": "test/top1_error",
        "overrides": ["datamodule=digits"],
        "scales": {"full": {"overrides": ["datamodule=cifar10", "data_dir=/nowhere"]}},
    }
    check_scales(checked(content, "study."), "which", but="laptop")

    content["scales"] = {"full": {"overrides": ["datamodule=cifar10", "datamodule.image_sizes=8"]}}
    with pytest.raises(StudyError, match=r"scale full: override datamodule\.image_sizes=8: unknown key"):
        check_scales(checked(content, "study."), "which", but="laptop")
