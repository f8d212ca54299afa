"""Batches of pictures with their objects: packed by whoever reads them, unpacked where they are needed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.detection.augmentation import BoxAugmentation, Drop, Sample
from datamodules.detection.objects import ObjectRows, Objects
from datamodules.detection.pictures import AnnotatedPictures
from datamodules.detection.proposing import Proposer
from datamodules.loading import BatchLoader
from datamodules.proposals.boxes import SIDES
from datamodules.sampling import BatchRequest, EvaluationSampler, TrainingSampler

_NO_BOXES = np.empty((0, SIDES), dtype=np.float32)


class DetectionBatch(TypedDict):
    """A batch of N pictures with their objects.

    `images`: N of `(C, H, W)`, each of its own size, uint8 in RGB when they leave the loader, normalised float32 when
    they reach the step. `objects`: of each picture. `proposals`: float32 `(P, 4)` of each picture, boxes as those of
    `Objects`, the likely ones first; missing where the data module makes none. `index`: int64 `(N,)`, of each sample in
    its data set.
    """

    images: list[Tensor]
    objects: list[Objects]
    proposals: NotRequired[list[Tensor]]
    index: Tensor


class PackedBatch(TypedDict):
    """A batch on its way from a worker. A tensor takes a file descriptor there: of eight a picture they would run out.

    `pixels`: uint8, all pictures `(C, H, W)` one after the other; `sizes`: int64 `(N, 3)`. `objects` and `proposals`:
    the rows of all pictures, one after the other; `counts`: int64 `(N, 2)`, how many of each are of a picture.
    `dropped`: int64, objects that the augmentation dropped, by `Drop`.
    """

    pixels: Tensor
    sizes: Tensor
    objects: Objects
    proposals: Tensor
    counts: Tensor
    dropped: Tensor
    index: Tensor


class DetectionDataset(Dataset[PackedBatch]):
    """Answers a request for a batch.

    Args:
        data: pictures and objects, training and evaluation samples alike.
        augmentation: what changes them; `None` leaves them.
        proposer: what gives each picture its proposals; `None` gives none.
    """

    def __init__(
        self, data: AnnotatedPictures, augmentation: BoxAugmentation | None = None, proposer: Proposer | None = None
    ) -> None:
        self.data = data
        self.augmentation = augmentation
        self.proposer = proposer

    def __len__(self) -> int:
        return len(self.data.objects)

    def __getitem__(self, request: BatchRequest) -> PackedBatch:
        samples = [self.sample(index, request.epoch) for index in request.indices.tolist()]
        return packed(samples, request.indices.tolist())

    def sample(self, index: int, epoch: int) -> Sample:
        """Return a sample as it is trained on in `epoch`, or evaluated.

        Raises:
            DataError: its picture cannot be decoded, augmented or searched.
        """
        picture, objects = self.data.pictures.read(index), self.data.objects.of(index)
        proposals = _NO_BOXES if self.proposer is None else self.proposer.boxes(picture, objects, index)
        sample = Sample(picture, objects, proposals, {})
        return self.augmentation.moved(sample, epoch=epoch, index=index) if self.augmentation else sample


class DetectionLoader(BatchLoader):
    """A `BatchLoader` of pictures with objects, which counts those that the augmentation dropped, by `Drop`.

    Args:
        dataset: answers the requests.
        sampler: makes them.
        dropped: counts the objects of batches that were handed out, also those of other loaders.
        num_workers: see `BatchLoader`, as all that follow.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        sampler: TrainingSampler | EvaluationSampler,
        *,
        dropped: Counter[str],
        num_workers: int = 0,
        pin_memory: bool = False,
        fingerprint: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            dataset,  # type: ignore[arg-type]  # it is asked for nothing but batches, whatever they are
            sampler,
            num_workers=num_workers,
            pin_memory=pin_memory,
            fingerprint=fingerprint,
        )
        self._dropped = dropped
        self._proposed = dataset.proposer is not None

    def __iter__(self) -> Iterator[DetectionBatch]:  # type: ignore[override]  # of batches with objects, not with labels
        for batch in super().__iter__():
            # Counted here, not where they are dropped: workers have no common memory, and prepare more than is used.
            for reason, count in zip(Drop, batch["dropped"].tolist(), strict=True):  # type: ignore[typeddict-item]
                self._dropped[str(reason)] += count
            yield unpacked(batch, proposed=self._proposed)  # type: ignore[arg-type]


def packed(samples: Sequence[Sample], indices: Sequence[int]) -> PackedBatch:
    """Put N samples of these indices into few tensors."""
    pictures = [sample.picture.transpose(2, 0, 1) for sample in samples]
    dropped = [[sample.dropped.get(str(reason), 0) for reason in Drop] for sample in samples]
    return {
        "pixels": torch.from_numpy(np.concatenate([np.zeros(0, np.uint8), *(one.ravel() for one in pictures)])),
        "sizes": torch.tensor([one.shape for one in pictures], dtype=torch.int64).reshape(-1, 3),
        "objects": ObjectRows.joined(sample.objects for sample in samples).tensors(),
        "proposals": torch.from_numpy(np.concatenate([_NO_BOXES, *(sample.proposals for sample in samples)])),
        "counts": torch.tensor([[len(one.objects), len(one.proposals)] for one in samples], dtype=torch.int64),
        "dropped": torch.tensor(dropped, dtype=torch.int64).reshape(-1, len(Drop)).sum(dim=0),
        "index": torch.tensor(indices, dtype=torch.int64),
    }


def unpacked(batch: PackedBatch, *, proposed: bool) -> DetectionBatch:
    """Return what was packed, without copying it; with its proposals only where some were asked for."""
    sizes = batch["sizes"].tolist()
    pixels = torch.split(batch["pixels"], [channels * height * width for channels, height, width in sizes])
    objects, proposals = batch["counts"].T.tolist()
    rows = batch["objects"]
    columns = (rows["boxes"], rows["labels"], rows["crowd"], rows["difficult"], rows["area"])
    of_each = zip(*(torch.split(column, objects) for column in columns), strict=True)
    whole: DetectionBatch = {
        "images": [flat.view(size) for flat, size in zip(pixels, sizes, strict=True)],
        "objects": [
            {"boxes": boxes, "labels": labels, "crowd": crowd, "difficult": difficult, "area": area}
            for boxes, labels, crowd, difficult, area in of_each
        ],
        "index": batch["index"],
    }
    if proposed:
        whole["proposals"] = list(torch.split(batch["proposals"], proposals))
    return whole
