"""What all data sets have in common: options, batches, normalisation, preparation."""

import inspect
from pathlib import Path
from typing import Literal

import albumentations
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from hydra.utils import get_class

from datamodules.classification import ClassificationDataModule
from datamodules.detection.datamodule import DetectionDataModule
from datamodules.digits import DigitsDataModule
from datamodules.errors import DataError
from datamodules.loading import ClassificationBatch

CONF = Path(__file__).parents[2] / "conf" / "datamodule"


def ready(**options: object) -> DigitsDataModule:
    data = DigitsDataModule(**{"image_size": 8, **options})  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("batch_size", 0, "must be at least 1"),
        ("batch_size", 2.5, "must be a whole number"),
        ("batch_size", True, "must be a whole number"),
        ("image_size", 0, "must be from 1 to 4096"),
        ("image_size", 10**6, "must be from 1 to 4096"),
        ("num_workers", -1, "must be from 0 to 256"),
        ("few_samples", -1, "must be at least 1"),
        ("few_samples", 0, "must be at least 1"),
        ("seed", -1, "must be at least 0"),
        ("val_fraction", 1.5, "must be above 0 and below 1"),
        ("val_fraction", 0, "must be above 0 and below 1"),
        ("val_fraction", float("nan"), "must be above 0 and below 1"),
        ("mean", [0.5, 0.5], "must have 1 value(s), one per channel"),
        ("std", [0.0], "each value must be above 0 and at most 1 (0 is black, 1 is white)"),
    ],
)
def test_impossible_values_are_refused_in_one_line(key: str, value: object, allowed: str) -> None:
    with pytest.raises(DataError) as caught:
        DigitsDataModule(**{key: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"{key}={value}: {allowed}"


def test_more_few_samples_than_a_class_has_are_refused() -> None:
    with pytest.raises(DataError, match=r"^few_samples=500: class '\d' has \d+ training samples; at most \d+"):
        ready(few_samples=500)


def test_an_augmentation_that_does_not_fit_is_refused_before_the_data_is_loaded() -> None:
    with pytest.raises(DataError, match=r"^augmentation\.transforms\[0\]\.height=32: .* pictures of 8x8 pixels"):
        ready(augmentation=[albumentations.RandomCrop(32, 32)])


def test_nothing_is_known_before_setup() -> None:
    with pytest.raises(RuntimeError, match="setup"):
        _ = DigitsDataModule().spec


def test_setup_loads_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ready()
    monkeypatch.setattr(DigitsDataModule, "load", lambda _: pytest.fail("loaded again"))
    data.setup("fit")
    data.setup("test")


def test_normalisation_is_measured_on_the_training_split_only() -> None:
    data = ready(few_samples=5)
    original, _ = data.augmented(data.split.train.tolist(), epoch=0)
    truth = original.double() / 255
    assert data.normalisation.mean == pytest.approx([float(truth.mean())])
    assert data.normalisation.std == pytest.approx([float(truth.std(unbiased=False))])


def test_given_constants_replace_measured_ones_each_by_itself() -> None:
    measured = ready().normalisation
    assert ready(mean=[0.25]).normalisation.mean == (0.25,)
    assert ready(mean=[0.25]).normalisation.std == measured.std
    assert ready(std=[0.5]).normalisation.std == (0.5,)
    assert ready(mean=[0.25], std=[0.5]).normalisation.mean == (0.25,)


def test_digest_is_of_the_content_not_of_its_use() -> None:
    digests = {ready(**options).digest for options in ({}, {"seed": 3}, {"few_samples": 4}, {"image_size": 16})}
    assert len(digests) == 1
    assert ready().split.digest != ready(seed=3).split.digest


def test_batches_reach_the_step_normalised_and_workers_ship_bytes() -> None:
    data = ready(batch_size=64)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].dtype == torch.uint8
    kept = batch["image"].clone()
    on_device = data.on_after_batch_transfer(batch, 0)
    assert on_device["image"].dtype == torch.float32
    assert torch.equal(on_device["image"], data.normalise(kept))


def test_every_part_has_its_loader() -> None:
    data = ready(batch_size=100)
    for loader, part in ((data.val_dataloader(), data.split.val), (data.test_dataloader(), data.split.test)):
        assert [index for batch in loader for index in batch["index"].tolist()] == part.tolist()
    trained = [index for batch in data.train_dataloader() for index in batch["index"].tolist()]
    assert set(trained) <= set(data.split.train.tolist())
    assert len(data.train_dataloader()) == len(data.split.train) // 100


def test_only_training_pictures_are_augmented(transforms: list[albumentations.BasicTransform]) -> None:
    plain, changed = ready(), ready(augmentation=transforms)
    for one, other in zip(plain.val_dataloader(), changed.val_dataloader(), strict=True):
        assert torch.equal(one["image"], other["image"])
    train, val = next(iter(plain.train_dataloader())), next(iter(changed.train_dataloader()))
    assert torch.equal(train["index"], val["index"])
    assert not torch.equal(train["image"], val["image"])


def test_contact_sheet_shows_what_is_trained_on(transforms: list[albumentations.BasicTransform]) -> None:
    data = ready(augmentation=transforms, batch_size=16)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(2)  # type: ignore[attr-defined]
    batch = next(iter(loader))
    original, changed = data.augmented(batch["index"].tolist(), epoch=2)
    assert torch.equal(changed, batch["image"])
    assert torch.equal(original, torch.from_numpy(data._ready.data.pictures.read(batch["index"].numpy())))
    assert original.shape == changed.shape == (16, 1, 8, 8)


def test_a_picture_is_prepared_as_evaluated_ones_are() -> None:
    data = ready(image_size=16)
    shown = next(iter(data.test_dataloader()))["image"][0]
    assert torch.equal(data.prepare(shown.permute(1, 2, 0).numpy()), shown)
    colours = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    assert data.prepare(colours).shape == (1, 16, 16)
    assert data.prepare(colours[:, :, 0]).dtype == torch.uint8


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_conf_holds_exactly_the_keys_of_the_constructor(path: Path) -> None:
    node = yaml.safe_load(path.read_text())
    for base in set(node.pop("defaults", [])) - {"_self_"}:
        node = {**yaml.safe_load(path.with_name(f"{base}.yaml").read_text()), **node}
    factory = get_class(node["_target_"])
    assert issubclass(factory, ClassificationDataModule | DetectionDataModule)
    keys = set(inspect.signature(factory).parameters) - {"augmentation"}
    assert node.keys() - {"_target_"} == keys
    assert path.read_text().startswith("# ")
    assert path.stem == factory.name or path.stem.startswith(f"{factory.name}_")


@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*no `validation_step`", "ignore:.*isinstance.treespec"
)
@pytest.mark.parametrize(("precision", "dtype"), [("32-true", torch.float32), ("64-true", torch.float64)])
def test_pictures_come_in_the_precision_of_the_training(
    precision: Literal["32-true", "64-true"], dtype: torch.dtype
) -> None:
    seen = []

    class Learner(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(64, 10)

        def training_step(self, batch: ClassificationBatch, _: int) -> torch.Tensor:
            seen.append((batch["image"].dtype, batch["label"].dtype))
            scores: torch.Tensor = self.layer(batch["image"].flatten(1))
            return scores.square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    trainer = pl.Trainer(
        fast_dev_run=1, logger=False, accelerator="cpu", precision=precision, enable_model_summary=False
    )
    data = DigitsDataModule(image_size=8)
    trainer.fit(Learner(), datamodule=data)
    assert seen == [(dtype, torch.int64)]
    assert len(list(data.train_dataloader())) == len(data.train_dataloader()) == 10
