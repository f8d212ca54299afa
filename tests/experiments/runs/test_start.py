"""What a training starts from and leaves alone: copied parts, frozen weights, rates, and the errors before it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision import models

from experiments.errors import UserError
from experiments.runs.build import Assembly, assemble
from experiments.runs.configuration import compose
from experiments.runs.evaluation import evaluate
from experiments.runs.recorded import without_weights
from experiments.runs.training import Outcome, train
from experiments.tracking.logger import TrackerLogger

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")

HYMENOPTERA = Path(__file__).parents[4] / "shared" / "data" / "hymenoptera_data"
SMALL = (
    "model=resnet20",
    "model.network.depth=8",
    "model.network.width_multiplier=0.25",
    "datamodule.image_size=8",
    "datamodule.few_samples=10",
    "datamodule.batch_size=25",
    "trainer.max_epochs=2",
)


class Memory:
    """A recorder that keeps what a run measures."""

    name, run_id, run_dir = "run", None, Path()

    def __init__(self) -> None:
        self.points: dict[tuple[str, int], float] = {}

    def metrics(self, values: dict[str, float], *, step: int) -> None:
        self.points |= {(name, step): value for name, value in values.items()}

    def flush(self) -> None:
        pass


def build(folder: Path, *overrides: str) -> Assembly:
    return assemble(compose([*SMALL, f"runs_dir={folder}", *overrides]))


def fit(folder: Path, *overrides: str) -> tuple[Outcome, Assembly, Memory]:
    assembly, memory = build(folder, *overrides), Memory()
    folder.mkdir(exist_ok=True)
    return train(assembly, folder, memory, TrackerLogger(memory), name=None), assembly, memory  # type: ignore[arg-type]


def states(folder: Path) -> list[dict[str, Tensor]]:
    """Return the network's tensors in the last checkpoint: trained, and averaged where they are."""
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    found = [content[key] for key in ("state_dict", "current_model_state") if key in content]
    return [{name.removeprefix("network."): value for name, value in state.items()} for state in found]


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    return {name for name, value in one.items() if torch.equal(value, other[name])}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("more", [(), ("ema_decay=0.9",)])
@pytest.mark.parametrize("word", ["trunk", "first:3"])
def test_what_is_frozen_is_the_same_bits_after_training(
    tmp_path: Path, optimizer: str, more: tuple[str, ...], word: str
) -> None:
    overrides = (f"optimizer={optimizer}", "optimizer.weight_decay=0.1", f"model.freeze={word}", *more)
    before = {name: value.clone() for name, value in build(tmp_path, *overrides).network.state_dict().items()}
    _, assembly, _ = fit(tmp_path, *overrides)
    frozen = assembly.module.fine_tuning.frozen
    for state in states(tmp_path):
        # Batch norm that is frozen is fixed: its statistics too.
        assert equal(before, state) == frozen
    trained = sum(value.numel() for name, value in assembly.network.named_parameters() if name not in frozen)
    assert assembly.measures.trainable_parameters == trained < assembly.measures.parameters
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert len(content["optimizer_states"][0]["state"]) == len(dict(assembly.network.named_parameters())) - len(
        [name for name, _ in assembly.network.named_parameters() if name in frozen]
    )


def test_batch_norm_that_adapts_collects_statistics_and_keeps_its_weights(tmp_path: Path) -> None:
    overrides = ("model.freeze=trunk", "model.frozen_batch_norm=adapt")
    before = {name: value.clone() for name, value in build(tmp_path, *overrides).network.state_dict().items()}
    _, assembly, _ = fit(tmp_path, *overrides)
    (after,) = states(tmp_path)
    statistics = {name for name in before if "running" in name or "num_batches" in name}
    assert statistics != set()
    assert equal(before, after) == assembly.module.fine_tuning.frozen - statistics


def test_whoever_looks_at_the_network_in_between_changes_nothing(tmp_path: Path) -> None:
    assembly = build(tmp_path, "model.freeze=trunk")
    norm = assembly.network.get_submodule("bn1")
    seen = []
    step = assembly.module.training_step

    def training_step(batch: object, batch_idx: int) -> Tensor:
        seen.append(norm.training)
        assembly.network.train()
        return step(batch, batch_idx)  # type: ignore[arg-type]

    assembly.module.training_step = training_step  # type: ignore[method-assign]
    train(assembly, tmp_path, Memory(), None, name=None)
    assert len(seen) > 4
    assert not any(seen)


def test_both_rates_are_recorded(tmp_path: Path) -> None:
    _, _, memory = fit(tmp_path, "model.trunk_lr_factor=0.2", "optimizer.lr=0.1", "scheduler=step")
    epochs = sorted(step for name, step in memory.points if name == "train/learning_rate")
    assert len(epochs) == 2
    for step in epochs:
        head = memory.points["lr/head", step]
        assert memory.points["train/learning_rate", step] == head > 0
        assert memory.points["lr/trunk", step] == pytest.approx(0.2 * head)


