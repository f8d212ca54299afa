"""Batches, picture by picture: the same with any number of workers, forked or spawned."""

import multiprocessing
from collections.abc import Callable, Iterable
from pathlib import Path

import albumentations
import numpy as np
import pytest
import torch

from datamodules.augmentation import KeyedAugmentation
from datamodules.errors import DataError
from datamodules.loading import BatchDataset, BatchLoader, ClassificationBatch, augment
from datamodules.sampling import BatchRequest, EvaluationSampler, TrainingSampler
from datamodules.storage import FileStore, MemoryStore

Trail = list[tuple[int, str]]
Follow = Callable[[Iterable[ClassificationBatch]], list[Trail]]

PICTURES = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(40) % 4


@pytest.fixture
def dataset(transforms: list[albumentations.BasicTransform]) -> BatchDataset:
    return BatchDataset(MemoryStore(PICTURES, 8), LABELS, KeyedAugmentation(transforms, seed=0))


def loader(dataset: BatchDataset, **options: object) -> BatchLoader:
    return BatchLoader(dataset, TrainingSampler(np.arange(40), batch_size=8, seed=0), **options)  # type: ignore[arg-type]


def follow_epochs(batches: BatchLoader, trail: Follow, count: int) -> list[list[Trail]]:
    epochs = []
    for epoch in range(count):
        # The iterator exists before the epoch is known: Lightning's order of events.
        iterator = iter(batches)
        assert isinstance(batches.sampler, TrainingSampler)
        batches.sampler.set_epoch(epoch)
        epochs.append(trail(iterator))
    return epochs


@pytest.fixture
def reference(dataset: BatchDataset, trail: Follow) -> list[list[Trail]]:
    return follow_epochs(loader(dataset), trail, 3)


def test_batches_have_the_documented_form(dataset: BatchDataset) -> None:
    batch = next(iter(loader(dataset)))
    assert batch["image"].shape == (8, 3, 8, 8)
    assert batch["image"].dtype == torch.uint8
    assert batch["label"].dtype == batch["index"].dtype == torch.int64
    assert batch["label"].tolist() == (batch["index"] % 4).tolist()


def test_without_augmentation_pictures_are_those_of_the_data_set() -> None:
    plain = BatchDataset(MemoryStore(PICTURES, 8), LABELS)
    for batch in loader(plain):
        assert np.array_equal(batch["image"].numpy(), PICTURES[batch["index"].numpy()])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(("workers", "method"), [(2, "fork"), (4, "fork"), (2, "spawn")])
def test_workers_change_no_picture_in_any_epoch(
    dataset: BatchDataset, trail: Follow, reference: list[list[Trail]], workers: int, method: str
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    batches = loader(dataset, num_workers=workers, multiprocessing_context=method)
    assert follow_epochs(batches, trail, 3) == reference


def test_every_epoch_has_other_pictures_of_the_same_samples(reference: list[list[Trail]]) -> None:
    pictures = [dict(sample for batch in epoch for sample in batch) for epoch in reference]
    assert [sorted(epoch) for epoch in pictures] == [list(range(40))] * 3
    for index in range(40):
        assert len({epoch[index] for epoch in pictures}) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_two_processes_train_on_what_one_does(
    dataset: BatchDataset, trail: Follow, reference: list[list[Trail]], workers: int
) -> None:
    shares = []
    for rank in range(2):
        sampler = TrainingSampler(np.arange(40), batch_size=8, seed=0, rank=rank, world_size=2)
        shares.append(follow_epochs(BatchLoader(dataset, sampler, num_workers=workers), trail, 2))
    for epoch in range(2):
        for number, batch in enumerate(reference[epoch]):
            assert sorted(shares[0][epoch][number] + shares[1][epoch][number]) == sorted(batch)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_left_in_its_middle_does_not_reach_into_the_next(
    dataset: BatchDataset, trail: Follow, reference: list[list[Trail]], workers: int
) -> None:
    batches = loader(dataset, num_workers=workers)
    assert isinstance(batches.sampler, TrainingSampler)
    iterator = iter(batches)
    assert trail([next(iterator), next(iterator)]) == reference[0][:2]
    batches.sampler.set_epoch(1)
    assert trail(batches) == reference[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_one_line_also_from_a_worker(tmp_path: Path, workers: int) -> None:
    files = [tmp_path / f"{number}.jpg" for number in range(4)]
    for path in files:
        path.write_bytes(b"\xff\xd8\xff no picture")
    dataset = BatchDataset(FileStore(files, 8), LABELS)
    batches = BatchLoader(dataset, EvaluationSampler(np.arange(4), batch_size=2), num_workers=workers)
    text = ""
    try:
        list(batches)
    except DataError as error:  # pytest.raises would keep the traceback, and with it the workers
        text = str(error)
    assert text == f"{files[0]}: cannot be read as a picture (broken or truncated JPEG)"


def test_an_interrupted_epoch_goes_on_only_with_the_same_order(dataset: BatchDataset) -> None:
    saved = loader(dataset, fingerprint={"batch_size": 8, "split": "abc"}).state_dict()
    loader(dataset, fingerprint={"batch_size": 8, "split": "abc"}).load_state_dict(saved)
    with pytest.raises(DataError, match=r"^batch_size=16: the checkpoint lies within an epoch of batch_size=8"):
        loader(dataset, fingerprint={"batch_size": 16, "split": "abc"}).load_state_dict(saved)


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_leaves_the_pictures_it_is_given(channels: int) -> None:
    class InPlace:
        def __call__(self, image: np.ndarray, *, epoch: int, index: int) -> np.ndarray:
            image[:] = 10 * epoch + index
            return image

    pictures = PICTURES[:2, :channels].copy()
    changed = augment(pictures, InPlace(), BatchRequest(1, np.asarray([3, 4])))  # type: ignore[arg-type]
    assert changed[:, 0, 0, 0].tolist() == [13, 14]
    assert np.array_equal(pictures, PICTURES[:2, :channels])


def test_a_request_picks_samples_in_its_order(dataset: BatchDataset) -> None:
    one = dataset[BatchRequest(0, np.asarray([3, 1]))]
    other = dataset[BatchRequest(0, np.asarray([1, 3, 5]))]
    assert torch.equal(one["image"], other["image"][[1, 0]])
    assert len(dataset) == 40
