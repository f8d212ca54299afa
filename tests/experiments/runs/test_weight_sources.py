"""Where weights come from: recorded runs and registered models, and what identity and record make of them."""

import json
import shutil
from pathlib import Path

import mlflow
import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from experiments.errors import UserError
from experiments.runs.build import assemble
from experiments.runs.configuration import compose
from experiments.runs.execute import identity_of
from experiments.runs.identity import identify
from experiments.runs.provenance import collect
from experiments.runs.record import write_inputs
from experiments.runs.result import RunResult
from experiments.runs.weight_sources import read_weights
from experiments.tracking.card import read_card
from experiments.tracking.opening import open_run
from experiments.tracking.options import TrackingOptions
from experiments.tracking.records import FinalStatus

SMALL = ("model=conv5x5", "model.network.widths=[4,4]", "datamodule.image_size=8", "datamodule.few_samples=4")


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def record(
    runs_dir: Path,
    name: str,
    state: dict[str, torch.Tensor],
    *,
    status: FinalStatus | None = "FINISHED",
    deliver: bool = False,
) -> str:
    """Record a run that has nothing but its best checkpoint; return its id."""
    options = TrackingOptions(runs_dir=str(runs_dir), deliver=deliver, interval_seconds=0.05)
    tracker = open_run(runs_dir / name, options, name=name, tags={})
    checkpoint = runs_dir / name / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir()
    torch.save({"state_dict": {f"network.{key}": value for key, value in state.items()}, "epoch": 3}, checkpoint)
    tracker.artifact(checkpoint, folder="checkpoints")
    if status is not None:
        tracker.finish(status)
    card = read_card(tracker.run_dir)
    assert card is not None
    return card.run_id or card.key


def asked(runs_dir: Path, weights: str, *more: str) -> DictConfig:
    return compose([*SMALL, f"runs_dir={runs_dir}", f"model.weights='{weights}'", *more])


def small_state(runs_dir: Path, seed: int = 7) -> dict[str, torch.Tensor]:
    network = assemble(compose([*SMALL, f"runs_dir={runs_dir}", f"seed={seed}"])).network
    return network.state_dict()


def test_a_run_is_meant_by_id_beginning_and_name(tmp_path: Path) -> None:
    state = small_state(tmp_path)
    run_id = record(tmp_path, "source", state)
    for reference in (run_id, run_id[:8], "source"):
        assembly = assemble(asked(tmp_path, f"run:{reference}"))
        assert all(torch.equal(value, state[name]) for name, value in assembly.network.state_dict().items())
        # What is recorded finds the same weights, whatever other runs there will be.
        assert assembly.cfg.model.weights == f"run:{run_id}"
        assert assembly.start is not None
        assert assembly.start.place.run == "source"


def test_the_place_is_no_part_of_the_identity_and_the_values_are(tmp_path: Path) -> None:
    state = small_state(tmp_path)
    record(tmp_path, "source", state)
    record(tmp_path, "twin", state)
    record(tmp_path, "other", {name: value + 1 for name, value in state.items()})
    # As a file of a run has it, with the names of its module.
    torch.save({f"network.{name}": value for name, value in state.items()}, tmp_path / "file.pt")
    source, twin, other, file = (
        identity_of(assemble(asked(tmp_path, place))).digest
        for place in ("run:source", "run:twin", "run:other", str(tmp_path / "file.pt"))
    )
    assert source == twin == file
    assert source != other
    # A study plans its runs before they are built.
    cfg = asked(tmp_path, "run:source")
    assert identify(cfg, assemble(cfg).datamodule.digest).digest == source


def test_a_recorded_configuration_refuses_other_weights_at_the_same_place(tmp_path: Path) -> None:
    state = small_state(tmp_path)
    record(tmp_path, "source", state)
    recorded = assemble(asked(tmp_path, "run:source")).cfg
    assert identity_of(assemble(recorded)) == identity_of(assemble(asked(tmp_path, "run:source")))
    torch.save({name: value + 1 for name, value in state.items()}, tmp_path / "source" / "checkpoints" / "best.ckpt")
    with pytest.raises(UserError, match=r"^model\.weights=run:\S+: other weights lie there now \(digest \w{10}…\)"):
        assemble(recorded)


