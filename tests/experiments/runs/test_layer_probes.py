"""Probing a run records what its layers respond to, and changes nothing of its training."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from experiments.errors import UserError
from experiments.measures.layer_record import LayerRecord
from experiments.measures.network import measure
from experiments.measures.probes import probe_error
from experiments.measures.representations import pooled, representations
from experiments.runs import layer_probes
from experiments.runs.build import assemble
from experiments.runs.configuration import compose
from experiments.runs.execute import execute
from experiments.runs.layer_probes import LayerProbes
from experiments.runs.metrics import PROBED_METRICS
from experiments.runs.processes import Silence
from experiments.runs.result import RunResult
from experiments.tracking.journal import read_metrics

# Batch norm, whose statistics a pass in training mode would move, and dropout, which would draw.
SMALL = (
    "model=vgg11_small_bn",
    "model.network.width_multiplier=0.0625",
    "model.network.head_widths=[32]",
    "datamodule.image_size=32",
    "datamodule.few_samples=6",
    "datamodule.batch_size=20",
    "effective_field_images=0",
    "probe_images=64",
    "trainer.max_epochs=3",
)


def train(folder: Path, *overrides: str) -> RunResult:
    return execute(compose([*SMALL, f"runs_dir={folder}", *overrides]), progress=False)


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return train(tmp_path_factory.mktemp("probed"), "probe_every=2")


def weights(result: RunResult, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(result.run_dir / "checkpoints" / name, weights_only=True)["state_dict"]
    return loaded


def recorded(result: RunResult) -> LayerRecord:
    found = layer_probes.read(result.run_dir)
    assert found is not None
    return found


def test_before_the_training_at_its_turn_and_after_the_last_epoch(probed: RunResult) -> None:
    record = recorded(probed)
    assert record.epochs == (0, 2, 3)
    assert record.layers[0] == "picture"
    assert record.depths[0] == 0
    assert record.depths[-1] == 1
    assert set(record.errors) == {"edge", "texture", "shape"}
    for errors in record.errors.values():
        assert errors.shape == record.selectivity.shape == (len(record.layers), 3)
        assert ((errors >= 0) & (errors <= 100)).all()
        assert (errors[0] == errors[0, 0]).all(), "the picture does not change"
    assert np.isnan(record.selectivity[0]).all()


def test_the_training_is_the_same_without(probed: RunResult, tmp_path: Path) -> None:
    plain = train(tmp_path)
    assert layer_probes.read(plain.run_dir) is None
    own, other = weights(probed), weights(plain)
    assert own.keys() == other.keys()
    for name, tensor in own.items():
        assert torch.equal(tensor, other[name]), name
    assert all(probed.metrics[name] == value for name, value in plain.metrics.items() if not name.startswith("time/"))


def test_metrics_of_layers_and_the_summary(probed: RunResult) -> None:
    record = recorded(probed)
    frame = read_metrics(probed.run_dir)
    layer = record.layers[1]
    course = frame[frame["key"] == f"probe/edge/{layer}"]
    assert course["value"].tolist() == record.errors["edge"][1].tolist()
    steps = probed.metrics["spent/steps"]
    assert course["step"].tolist() == pytest.approx([0, steps * 2 / 3, steps])
    assert f"selectivity/{layer}" in set(frame["key"])
    summary = record.summary()
    assert summary
    assert summary.keys() <= set(PROBED_METRICS)
    assert {name: probed.metrics[name] for name in summary} == summary
    # Once: what an earlier look knew and the last one does not would stay the store's last value.
    once = frame[frame["key"].isin(PROBED_METRICS)]
    assert dict(zip(once["key"], once["value"], strict=True)) == summary
    assert len(once) == len(summary)
    assert (probed.run_dir / "pictures" / "layer_probes.png").stat().st_size > 0


def test_a_record_goes_on_from_a_checkpoint_of_its_training(probed: RunResult) -> None:
    assembly = assemble(compose([*SMALL, "probe_every=2"]))

    def loaded(stage: str, *, first: bool = True) -> LayerRecord:
        probes = LayerProbes(2, 64, assembly.network, assembly.measures, assembly.datamodule, Silence())
        trainer: Any = SimpleNamespace(is_global_zero=first)
        probes.setup(trainer, assembly.module, stage)
        probes.load_state_dict(saved)
        return probes.record

    saved = torch.load(probed.run_dir / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["LayerProbes"]
    assert loaded("fit").as_dict() == recorded(probed).as_dict()
    assert loaded("test").epochs == ()
    assert loaded("fit", first=False).epochs == (), "of several processes the first alone records"


def test_pictures_too_small_to_show_a_shape_are_refused_before_the_run() -> None:
    with pytest.raises(UserError, match=r"datamodule\.image_size=6: with probe_every it must be at least 8"):
        assemble(compose(["model=conv5x5", "datamodule.image_size=6", "probe_every=1"]))


def oriented(angle: float, side: int = 7) -> torch.Tensor:
    """An odd filter across `angle`, with a sum of 0."""
    places = torch.arange(side) - (side - 1) / 2
    y, x = torch.meshgrid(places, places, indexing="ij")
    return torch.exp(-(x**2 + y**2) / 5) * torch.sin(1.5 * (x * math.cos(angle) + y * math.sin(angle)))


def test_a_bank_of_oriented_filters_tells_edges_and_the_picture_does_not() -> None:
    filters = [sign * oriented(step * math.pi / 8) for step in range(8) for sign in (1, -1)]
    convolution = nn.Conv2d(3, 16, 7, padding=3)
    with torch.no_grad():
        convolution.weight.copy_(torch.stack(filters)[:, None].expand(-1, 3, -1, -1))
    network = nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
    pictures, labels = layer_probes.shown("edge", 512, 32, 3)
    measures = measure(network, (3, 32, 32))
    errors = {
        layer.layer: probe_error(features[:256], labels[:256], features[256:], labels[256:])
        for layer in representations(network, [pictures.float() / 255], measures, pooled)
        if len(features := layer.values.double().numpy())
    }
    assert errors["0"] < 20
    assert errors["picture"] > 75
