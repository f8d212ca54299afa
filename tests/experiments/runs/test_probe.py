"""How long a run would take: how many batches of which kind it has, and that timing them leaves it as it was."""

from types import SimpleNamespace

import pytest
import torch

from datamodules.scenes.probing import KINDS
from experiments.measures.latency import FEWEST
from experiments.runs import layer_probes, probe
from experiments.runs.build import Assembly, assemble
from experiments.runs.configuration import compose
from experiments.runs.probe import Clock, LookTimes, StepTimes, forecast_seconds, time_looks, time_steps

SMALL = (
    "model=conv5x5",
    "model.network.widths=[4,4]",
    "datamodule=digits",
    "datamodule.image_size=8",
    "datamodule.few_samples=10",  # 100 samples
    "datamodule.batch_size=32",
)
# Decimals apart, so that the sum says how many of each there are: of training, then of evaluation.
TIMES = StepTimes(train=1.0, evaluate=0.001)
TRAIN, VAL, TEST = 4, 5, 12  # batches; the digits validate on 143 samples, and test on 359


def small(*overrides: str) -> Assembly:
    return assemble(compose([*SMALL, "trainer.max_epochs=3", *overrides]))


@pytest.mark.parametrize(
    ("overrides", "training", "evaluated"),
    [
        ([], 3 * TRAIN, 3 * VAL + TEST),
        (["trainer.max_epochs=1"], TRAIN, VAL + TEST),
        (["datamodule.batch_size=100"], 3 * 1, 3 * 2 + 4),
        (["trainer.max_steps=5"], 5, 2 * VAL + TEST),
        (["trainer.max_steps=5", "trainer.accumulate_grad_batches=2"], 10, 3 * VAL + TEST),
        (["trainer.limit_train_batches=2", "trainer.limit_val_batches=1"], 3 * 2, 3 * 1 + TEST),
        (["trainer.limit_train_batches=0.5"], 3 * 2, 3 * VAL + TEST),
    ],
)
def test_the_batches_of_training_and_evaluation_are_counted(
    overrides: list[str], training: int, evaluated: int
) -> None:
    assert forecast_seconds(small(*overrides), TIMES) == pytest.approx(training + 0.001 * evaluated)


@pytest.mark.parametrize(
    ("overrides", "inspections", "layers", "evaluated"),
    [
        ([], 2, 0, 0),
        (["probe_every=1"], 2, 4, 0),
        (["probe_every=2"], 2, 3, 0),  # before, after two epochs, after the third and last
        (["initial_errors=true"], 2, 0, VAL),
        (["latency_batch=64000"], 2, 0, 2000 * FEWEST),
    ],
)
def test_looks_are_counted_with_the_training(
    overrides: list[str], inspections: int, layers: int, evaluated: int
) -> None:
    looks = LookTimes(inspection=1e3, layers=1e6)
    trained = forecast_seconds(small(), TIMES)
    found = forecast_seconds(small(*overrides), TIMES, looks) - trained
    assert found == pytest.approx(1e3 * inspections + 1e6 * layers + 0.001 * evaluated)


def test_looks_are_timed_where_they_are_taken() -> None:
    assert time_looks(small("effective_field_images=0")).layers == 0.0
    assembly = small("probe_every=1", "effective_field_images=2")
    before = {name: tensor.clone() for name, tensor in assembly.module.state_dict().items()}
    looks = time_looks(assembly)
    assert looks.layers > looks.inspection > 0
    after = assembly.module.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_limit_of_time_cuts_the_training_and_not_the_test() -> None:
    assembly = small("+trainer.max_time=00:00:00:02")
    assert forecast_seconds(assembly, TIMES) == pytest.approx(2 + 0.001 * TEST)


def test_timing_leaves_the_network_and_the_data_as_they_were() -> None:
    assembly = small()
    before = {name: tensor.clone() for name, tensor in assembly.module.state_dict().items()}
    training = assembly.module.training
    times = time_steps(assembly)
    assert times.train > 0
    assert times.evaluate > 0
    after = assembly.module.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert assembly.module.training == training
    assert all(parameter.grad is None for parameter in assembly.module.parameters())


@pytest.mark.parametrize(
    ("wall", "processor", "alone", "seconds"),
    [
        (9.0, 3.0, True, 3.0),  # others had the cores
        (3.0, 6.0, True, 3.0),  # two threads
        (9.0, 3.0, False, 9.0),  # other processes read the data
    ],
)
def test_what_other_processes_do_is_not_counted(
    wall: float, processor: float, alone: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_the_wall, spent = iter([100.0, 100.0 + wall]), iter([7.0, 7.0 + processor])
    times = SimpleNamespace(perf_counter=lambda: next(on_the_wall), process_time=lambda: next(spent))
    monkeypatch.setattr(probe, "time", times)
    assert Clock(alone=alone).seconds == seconds


def test_pictures_that_a_process_draws_once_are_no_part_of_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    assembly = small("probe_every=1", "probe_images=64", "effective_field_images=0")
    drawn: list[str] = []
    before: list[int] = []

    def drawing(kind: str, *_: int) -> None:
        drawn.append(kind)

    def looking(*_: object) -> None:
        before.append(len(drawn))

    monkeypatch.setattr(layer_probes, "shown", drawing)
    monkeypatch.setattr(layer_probes.LayerProbes, "on_train_start", looking)
    time_looks(assembly)
    assert before == [len(KINDS)]
