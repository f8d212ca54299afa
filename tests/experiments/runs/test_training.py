"""A training that is interrupted anywhere ends as one that is not: weights, metrics of every epoch, what is tested."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from experiments.runs.build import Assembly, assemble
from experiments.runs.callbacks import Checkpoints, RunFailed, RunKilled
from experiments.runs.configuration import compose
from experiments.runs.evaluation import evaluate
from experiments.runs.execute import identity_of
from experiments.runs.prediction import Predictor
from experiments.runs.provenance import collect
from experiments.runs.record import write_inputs
from experiments.runs.training import Outcome, check_whole, train
from experiments.tracking.logger import TrackerLogger

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")

EPOCHS, STEPS = 4, 4  # steps an epoch
SMALL = (
    "model=conv5x5",
    "model.network.widths=[8,8]",
    "datamodule.image_size=8",
    "datamodule.few_samples=20",
    "datamodule.batch_size=50",
    f"trainer.max_epochs={EPOCHS}",
    "optimizer.lr=0.1",
)
Points = dict[tuple[str, int], float]


class Crash(Exception):  # noqa: N818 - what a kill does to the test's process
    pass


class Memory:
    """A recorder that keeps what a run measures."""

    name, run_id, run_dir = "run", None, Path()

    def __init__(self) -> None:
        self.points: Points = {}

    def metrics(self, values: dict[str, float], *, step: int) -> None:
        self.points |= {(name, step): value for name, value in values.items()}

    def flush(self) -> None:
        pass


def build(*overrides: str) -> Assembly:
    return assemble(compose([*SMALL, *overrides]))


def fit(
    folder: Path, memory: Memory, *overrides: str, at: int | None = None, what: Callable[[], None] = lambda: None
) -> tuple[Outcome, Assembly]:
    """Train in `folder`; `what` happens within the step number `at`, counted over all epochs from 0."""
    folder.mkdir(exist_ok=True)
    assembly = build(*overrides)
    step = assembly.module.training_step

    def training_step(batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401 - Lightning's batch
        if assembly.module.trainer.fit_loop.epoch_loop.total_batch_idx == at:
            what()
        return step(batch, batch_idx)

    assembly.module.training_step = training_step  # type: ignore[method-assign]
    return train(assembly, folder, memory, TrackerLogger(memory), name=None), assembly  # type: ignore[arg-type]


def stop() -> None:
    signal.raise_signal(signal.SIGTERM)


def crash() -> None:
    raise Crash


def checkpoint(folder: Path, name: str = "last") -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return content


def assert_equal_bits(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert mine.keys() == theirs.keys()
    different = [name for name, value in theirs.items() if not torch.equal(mine[name], value)]
    assert different == []


def timeless(points: Points) -> Points:
    return {key: value for key, value in points.items() if not key[0].startswith("time/")}


@pytest.fixture(autouse=True)
def _save_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoints, "check_every", 1)


VARIANTS = {
    "plain": (),
    "averaged": ("ema_decay=0.8",),
    # The third epoch, after which it ends, is not validated.
    "validated every second epoch": ("trainer.check_val_every_n_epoch=2", "trainer.max_epochs=3"),
    "limited": ("trainer.limit_train_batches=3",),
    "fine-tuned": (
        "model.freeze=first:1",
        "model.trunk_lr_factor=0.2",
        "trainer.gradient_clip_val=0.5",
        "ema_decay=0.8",
        "initial_errors=true",
    ),
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Memory, Outcome]]:
    """Return a function that trains a variant with nothing in its way, once."""
    done: dict[str, tuple[Path, Memory, Outcome]] = {}

    def whole(variant: str) -> tuple[Path, Memory, Outcome]:
        if variant not in done:
            folder, memory = tmp_path_factory.mktemp("whole"), Memory()
            done[variant] = folder, memory, fit(folder, memory, *VARIANTS[variant])[0]
        return done[variant]

    return whole


# The last step of an epoch, the first of the next one, one in its middle, the last of all.
POSITIONS = [2 * STEPS - 1, 2 * STEPS, 2 * STEPS + 2, EPOCHS * STEPS - 1]
EVERY_STEP, EVERY_EPOCH = "0.0000001", "10"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("at", POSITIONS)
@pytest.mark.parametrize(("what", "minutes"), [(stop, EVERY_EPOCH), (crash, EVERY_STEP), (crash, EVERY_EPOCH)])
def test_an_interrupted_training_ends_as_one_that_is_not(
    tmp_path: Path,
    uninterrupted: Callable[[str], tuple[Path, Memory, Outcome]],
    variant: str,
    what: Callable[[], None],
    at: int,
    minutes: str,
) -> None:
    whole, expected, outcome = uninterrupted(variant)
    options = (*VARIANTS[variant], f"checkpoint_minutes={minutes}")
    if variant == "limited":
        at = at * 3 // 4
    if variant == "validated every second epoch":
        at = min(at, 3 * STEPS - 1)
    memory = Memory()
    with pytest.raises((RunKilled, Crash)):
        fit(tmp_path, memory, *options, at=at, what=what)
    resumed, _ = fit(tmp_path, memory, *options)

    assert timeless(memory.points) == timeless(expected.points)
    for name in ("last", "best"):
        mine, theirs = checkpoint(tmp_path, name), checkpoint(whole, name)
        assert mine["epoch"] == theirs["epoch"]
        assert_equal_bits(mine["state_dict"], theirs["state_dict"])
        if variant in ("averaged", "fine-tuned"):
            assert_equal_bits(mine["current_model_state"], theirs["current_model_state"])
    assert timeless({(name, 0): value for name, value in resumed.metrics.items()}) == timeless(
        {(name, 0): value for name, value in outcome.metrics.items()}
    )


def test_every_epoch_is_validated(uninterrupted: Callable[[str], tuple[Path, Memory, Outcome]]) -> None:
    for variant in ("plain", "averaged"):
        _, memory, _ = uninterrupted(variant)
        assert [step for name, step in memory.points if name == "val/top1_error"] == [4, 8, 12, 16]
    whole, memory, outcome = uninterrupted("validated every second epoch")
    assert [step for name, step in memory.points if name == "val/top1_error"] == [8]
    assert outcome.metrics["best/epoch"] == checkpoint(whole, "best")["epoch"] == 1


def test_a_crash_within_a_validation_repeats_it(
    tmp_path: Path, uninterrupted: Callable[[str], tuple[Path, Memory, Outcome]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, expected, _ = uninterrupted("plain")
    memory, options = Memory(), (f"checkpoint_minutes={EVERY_STEP}",)
    with monkeypatch.context() as patched:
        patched.setattr("lightning_modules.classification.ClassificationModule.validation_step", lambda *_: crash())
        with pytest.raises(Crash):
            fit(tmp_path, memory, *options)
    fit(tmp_path, memory, *options)
    assert timeless(memory.points) == timeless(expected.points)
    assert_equal_bits(checkpoint(tmp_path)["state_dict"], checkpoint(whole)["state_dict"])


def test_a_run_that_ends_before_its_first_validation_tests_its_last_weights(tmp_path: Path) -> None:
    outcome, _ = fit(tmp_path, Memory(), "trainer.max_steps=2")
    assert "best/epoch" not in outcome.metrics
    assert_equal_bits(checkpoint(tmp_path, "best")["state_dict"], checkpoint(tmp_path, "last")["state_dict"])
    again, memory = tmp_path / "killed", Memory()
    with pytest.raises(RunKilled):
        fit(again, memory, "trainer.max_steps=2", at=1, what=stop)
    resumed, _ = fit(again, memory, "trainer.max_steps=2")
    assert resumed.metrics["test/loss"] == outcome.metrics["test/loss"]
    assert ("train/top1_error", 2) in memory.points


def test_averaged_weights_are_what_is_validated_tested_and_used(tmp_path: Path) -> None:
    outcome, assembly = fit(tmp_path, Memory(), "ema_decay=0.8")
    best = checkpoint(tmp_path, "best")
    used = dict(assembly.module.state_dict())
    assert_equal_bits(used, best["state_dict"])
    assert not torch.equal(used["network.fc.weight"], best["current_model_state"]["network.fc.weight"])

    # The state of the best epoch, loaded into a network that knows nothing of averages, has the recorded errors.
    fresh = build()
    fresh.module.load_state_dict(best["state_dict"])
    # Lightning keeps what it monitors in 32 bits.
    assert evaluate(fresh, "val").errors["top1_error"] == pytest.approx(outcome.metrics["best/val_top1_error"])
    assert evaluate(fresh, "test").errors["loss"] == outcome.metrics["test/loss"]

    write_inputs(tmp_path, fresh, identity_of(fresh), collect())
    predictor = Predictor(tmp_path)
    assert_equal_bits({f"network.{name}": value for name, value in predictor.network.state_dict().items()}, used)


def test_averaged_batch_norm_fits_the_averaged_weights(tmp_path: Path) -> None:
    # Statistics of another network than the one that is tested would make its errors those of a guess.
    plain, _ = fit(tmp_path / "plain", Memory(), "trainer.max_epochs=20")
    averaged, _ = fit(tmp_path / "averaged", Memory(), "trainer.max_epochs=20", "ema_decay=0.9")
    assert averaged.metrics["test/top1_error"] < plain.metrics["test/top1_error"] + 10 < 50


def test_the_time_of_an_epoch_is_that_of_its_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def tick(seconds: float) -> Callable[[], None]:
        def pass_time(*_: object) -> None:
            nonlocal now
            now += seconds

        return pass_time

    monkeypatch.setattr("experiments.runs.callbacks.time.perf_counter", lambda: now)
    memory, options = Memory(), ("trainer.max_epochs=1", f"checkpoint_minutes={EVERY_STEP}")

    def timed(*, crashing: bool) -> None:
        assembly = build(*options)
        step = assembly.module.training_step

        def training_step(batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401 - Lightning's batch
            tick(10.0)()
            if crashing and batch_idx == 2:
                raise Crash
            return step(batch, batch_idx)

        assembly.module.training_step = training_step  # type: ignore[method-assign]
        assembly.module.on_validation_epoch_end = tick(100.0)  # type: ignore[method-assign]
        train(assembly, tmp_path, memory, None, name=None)

    with pytest.raises(Crash):
        timed(crashing=True)
    timed(crashing=False)
    # Four steps; the third, which the crash made it repeat, counts once.
    assert memory.points["time/epoch_seconds", STEPS] == 40.0
    assert memory.points["time/steps_per_second", STEPS] == 0.1


def test_a_test_that_missed_samples_is_no_result() -> None:
    check_whole(359, 359)
    with pytest.raises(RunFailed, match="the test counted 180 samples of 359"):
        check_whole(180, 359)