def test_a_schedule_that_forgets_the_factor_is_refused_before_the_training(tmp_path: Path) -> None:
    own = ("scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "~scheduler.warmup", "+scheduler.max_lr=0.1")
    with pytest.raises(UserError, match=r"^model\.trunk_lr_factor=0\.2: OneCycleLR sets rates of its own"):
        build(tmp_path, "model.trunk_lr_factor=0.2", *own)
    with pytest.raises(UserError, match=r"^model\.trunk_lr_factor=0\.2: the trunk is frozen$"):
        build(tmp_path, "model.trunk_lr_factor=0.2", "model.freeze=trunk")
    with pytest.raises(UserError, match=r"^model\.freeze=\*: leaves nothing to be trained$"):
        build(tmp_path, "model.freeze='*'")


def test_the_errors_before_any_training_are_recorded_and_change_nothing(tmp_path: Path) -> None:
    untrained = evaluate(build(tmp_path), "val").errors
    plain, _, _ = fit(tmp_path / "plain")
    outcome, _, memory = fit(tmp_path / "looked", "initial_errors=true")
    for name, value in untrained.items():
        assert memory.points[f"initial/val_{name}", 0] == outcome.metrics[f"initial/val_{name}"] == value
    assert not any(name.startswith("initial/") for name in plain.metrics)
    (one,), (other,) = states(tmp_path / "plain"), states(tmp_path / "looked")
    assert equal(one, other) == set(one)
    # The first point of the curve is still that of the first epoch.
    assert min(step for name, step in memory.points if name == "val/loss") > 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a network of the same layers, for other classes and channels of its own."""
    folder = tmp_path_factory.mktemp("trained")
    fit(folder)
    return folder / "checkpoints" / "best.ckpt"


@pytest.mark.parametrize("word", ["all", "trunk", "first:3", "layer1.*"])
def test_only_the_part_that_is_asked_for_is_copied(tmp_path: Path, trained: Path, word: str) -> None:
    source = {
        name.removeprefix("network."): value
        for name, value in torch.load(trained, weights_only=True)["state_dict"].items()
    }
    fresh = build(tmp_path).network.state_dict()
    assembly = build(tmp_path, f"model.weights={trained}", f"model.copy='{word}'")
    mine = assembly.network.state_dict()
    assert assembly.start is not None
    copied = {tensor.name for tensor in assembly.start.copied.copied}
    assert copied == equal(mine, source)
    assert equal(mine, fresh) >= set(mine) - copied
    new = {tensor.name for tensor in assembly.start.copied.new}
    assert new == {name for name in set(mine) - copied if not name.endswith("num_batches_tracked")}
    assert ("fc.weight" in copied) == (word == "all")


def test_the_first_layers_of_a_deeper_network_are_copied(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(UserError, match=r"model\.weights=.*lacks 'layer1\.1\.conv1\.weight'"):
        build(tmp_path, "model.network.depth=14", f"model.weights={trained}")
    assembly = build(tmp_path, "model.network.depth=14", f"model.weights={trained}", "model.copy=first:3")
    assert assembly.start is not None
    assert {tensor.name for tensor in assembly.start.copied.copied if "conv" in tensor.name} == {
        "conv1.weight",
        "layer1.0.conv1.weight",
        "layer1.0.conv2.weight",
    }


def test_a_configuration_is_opened_without_its_weights(tmp_path: Path, trained: Path) -> None:
    cfg = build(tmp_path, f"model.weights={trained}", "model.copy=trunk").cfg.copy()
    without_weights(cfg)
    assert assemble(cfg).start is None


@pytest.mark.shared
def test_ants_and_bees_from_our_own_weights_and_from_torchvisions_layout(tmp_path: Path, trained: Path) -> None:
    if not HYMENOPTERA.is_dir():
        pytest.skip(f"the real data sets are not beside the repository ({HYMENOPTERA})")
    real = (
        "datamodule=image_folder",
        f"datamodule.root={HYMENOPTERA}",
        "datamodule.batch_size=16",
        "datamodule.few_samples=null",
        "initial_errors=true",
        "model.freeze=first:3",
        "model.trunk_lr_factor=0.2",
    )
    # Digits have one channel, photographs three: all but the stem fits.
    ours = (f"model.weights={trained}", "model.copy='layer*'", "datamodule.image_size=32", "model.freeze='layer1.*'")
    outcome, assembly, _ = fit(tmp_path / "ours", *real[:-2], *real[-1:], *ours)
    assert assembly.start is not None
    assert {tensor.name for tensor in assembly.start.copied.new} == {
        *("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var", "fc.weight", "fc.bias")
    }
    assert int(outcome.confusion.sum()) == 40
    source = torch.load(trained, weights_only=True)["state_dict"]
    (after,) = states(tmp_path / "ours")
    frozen = {name for name in after if name.startswith("layer1.")}
    assert frozen <= equal(after, {name.removeprefix("network."): value for name, value in source.items()})

    theirs = models.resnet18(num_classes=1000)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    network = ("model=resnet18", "~model.network.width_multiplier", "datamodule.image_size=64", "trainer.max_epochs=1")
    start = (*real[:-1], f"model.weights={tmp_path / 'resnet18.pth'}", "optimizer.lr=0.01")
    overrides = [override for override in SMALL if not override.startswith(("model", "datamodule", "trainer"))]
    cfg = compose([*overrides, f"runs_dir={tmp_path}", *network, *start])
    assembly, memory = assemble(cfg), Memory()
    (tmp_path / "theirs").mkdir()
    outcome = train(assembly, tmp_path / "theirs", memory, TrackerLogger(memory), name=None)  # type: ignore[arg-type]
    assert assembly.start is not None
    assert {tensor.name for tensor in assembly.start.copied.new} == {"fc.weight", "fc.bias"}
    assert memory.points["initial/val_top1_error", 0] == outcome.metrics["initial/val_top1_error"]
    (after,) = states(tmp_path / "theirs")
    assert assembly.module.fine_tuning.frozen <= equal(after, theirs.state_dict() | {"fc.weight": after["fc.weight"]})
