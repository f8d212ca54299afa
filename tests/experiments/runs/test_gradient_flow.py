"""A recorded gradient flow is that of the steps as they were taken: real trainings against a plain loop."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from experiments.errors import UserError
from experiments.measures.gradient_flow import GradientFlowRecord
from experiments.runs import gradient_flow
from experiments.runs.gradient_flow import GradientFlow
from tests.experiments.conftest import environment

BATCHES, BATCH_SIZE, RATE = 10, 4, 0.1


def new_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.ReLU(), nn.Linear(12, 2))


def samples() -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(BATCHES * BATCH_SIZE, 1, 4, 4, generator=generator)
    return TensorDataset(images, torch.arange(len(images)) % 2)


def loss_of(network: nn.Module, batch: list[Tensor]) -> Tensor:
    return nn.functional.cross_entropy(network(batch[0]), batch[1])


class Learner(LightningModule):
    def __init__(self, network: nn.Module, optimizer: Callable[..., torch.optim.Optimizer] | None = None) -> None:
        super().__init__()
        self.network = network
        self.optimizer = optimizer or partial(torch.optim.SGD, lr=RATE)

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return loss_of(self.network, batch)

    def test_step(self, batch: list[Tensor]) -> None:
        loss_of(self.network, batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())


def loader() -> "DataLoader[tuple[Tensor, ...]]":
    return DataLoader(samples(), batch_size=BATCH_SIZE)


def trainer(*callbacks: Callback, epochs: int = 2, **options: Any) -> Trainer:  # noqa: ANN401 - Lightning's
    checkpointing = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    return Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=checkpointing,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def by_hand(epochs: int = 2, *, clip: float | None = None, accumulated: int = 1) -> GradientFlowRecord:
    """Train in a plain loop, with the norms of every step."""
    network = new_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    columns, weight_columns = [], []
    batches = [batch for _ in range(epochs) for batch in loader()]
    for first in range(0, len(batches), accumulated):
        optimizer.zero_grad()
        for batch in batches[first : first + accumulated]:
            (loss_of(network, list(batch)) / accumulated).backward()  # type: ignore[no-untyped-call]
        weights = [network.get_parameter("0.weight"), network.get_parameter("3.weight")]
        columns.append([float(weight.grad.double().norm()) for weight in weights if weight.grad is not None])
        weight_columns.append([float(weight.detach().double().norm()) for weight in weights])
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
    norms, weight_norms = np.array(columns).T, np.array(weight_columns).T
    return GradientFlowRecord(("0", "3"), tuple(range(len(columns))), norms, weight_norms)


def assert_same(record: GradientFlowRecord, expected: GradientFlowRecord, every: int = 1, rtol: float = 1e-5) -> None:
    assert record.layers == expected.layers
    assert record.steps == expected.steps[::every]
    np.testing.assert_allclose(record.norms, expected.norms[:, ::every], rtol=rtol)
    np.testing.assert_allclose(record.weight_norms, expected.weight_norms[:, ::every], rtol=rtol)


@pytest.mark.parametrize("every", [1, 3, 1000])
def test_norms_are_those_of_a_plain_loop_at_every_nth_step(every: int) -> None:
    network = new_network()
    flow = GradientFlow(every, network)
    trainer(flow).fit(Learner(network), loader())
    assert_same(flow.record, by_hand(), every)


def test_without_a_network_all_of_the_module_is_watched() -> None:
    flow = GradientFlow(5)
    trainer(flow).fit(Learner(new_network()), loader())
    assert flow.record.layers == ("network.0", "network.3")


def test_calls_order_the_layers() -> None:
    network = new_network()
    flow = GradientFlow(5, network, ["3", "0"])
    trainer(flow).fit(Learner(network), loader())
    expected = by_hand()
    assert flow.record.layers == ("3", "0")
    np.testing.assert_allclose(flow.record.norms, expected.norms[::-1, ::5], rtol=1e-5)


def test_gradients_are_recorded_before_they_are_clipped() -> None:
    network = new_network()
    flow = GradientFlow(1, network)
    trainer(flow, gradient_clip_val=0.01).fit(Learner(network), loader())
    assert_same(flow.record, by_hand(clip=0.01))
    assert flow.record.norms.max() > 0.1


def test_accumulated_batches_are_one_step() -> None:
    network = new_network()
    flow = GradientFlow(2, network)
    trainer(flow, accumulate_grad_batches=2).fit(Learner(network), loader())
    assert_same(flow.record, by_hand(accumulated=2), every=2)


@pytest.mark.parametrize("fused", [False, True])
def test_the_scale_of_the_loss_is_taken_out(*, fused: bool) -> None:
    network = new_network()
    flow = GradientFlow(1, network)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    trainer(flow, epochs=1, plugins=[plugin]).fit(
        Learner(network, partial(torch.optim.SGD, lr=RATE, fused=fused)), loader()
    )
    assert scaler.get_scale() == 1024
    assert_same(flow.record, by_hand(1), rtol=0.02)


def test_an_optimizer_that_evaluates_a_step_many_times_records_it_once() -> None:
    network = new_network()
    flow = GradientFlow(1, network)
    trainer(flow, epochs=1).fit(Learner(network, partial(torch.optim.LBFGS, lr=RATE, max_iter=4)), loader())
    assert flow.record.steps == tuple(range(BATCHES))
    assert flow.record.norms[0, 0] == pytest.approx(by_hand(1).norms[0, 0], rel=1e-5)


class Interruption(Callback):
    """Ends the training with an error in front of an optimizer step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            raise InterruptedError