def test_what_a_run_begins_from_is_written_down(tmp_path: Path) -> None:
    state = small_state(tmp_path)
    classes, features = state["fc.weight"].shape
    state |= {"fc.weight": torch.zeros(3, features), "fc.bias": torch.zeros(3)}
    run_id = record(tmp_path, "source", state)
    assembly = assemble(asked(tmp_path, "run:source"))
    assert assembly.start is not None
    written = write_inputs(tmp_path / "new", assembly, identity_of(assembly), collect())
    assert "weights.json" in written
    told = json.loads((tmp_path / "new" / "weights.json").read_text())
    assert (told["source"], told["run_id"], told["run"]) == (f"run:{run_id}", run_id, "source")
    assert told["digest"] == assembly.cfg.model.weights_digest == assembly.start.tags()["whydeep.weights"]
    assert {"name": "fc.weight", "shape": [3, features]} in told["skipped"]
    assert {"name": "fc.weight", "shape": [classes, features]} in told["new"]
    assert len(told["copied"]) == len(state) - 2
    assert str(assembly.start).startswith(f"weights: copied {len(state) - 2} tensors, skipped 2 (fc.weight 3x")
    assert "\n" not in str(assembly.start)


@pytest.mark.parametrize("status", ["KILLED", None])
def test_a_run_that_has_not_finished_is_refused(tmp_path: Path, status: FinalStatus | None) -> None:
    record(tmp_path, "source", small_state(tmp_path), status=status)
    with pytest.raises(UserError, match=r"^model\.weights=run:source: that run is (killed|running).*name the file"):
        assemble(asked(tmp_path, "run:source"))


def test_a_result_proves_that_a_run_has_finished_whose_process_was_killed_before_its_card_said_so(
    tmp_path: Path,
) -> None:
    state = small_state(tmp_path)
    record(tmp_path, "source", state, status=None)
    RunResult(tmp_path / "source", None, "i", "source", "FINISHED", 0, {}, (1, 8, 8)).write()
    card = read_card(tmp_path / "source")
    assert card is not None
    assert card.status == "RUNNING"
    network = assemble(asked(tmp_path, "run:source")).network
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    (tmp_path / "source" / "result.json").write_text("{")
    with pytest.raises(UserError, match=r"^model\.weights=run:source: that run is running"):
        assemble(asked(tmp_path, "run:source"))


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    record(tmp_path, "source", small_state(tmp_path))
    with pytest.raises(UserError, match=r"^model\.weights=run:sourse: no such run in .*did you mean source\?$"):
        assemble(asked(tmp_path, "run:sourse", "tracking.deliver=false"))
    with pytest.raises(UserError, match=r"^model\.weights=run:sourse: no such run"):
        identify(asked(tmp_path, "run:sourse", "tracking.deliver=false"), "d")


def register(runs_dir: Path, run_id: str, source: str) -> mlflow.MlflowClient:
    client = mlflow.MlflowClient(f"sqlite:///{runs_dir / 'mlflow.db'}")
    client.create_registered_model("shapes")
    client.create_model_version("shapes", source, run_id)
    client.set_registered_model_alias("shapes", "best", "1")
    return client


class Pickled(nn.Module):
    pass


def test_runs_and_registered_models_are_fetched_from_the_store(tmp_path: Path) -> None:
    state = small_state(tmp_path)
    run_id = record(tmp_path, "source", state, deliver=True)
    client = register(tmp_path, run_id, f"runs:/{run_id}/checkpoints")
    shutil.rmtree(tmp_path / "source")
    found = {}
    for source in (f"run:{run_id}", "models:/shapes/1", "models:/shapes@best"):
        weights = read_weights(asked(tmp_path, source))
        found[source] = weights.digest
        assert weights.place.run_id == run_id
    assert len(set(found.values())) == 1
    # An alias moves on, a version stays.
    assert assemble(asked(tmp_path, "models:/shapes@best")).cfg.model.weights == "models:/shapes/1"

    with pytest.raises(UserError, match=r"^model\.weights=models:/shapes/2: no such registered model in sqlite"):
        read_weights(asked(tmp_path, "models:/shapes/2"))
    with pytest.raises(UserError, match=r"^model\.weights=models:/shapes@worst: no such registered model in sqlite"):
        read_weights(asked(tmp_path, "models:/shapes@worst"))

    # As MLflow's own flavour saves a model: a module, pickled.
    pickled = tmp_path / "model" / "data" / "model.pth"
    pickled.parent.mkdir(parents=True)
    torch.save(Pickled(), pickled)
    client.create_model_version("shapes", str(tmp_path / "model"))
    with pytest.raises(UserError, match=r"^model\.weights=models:/shapes/2: holds \S+Pickled, which could run code"):
        read_weights(asked(tmp_path, "models:/shapes/2"))


def test_nothing_is_made_where_no_model_can_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^model\.weights=models:/shapes/1: nothing is recorded in sqlite"):
        read_weights(asked(tmp_path, "models:/shapes/1"))
    assert list(tmp_path.iterdir()) == []
