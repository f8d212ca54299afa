"""Every option that `conf/` ships composes, builds and trains a step."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100

from experiments.errors import UserError
from experiments.runs.build import assemble, build_network, build_trainer
from experiments.runs.configuration import CONFIG_DIR, compose
from experiments.runs.validation import validate

SMALL = ("model=conv5x5", "model.network.widths=[4,4]", "datamodule.image_size=8", "datamodule.batch_size=8")


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (CONFIG_DIR / group).glob("*.yaml"))


def step(*overrides: str) -> float:
    """Train one step and return its loss."""
    cfg = compose([*overrides, "trainer.max_steps=1", "trainer.limit_val_batches=1"])
    assembly = assemble(cfg)
    trainer = build_trainer(cfg, callbacks=[], logger=None, run_dir="unused")
    trainer.fit(assembly.module, datamodule=assembly.datamodule)
    assert trainer.global_step == 1
    # Lightning takes the values of the epoch; one step is the epoch's first.
    return assembly.module.last_errors["train/loss"] if assembly.module.last_errors else float("nan")


@pytest.mark.parametrize("model", options("model"))
def test_every_model(model: str) -> None:
    # Four samples: batch norm over one pixel needs more than one.
    # 120 of VGG's 138 million weights are those of its head: a narrow one is stepped as the published one is.
    narrow = ["model.network.head_widths=[64,64]"] if model.startswith("vgg") else []
    loss = step(f"model={model}", "datamodule.batch_size=4", "datamodule.few_samples=1", *narrow)
    assert np.isfinite(loss)


@pytest.mark.parametrize("model", options("model"))
def test_networks_without_batch_norm_begin_at_a_lower_rate(model: str) -> None:
    cfg = compose([f"model={model}"])
    with torch.device("meta"):
        network = build_network(cfg, num_classes=10, in_channels=3)
    normalised = any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert cfg.optimizer.lr == (0.05 if normalised else 0.01)


@pytest.mark.parametrize("augmentation", options("augmentation"))
@pytest.mark.parametrize("size", [8, 32])
def test_every_augmentation_at_small_and_usual_sizes(augmentation: str, size: int) -> None:
    assert np.isfinite(step(*SMALL, f"augmentation={augmentation}", f"datamodule.image_size={size}"))


@pytest.mark.parametrize("optimizer", options("optimizer"))
@pytest.mark.parametrize("scheduler", options("scheduler"))
def test_every_optimizer_with_every_scheduler(optimizer: str, scheduler: str) -> None:
    assert np.isfinite(step(*SMALL, f"optimizer={optimizer}", f"scheduler={scheduler}"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of two classes of random pictures."""
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(10):
            pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


DETECTION = {"coco", "scenes_detection", "voc"}


@pytest.mark.parametrize("datamodule", sorted(DETECTION))
def test_a_data_set_for_detection_is_none_for_classification(datamodule: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^datamodule\._target_=.*: is no data set for classification$"):
        assemble(compose([f"datamodule={datamodule}", f"data_dir={tmp_path}"]))


@pytest.mark.parametrize("datamodule", sorted(set(options("datamodule")) - DETECTION))
def test_every_datamodule(
    datamodule: str,
    tmp_path: Path,
    make_cifar: Callable[..., NDArray[np.uint8]],
    request: pytest.FixtureRequest,
) -> None:
    overrides = [f"datamodule={datamodule}", "model=conv5x5", "model.network.widths=[4,4]", "datamodule.batch_size=4"]
    if datamodule.startswith("cifar"):
        make_cifar(CIFAR10 if datamodule == "cifar10" else CIFAR100, per_class=4)
        overrides.append(f"data_dir={tmp_path}")
    if datamodule.startswith("scenes"):
        overrides += [f"datamodule.{part}_scenes=64" for part in ("train", "val", "test")]
    if datamodule == "image_folder":
        folder = request.getfixturevalue("pictures")
        overrides += [f"data_dir={folder}", "datamodule.image_size=16", "datamodule.num_workers=0"]
    assert np.isfinite(step(*overrides))


@pytest.mark.parametrize("trainer", options("trainer"))
def test_every_trainer_composes(trainer: str) -> None:
    validate(compose([f"trainer={trainer}"]))


def test_the_debug_trainer_takes_few_batches() -> None:
    cfg = compose([*SMALL, "trainer=debug"])
    assembly = assemble(cfg)
    trainer = build_trainer(cfg, callbacks=[], logger=None, run_dir="unused")
    trainer.fit(assembly.module, datamodule=assembly.datamodule)
    assert trainer.global_step == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_trainer_trains() -> None:
    assert np.isfinite(step(*SMALL, "trainer=gpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^trainer.accelerator=gpu: this machine has none"):
        assemble(compose([*SMALL, "trainer=gpu"]))


@pytest.mark.parametrize("tracking", options("tracking"))
def test_every_tracking_composes(tracking: str) -> None:
    validate(compose([f"tracking={tracking}"]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.top_k=[1,5]", "datamodule=image_folder"], r"model\.top_k=\[1, 5\]: the top-5 error of 2 classes"),
        (["datamodule.few_samples=1000"], r"datamodule\.few_samples=1000"),
        (["datamodule.image_size=0"], r"datamodule\.image_size=0"),
        (["model.label_smoothing=1.5"], r"model\.label_smoothing=1\.5"),
        (["model=resnet20", "model.network.depth=21"], r"model\.network\.depth=21"),
        (["model=vgg11", "datamodule.image_size=16"], "needs at least 32x32 pixels"),
        (
            ["augmentation=flip_crop", "augmentation.transforms.2.height=99"],
            r"^augmentation\.transforms\[2\]\.height=99: RandomCrop cannot be applied to pictures of 40x40 pixels",
        ),
        (["scheduler.warmup=1.5"], r"scheduler\.warmup=1\.5"),
        (["scheduler=step", "scheduler.gamma=-1"], r"scheduler\.gamma=-1.*: must be a factor above 0"),
        (["optimizer.lr=nan"], r"optimizer\.lr=nan: must be a number from 0"),
        (["optimizer.lr=-1"], r"optimizer\.lr=-1.*: must be a number from 0"),
        (["datamodule.mean=[0.5,0.5,0.5]"], r"datamodule\.mean="),
        (["trainer.devices=0"], r"^trainer\.devices=0: must be a number from 1"),
        (
            ["augmentation=brightness", "augmentation.transforms.0.p=7"],
            r"^augmentation\.transforms\[0\]\.p=7: input should",
        ),
        (["trainer.limit_val_batches=0.0001"], r"^trainer\.limit_val_batches=0\.0001: less than one of 2 batches"),
        (["model.weights=/"], r"^model\.weights=/: is a folder"),
        (["scheduler=step", "scheduler.milestones=[0.7,0.5]"], r"^scheduler\.milestones=\[0\.7, 0\.5\]: must rise"),
    ],
)
def test_impossible_combinations_are_one_line(overrides: list[str], message: str, pictures: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        assemble(compose([f"data_dir={pictures}", *overrides]))
    assert "\n" not in str(caught.value)


def test_one_channel_does_not_go_into_a_network_trained_on_three(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    pretrained = assemble(compose(["model=resnet20"])).network
    torch.save(
        {
            name: value.repeat(1, 3, 1, 1) if name == "conv1.weight" else value
            for name, value in pretrained.state_dict().items()
        },
        file,
    )
    with pytest.raises(UserError, match="was trained on pictures of 3 channels, these have 1"):
        assemble(compose(["model=resnet20", f"model.weights={file}"]))
