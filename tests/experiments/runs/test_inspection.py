"""What a run looks at in its network, before, during and after training, and that looking changes nothing."""

import json
from pathlib import Path

import mlflow
import pytest
import torch
from torch import nn

from experiments.errors import UserError
from experiments.measures.gradient_flow import GradientFlowRecord
from experiments.runs import inspection
from experiments.runs.build import Assembly, assemble
from experiments.runs.configuration import compose
from experiments.runs.inspection import inspect
from experiments.runs.metrics import ON_REQUEST, SELECTIVITY
from tests.experiments.conftest import TOY, Whydeep
from tests.experiments.recorded import history, result, run_dirs, weights

LINEARITY = {"jacobian_variation", "affine_residual", "jacobian_rank", "joint_jacobian_rank"}
SIZES = {f"effective_receptive_field{name}" for name in ("", "_ratio", "_standard_deviation", "_luo_size")}


def assembled(*overrides: str) -> Assembly:
    return assemble(compose([*TOY, *overrides]))


def test_a_network_is_looked_at_and_left_as_it_was() -> None:
    assembly = assembled()
    before = {name: tensor.clone() for name, tensor in assembly.network.state_dict().items()}
    state = torch.get_rng_state()
    seen = inspect(assembly)
    assert set(seen.scalars()) == {*SIZES, "first_layer_orientation_selectivity"}
    assert [layer.name for layer in seen.selectivity] == [
        layer.name for layer in assembly.measures.layers if layer.kind == "Conv2d"
    ]
    assert all(torch.equal(before[name], tensor) for name, tensor in assembly.network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert inspect(assembly).scalars() == seen.scalars()


def test_the_effective_field_can_be_left_out() -> None:
    assembly = assembled("effective_field_images=0")
    seen = inspect(assembly)
    assert seen.effective is None
    assert "effective_field.png" not in inspection.pictures(assembly, seen, seen)
    assert set(seen.scalars()) == {"first_layer_orientation_selectivity"}


def test_linearity_is_looked_at_where_it_is_asked_for() -> None:
    affine = ["model=filter_stack", "model.network.activation=none", "model.network.pool=average"]
    found = inspect(assembled("linearity_images=4", "effective_field_images=0", *affine))
    assert found.linearity is not None
    assert found.linearity.images == 4
    assert found.linearity.jacobian_variation < 1e-10
    assert set(found.scalars()) > LINEARITY
    assert found.as_dict()["joint_jacobian_rank"] == found.linearity.joint_rank <= 10
    bent = inspect(assembled("linearity_images=4", "effective_field_images=0", "model=filter_stack"))
    assert bent.linearity is not None
    assert bent.linearity.jacobian_variation > 0.1
    assert bent.linearity.joint_rank > 10


@pytest.mark.parametrize("count", [1, -1])
def test_one_picture_has_nothing_to_differ_from(count: int) -> None:
    with pytest.raises(
        UserError, match=rf"^linearity_images={count}: must be 0, or from 2 on: one picture has nothing"
    ):
        assembled(f"linearity_images={count}")


def test_a_network_without_gradients_is_no_reason_to_stop(caplog: pytest.LogCaptureFixture) -> None:
    assembly = assembled()
    for module in assembly.network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
    assert inspect(assembly).effective is None
    assert "no effective receptive field" in caplog.text


def test_a_run_records_its_network_before_and_after_and_its_gradients(whydeep: Whydeep, tmp_path: Path) -> None:
    process = whydeep("train", *TOY, "gradient_flow_every=4", "linearity_images=2", "latency_batch=3")
    assert process.returncode == 0, process.stderr
    (run_dir,) = run_dirs(tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    metrics = client.get_run(str(result(run_dir)["run_id"])).data.metrics
    recorded = json.loads((run_dir / "inspection.json").read_text())
    for when in ("initial", "trained"):
        for name in (*SIZES, *LINEARITY, "first_layer_orientation_selectivity"):
            assert metrics[f"{when}/{name}"] == recorded[when][name]
    assert recorded["initial"] != recorded["trained"]
    flow = GradientFlowRecord.from_dict(json.loads((run_dir / "gradient_flow.json").read_text()))
    steps = history(tmp_path, str(result(run_dir)["run_id"]), "train/step_loss")
    assert flow.steps == tuple(range(0, len(steps), 4))
    assert flow.layers == ("stem.0", "stages.0.0.0", "stages.1.0.0", "fc")
    assert {f"gradient/{name}": value for name, value in flow.totals().items()}.items() <= metrics.items()
    # All that a study may ask for is there, and is in the run's result too, where studies read it; others have tests of
    # their own.
    inspected = [names for key, names in ON_REQUEST.items() if key not in ("probe_every", "initial_errors")]
    asked = {name for names in (*inspected, SELECTIVITY) for name in names}
    assert asked <= metrics.keys()
    kept = result(run_dir)["metrics"]
    assert isinstance(kept, dict)
    assert {name: metrics[name] for name in asked} == {name: kept[name] for name in asked}
    assert len(history(tmp_path, str(result(run_dir)["run_id"]), "initial/jacobian_rank")) == 1
    quartiles = [kept[f"time/latency{which}_seconds"] for which in ("_first_quartile", "", "_third_quartile")]
    assert 0 < quartiles[0] <= quartiles[1] <= quartiles[2]
    told = client.get_run(str(result(run_dir)["run_id"])).data.tags["whydeep.latency"]
    assert told.startswith("forward pass of 3x1x8x8 on ")
    assert metrics["gradient/initial_first_to_last"] == flow.norms[0, 0] / flow.norms[-1, 0]
    for name in ("effective_field", "orientation_selectivity", "gradient_flow", "filters"):
        assert (run_dir / "pictures" / f"{name}.png").is_file()


def test_looking_changes_no_weight(whydeep: Whydeep, tmp_path: Path) -> None:
    for every, images in ((0, 0), (1, 8)):
        process = whydeep("train", *TOY, f"gradient_flow_every={every}", f"effective_field_images={images}")
        assert process.returncode == 0, process.stderr
    blind, watched = (weights(run_dir) for run_dir in run_dirs(tmp_path))
    assert all(torch.equal(blind[name], watched[name]) for name in blind)


def test_a_training_that_fails_leaves_its_gradients(whydeep: Whydeep, tmp_path: Path) -> None:
    process = whydeep("train", *TOY, "gradient_flow_every=1", "optimizer.lr=1e30", "scheduler=constant")
    assert process.returncode == 1
    (run_dir,) = run_dirs(tmp_path)
    flow = GradientFlowRecord.from_dict(json.loads((run_dir / "gradient_flow.json").read_text()))
    assert flow.steps[:2] == (0, 1)
    assert (run_dir / "pictures" / "gradient_flow.png").is_file()
    assert (run_dir / "pictures" / "gradient_flow_relative.png").is_file()
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    kept = {artifact.path for artifact in client.list_artifacts(str(result(run_dir)["run_id"]))}
    assert "gradient_flow.json" in kept
