"""What all data sets with boxes have in common: options, batches, proposals, normalisation, order."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import albumentations
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from datamodules.coco import COCODataModule
from datamodules.detection.batches import DetectionBatch, DetectionLoader
from datamodules.errors import DataError
from datamodules.proposals.selective_search import SelectiveSearch

Write = Callable[..., Path]
Trail = list[list[tuple[int, str]]]
MOVING = [
    albumentations.HorizontalFlip(p=0.5),
    albumentations.RandomCrop(12, 16, p=0.5),
    albumentations.RandomBrightnessContrast(p=0.5),
]


def ready(root: Path, **options: object) -> COCODataModule:
    settings: dict[str, object] = {"root": root, "train_set": "train", "test_set": "val", "batch_size": 4, **options}
    data = COCODataModule(**settings)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def trail(batches: Iterable[DetectionBatch]) -> Trail:
    """Batches as lists of (index, digest of picture, objects and proposals)."""
    followed = []
    for batch in batches:
        seen = []
        for place, index in enumerate(batch["index"].tolist()):
            objects = batch["objects"][place]
            tensors = [batch["images"][place], batch["proposals"][place], objects["boxes"], objects["labels"]]
            content = b"".join(tensor.numpy().tobytes() for tensor in tensors)
            seen.append((index, hashlib.sha256(content).hexdigest()))
        followed.append(seen)
    return followed


def epoch(loader: DetectionLoader, number: int) -> Trail:
    loader.sampler.set_epoch(number)  # type: ignore[attr-defined]
    return trail(loader)


def test_order_and_augmentation_are_functions_of_seed_epoch_and_index(coco: Write) -> None:
    root = coco()
    options: dict[str, object] = {"augmentation": MOVING, "proposals": "jittered", "num_proposals": 5}
    alone = ready(root, **options)
    loader = alone.train_dataloader()
    first, second = epoch(loader, 0), epoch(loader, 1)
    assert first == epoch(ready(root, **options).train_dataloader(), 0) == epoch(loader, 0)
    assert [len(batch) for batch in first] == [4, 4]
    assert [index for batch in first for index, _ in batch] != [index for batch in second for index, _ in batch]
    assert first != epoch(ready(root, **options, seed=1).train_dataloader(), 0)
    helped = ready(root, **options, num_workers=2)
    loader = helped.train_dataloader()
    assert [epoch(loader, 0), epoch(loader, 1)] == [first, second]
    twice = ready(root, **options)
    assert [epoch(twice.train_dataloader(), number) for number in (0, 1)] == [first, second]
    assert helped.dropped_objects == twice.dropped_objects


def test_what_augmentation_drops_is_counted_where_it_is_used(coco: Write) -> None:
    root = coco()
    gone = [albumentations.Crop(0, 0, 2, 2, p=1)]
    for num_workers in (0, 1):
        data = ready(root, augmentation=gone, num_workers=num_workers)
        assert data.dropped_objects == {}
        truth = sum(len(data.objects(index)["labels"]) for index in data.split.train.tolist())
        for batch in data.train_dataloader():
            assert all(objects["boxes"].shape == (0, 4) for objects in batch["objects"])
        assert data.dropped_objects == {"outside": truth}
    list(data.val_dataloader())
    data.augmented([0, 1], epoch=0)
    assert data.dropped_objects == {"outside": truth}


def test_an_interrupted_epoch_goes_on_where_it_was(coco: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    root = coco()
    options: dict[str, object] = {"augmentation": MOVING, "proposals": "jittered", "num_proposals": 3}
    whole = epoch(ready(root, **options).train_dataloader(), 1)
    monkeypatch.setattr("datamodules.detection.datamodule.trained_batches", lambda _: 1)
    assert epoch(ready(root, **options).train_dataloader(), 1) == whole[1:]
    loader = ready(root, **options, seed=3).train_dataloader()
    with pytest.raises(DataError, match=r"^seed=3: the checkpoint lies within an epoch of seed=0"):
        loader.load_state_dict(ready(root, **options).train_dataloader().state_dict())


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_processes_together_do_what_one_does(coco: Write, monkeypatch: pytest.MonkeyPatch, world_size: int) -> None:
    root = coco()
    options: dict[str, object] = {"augmentation": MOVING, "proposals": "sliding_windows", "num_proposals": 3}
    alone = ready(root, **options)
    data = ready(root, **options)
    shares, shown = [], []
    for rank in range(world_size):
        monkeypatch.setattr("datamodules.detection.datamodule.place", lambda _, rank=rank: (rank, world_size))
        shares.append(trail(data.train_dataloader()))
        shown += [one for batch in trail(data.test_dataloader()) for one in batch]
    monkeypatch.undo()
    together = [sorted(one for share in batches for one in share) for batches in zip(*shares, strict=True)]
    assert together == [sorted(batch) for batch in trail(alone.train_dataloader())]
    assert sorted(shown) == sorted(one for batch in trail(alone.test_dataloader()) for one in batch)
    assert sorted(index for index, _ in shown) == alone.split.test.tolist()


def test_a_batch_has_pictures_of_their_own_sizes(coco: Write) -> None:
    data = ready(coco())
    batch = next(iter(data.test_dataloader()))
    assert [tuple(image.shape) for image in batch["images"]] == [(3, 16, 24), (3, 16, 25), (3, 16, 26), (3, 16, 27)]
    assert {image.dtype for image in batch["images"]} == {torch.uint8}
    assert "proposals" not in batch
    kept = [image.clone() for image in batch["images"]]
    step = data.on_after_batch_transfer(batch, 0)
    for image, before in zip(step["images"], kept, strict=True):
        assert image.dtype == torch.float32
        assert torch.equal(image, data.normalisation(before))


def test_normalisation_is_measured_over_all_pixels_of_the_training_split(coco: Write) -> None:
    root = coco()
    data = ready(root)
    original, _ = data.augmented(data.split.train.tolist(), epoch=0)
    pixels = torch.cat([image.flatten(1) for image in original["images"]], dim=1).double() / 255
    assert data.normalisation.mean == pytest.approx(pixels.mean(dim=1).tolist())
    assert data.normalisation.std == pytest.approx(pixels.std(dim=1, unbiased=False).tolist())
    given = ready(root, mean=[0.5, 0.4, 0.3]).normalisation
    assert given.mean == (0.5, 0.4, 0.3)
    assert given.std == data.normalisation.std


def test_proposals_are_found_in_the_picture_before_it_is_augmented(
    coco: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip = [albumentations.HorizontalFlip(p=1)]
    data = ready(coco(), proposals="selective_search_fast", num_proposals=9, augmentation=flip)
    before, after = data.augmented([3, 4], epoch=0)
    monkeypatch.setattr(SelectiveSearch, "boxes", lambda *_: pytest.fail("searched again"))
    original, mirrored = data.augmented([3, 4], epoch=1)
    for place, image in enumerate(before["images"]):
        width = image.shape[2]
        found = before["proposals"][place]
        assert 0 < len(found) <= 9
        assert torch.equal(original["proposals"][place], found)
        for other in (after, mirrored):
            back = other["proposals"][place][:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1])
            assert torch.equal(back + torch.tensor([width, 0, width, 0]), found)
        assert torch.equal(data.propose(image.permute(1, 2, 0).numpy()), found)
    assert data.spec.proposals == "selective_search_fast"
    assert data.spec.num_proposals == 9


def test_windows_of_any_picture_are_ones_own(coco: Write) -> None:
    data = ready(coco(), proposals="sliding_windows", num_proposals=4)
    grey = np.zeros((15, 17), dtype=np.uint8)
    first = data.propose(grey)
    kept = first.clone()
    first.zero_()
    assert torch.equal(data.propose(grey), kept)


def test_any_picture_is_prepared_as_evaluated_ones_are(coco: Write) -> None:
    data = ready(coco())
    shown = next(iter(data.test_dataloader()))["images"][1]
    assert torch.equal(data.prepare(shown.permute(1, 2, 0).numpy()), shown)
    grey = np.zeros((5, 7), dtype=np.uint8)
    assert data.prepare(grey).shape == (3, 5, 7)
    with pytest.raises(DataError, match=r"^proposals=null: makes none$"):
        data.propose(grey)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("batch_size", 0, "must be at least 1"),
        ("batch_size", 2.5, "must be a whole number"),
        ("num_workers", -1, "must be from 0 to 256"),
        ("few_samples", 0, "must be at least 1"),
        ("seed", -1, "must be at least 0"),
        ("val_fraction", 1, "must be above 0 and below 1"),
        ("strict", "no", "must be true or false"),
        ("num_proposals", 0, "must be at least 1"),
        ("min_area", -1, "must be a number of at least 0"),
        ("min_visibility", 1.5, "must be a number from 0 to 1"),
        ("min_visibility", float("nan"), "must be a number from 0 to 1"),
        ("mean", [0.5], "must have 3 value(s), one per channel"),
    ],
)
def test_impossible_values_are_refused_in_one_line(key: str, value: object, allowed: str) -> None:
    with pytest.raises(DataError) as caught:
        COCODataModule(root=".", **{key: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"{key}={value}: {allowed}"


def test_nothing_is_known_before_setup() -> None:
    with pytest.raises(RuntimeError, match="setup"):
        _ = COCODataModule(root=".").spec


def test_an_augmentation_is_tried_on_the_lowest_and_the_narrowest_picture(coco: Write) -> None:
    with pytest.raises(DataError, match=r"^augmentation\.transforms\[0\]: RandomCrop cannot .* 2[45]x16 pixels"):
        ready(coco(), augmentation=[albumentations.RandomCrop(16, 27, p=0.01)])


class Learner(pl.LightningModule):
    """Notes what reaches the step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[torch.dtype] = []

    def training_step(self, batch: DetectionBatch, _: int) -> torch.Tensor:
        self.seen += [batch["images"][0].dtype, batch["objects"][0]["boxes"].dtype, batch["objects"][0]["labels"].dtype]
        mean: torch.Tensor = torch.stack([image.mean() for image in batch["images"]]).mean()
        return self.layer(mean.reshape(1, 1).to(self.layer.weight.dtype)).square().mean()  # type: ignore[no-any-return]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore")
def test_boxes_reach_the_step_at_full_precision_or_not_at_all(coco: Write) -> None:
    data = ready(coco())
    options: dict[str, object] = {
        "fast_dev_run": 1,
        "logger": False,
        "accelerator": "cpu",
        "enable_model_summary": False,
        "enable_progress_bar": False,
    }
    learner = Learner()
    pl.Trainer(precision="bf16-mixed", **options).fit(learner, datamodule=data)  # type: ignore[arg-type]
    assert learner.seen == [torch.float32, torch.float32, torch.int64]
    with pytest.raises(DataError, match=r"^trainer\.precision=bf16-true: .*; use bf16-mixed$"):
        pl.Trainer(precision="bf16-true", **options).fit(Learner(), datamodule=data)  # type: ignore[arg-type]