def test_a_resumed_training_has_every_step_once(tmp_path: Path) -> None:
    network = new_network()
    saving = ModelCheckpoint(tmp_path, filename="{epoch}", save_on_train_epoch_end=True)
    with pytest.raises(InterruptedError):
        trainer(GradientFlow(2, network), saving, Interruption(12)).fit(Learner(network), loader())

    again = new_network()
    flow = GradientFlow(2, again)
    resumed = trainer(flow)
    resumed.fit(Learner(again), loader(), ckpt_path=tmp_path / "epoch=0.ckpt", weights_only=True)
    assert_same(flow.record, by_hand(), every=2)

    # Testing an earlier checkpoint loads the state of the callbacks, too.
    resumed.test(Learner(again), loader(), ckpt_path=tmp_path / "epoch=0.ckpt", weights_only=True, verbose=False)
    assert_same(flow.record, by_hand(), every=2)


def test_of_a_long_training_the_record_stays_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gradient_flow, "MOST_STEPS", 6)
    network = new_network()
    flow, saving = GradientFlow(1, network), ModelCheckpoint(tmp_path, filename="{epoch}", save_on_train_epoch_end=True)
    trainer(flow, saving, epochs=1).fit(Learner(network), loader())
    # Steps 0 to 6 are one too many: 0, 2, 4, 6, and then 8.
    assert flow.record.steps == (0, 2, 4, 6, 8)
    checkpoint = torch.load(tmp_path / "epoch=0.ckpt", weights_only=True)
    (state,) = (value for name, value in checkpoint["callbacks"].items() if "GradientFlow" in name)
    assert state["norms"].shape[1] == len(state["steps"]) == 5

    again = new_network()
    resumed = GradientFlow(1, again)
    trainer(resumed).fit(Learner(again), loader(), ckpt_path=tmp_path / "epoch=0.ckpt", weights_only=True)
    # 10 goes on with that; 12 is one too many again: 0, 4, 8, 12, 16.
    assert resumed.record.steps == (0, 4, 8, 12, 16)
    assert_same(resumed.record, by_hand(), every=4)


def test_a_second_training_begins_a_second_record() -> None:
    network = new_network()
    flow = GradientFlow(3, network)
    assert (flow.record.layers, flow.record.steps) == ((), ())
    trainer(flow, epochs=1).fit(Learner(network), loader())
    first = flow.record
    trainer(flow, epochs=1).fit(Learner(network), loader())
    assert flow.record.steps == first.steps == (0, 3, 6, 9)
    np.testing.assert_allclose(flow.record.norms[:, 0], by_hand().norms[:, BATCHES], rtol=1e-5)


def test_recording_does_not_change_the_training() -> None:
    network, other = new_network(), new_network()
    trainer(GradientFlow(1, network)).fit(Learner(network), loader())
    trainer().fit(Learner(other), loader())
    assert all(torch.equal(own, plain) for own, plain in zip(network.parameters(), other.parameters(), strict=True))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    network = new_network()
    saving = ModelCheckpoint(tmp_path, filename="last")
    trainer(GradientFlow(1), saving, epochs=1).fit(Learner(network), loader())
    with pytest.raises(UserError, match="gradient flow of other layers"):
        trainer(GradientFlow(1, network)).fit(
            Learner(network), loader(), ckpt_path=tmp_path / "last.ckpt", weights_only=True
        )


def test_what_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(UserError, match=r"every=0: must be at least 1"):
        GradientFlow(0)
    sharded = cast("Trainer", SimpleNamespace(strategy=SimpleNamespace()))
    with pytest.raises(UserError, match="SimpleNamespace: no process has the whole gradient"):
        GradientFlow(1).on_fit_start(sharded, Learner(new_network()))
    with pytest.raises(UserError, match="gradient flow: the network has no weighted layer"):
        trainer(GradientFlow(1)).fit(Learner(nn.BatchNorm2d(1)), loader())


TWO_PROCESSES = """
import json, sys
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader, DistributedSampler
from experiments.runs.gradient_flow import GradientFlow
from tests.experiments.runs.test_gradient_flow import BATCH_SIZE, Learner, new_network, samples

network = new_network()
flow = GradientFlow(2, network)

class Half(Learner):
    def train_dataloader(self):
        # Every other sample: half of each batch of the plain loop.
        sampler = DistributedSampler(samples(), 2, self.global_rank, shuffle=False)
        return DataLoader(samples(), batch_size=BATCH_SIZE // 2, sampler=sampler)

    def on_fit_end(self):
        with open(f"{sys.argv[1]}/{self.global_rank}.json", "w") as file:
            json.dump(flow.record.as_dict(), file)

Trainer(accelerator="cpu", devices=2, strategy="ddp_fork", max_epochs=2, callbacks=[flow], logger=False,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
).fit(Half(network))
"""


def test_two_processes_record_what_one_does(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", TWO_PROCESSES, str(tmp_path)], env=environment(), check=True, timeout=240)
    records = [
        GradientFlowRecord.from_dict(json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")))
        for rank in range(2)
    ]
    assert records[0].as_dict() == records[1].as_dict()
    assert_same(records[0], by_hand(), every=2)
