"""What has become of planned runs, and what made them stale; nothing is trained."""

import json
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from experiments.errors import StudyError, UserError
from experiments.runs import source_files
from experiments.runs.build import assemble
from experiments.runs.execute import identity_of
from experiments.runs.identity import with_weights_digest
from experiments.runs.result import RunResult, Status
from experiments.studies import stale
from experiments.studies.forecast import remaining
from experiments.studies.plan import PlannedArm, plan, plan_arms
from experiments.studies.stale import Changes
from experiments.studies.state import ArmState, look, remember
from tests.experiments.studies.planned_study import ARMS, COMMON, study


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

    real = stale.changes
    monkeypatch.setattr(stale, "changes", changes)
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
    ],
)
def test_what_no_key_shows_and_makes_a_run_stale_is_said(weights: str, data: str, why: str, tmp_path: Path) -> None:
    cfg = plan(study(), [f"model.weights={weights}"])[0].cfg
    leave(tmp_path, cfg, data)
    assert stale.changes(tmp_path, cfg, "same") == why


@pytest.mark.parametrize(
    "identity", ["null", "[]", '{"code_files": null, "data": "same"}', '{"code_files": [], "data": "same"}']
)
def test_an_identity_that_is_none_is_a_record_that_cannot_be_read(identity: str, tmp_path: Path) -> None:
    run = plan(study(), [])[0]
    leave(tmp_path, run.cfg, "same")
    assert Changes().of(tmp_path, run, "same") == "configuration: the number of processes"
    (tmp_path / "identity.json").write_text(identity)
    assert Changes().of(tmp_path, run, "same") == "its record cannot be read any more"
    assert stale.changes(tmp_path, run.cfg, "same") == "its record cannot be read any more"


def leave(folder: Path, cfg: DictConfig, data: str) -> None:
    """Leave the record of a run behind as far as it says what the run was made of."""
    files = source_files.code_digests(source_files.code_files(cfg).items())
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(with_weights_digest(cfg)))
    (folder / "identity.json").write_text(json.dumps({"code_files": files, "data": data}))


def test_weights_are_blamed_where_they_have_changed_and_there_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first.pt", tmp_path / "second.pt"
    torch.save({"fc.weight": torch.zeros(2, 2), "fc.bias": torch.zeros(2)}, first)
    torch.save({"fc.weight": torch.ones(2, 2), "fc.bias": torch.zeros(2)}, second)

    def planned(weights: Path, *more: str) -> DictConfig:
        return plan(study(), [f"model.weights={weights}", *more])[0].cfg

    leave(tmp_path, planned(first), "then")
    assert stale.changes(tmp_path, planned(first), "now") == "data: other pictures or labels"
    other_decay = planned(first, "optimizer.weight_decay=0.5")
    assert stale.changes(tmp_path, other_decay, "then") == "configuration: optimizer.weight_decay"
    assert stale.changes(tmp_path, planned(second), "then") == "configuration: model.weights"
    second.replace(first)
    assert stale.changes(tmp_path, planned(first), "then") == "configuration: the content of model.weights"


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


def test_seeds_on_other_data_have_other_identities(tmp_path: Path) -> None:
    """The folder of pictures of each seed is another one; what one seed takes of the same is no other data."""
    for seed, colour in ((0, 10), (1, 200)):
        for label in ("cat", "dog"):
            folder = tmp_path / f"data{seed}" / label
            folder.mkdir(parents=True)
            for number in range(12):
                Image.new("RGB", (8, 8), (colour + number, number, 9 * number)).save(folder / f"{number}.png")
    common = ["datamodule=image_folder", "datamodule.image_size=8", "datamodule.batch_size=4", *COMMON[2:]]
    root = f"datamodule.root={tmp_path}/data${{seed}}"
    arms = {"only": {"overrides": ["model=conv5x5", root], "role": "baseline"}}
    planned = plan_arms(study(arms=arms, seeds=2, overrides=common))
    (state,) = look(planned, [0, 1], tmp_path / "s")
    for one in state.replicates:
        assert one.identity == identity_of(assemble(one.run.cfg)).digest


def test_a_folder_of_another_identity_is_refused_and_not_called_interrupted(tmp_path: Path) -> None:
    planned = plan_arms(study(seeds=[0]), [f"runs_dir={tmp_path}"])
    before = states(tmp_path, planned, [0])
    finish(before[0], 0, "KILLED")
    file = before[0].replicates[0].run_dir / "result.json"
    file.write_text(file.read_text().replace(before[0].replicates[0].identity, "f" * 64))
    with pytest.raises(UserError, match=rf"^{file.parent}: holds a run of another identity \({'f' * 64}, not "):
        states(tmp_path, planned, [0])
