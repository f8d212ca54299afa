"""Batches: a data set that answers a whole batch at once, and the loader that asks it."""

from collections.abc import Iterator
from typing import Any, TypedDict

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.augmentation import KeyedAugmentation
from datamodules.errors import DataError
from datamodules.randomness import IndexArray
from datamodules.sampling import BatchRequest, EvaluationSampler, TrainingSampler
from datamodules.storage import PictureStore


class ClassificationBatch(TypedDict):
    """A batch of labelled pictures.

    `image`: `(N, C, H, W)`, uint8 in RGB when it leaves a worker, normalised float32 when it reaches the step.
    `label`: int64 `(N,)`, in `0 … num_classes - 1`. `index`: int64 `(N,)`, of each sample in its data set.
    """

    image: Tensor
    label: Tensor
    index: Tensor


class BatchDataset(Dataset[ClassificationBatch]):
    """Answers a request for a batch; without augmentation and with pictures in memory, by a single indexing.

    Args:
        pictures: the data set's, training and evaluation samples alike.
        labels: their classes, `(N,)`.
        augmentation: what changes the pictures; `None` leaves them.
    """

    def __init__(
        self, pictures: PictureStore, labels: IndexArray, augmentation: KeyedAugmentation | None = None
    ) -> None:
        self.pictures = pictures
        self.labels = labels
        self.augmentation = augmentation

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, request: BatchRequest) -> ClassificationBatch:
        pictures = self.pictures.read(request.indices)
        if self.augmentation:
            pictures = augment(pictures, self.augmentation, request)
        return {
            "image": torch.from_numpy(pictures),
            "label": torch.from_numpy(self.labels[request.indices]),
            "index": torch.from_numpy(request.indices.copy()),
        }


def augment(pictures: NDArray[np.uint8], augmentation: KeyedAugmentation, request: BatchRequest) -> NDArray[np.uint8]:
    """Return changed copies of `pictures`, `(N, C, H, W)`, each as its own index and the epoch draw it."""
    changed = np.empty_like(pictures)
    for target, picture, index in zip(changed, pictures, request.indices.tolist(), strict=True):
        # A copy, even where the axis of channels needs none: some transforms work in place.
        own = np.array(picture.transpose(1, 2, 0), order="C")
        target[:] = augmentation(own, epoch=request.epoch, index=index).transpose(2, 0, 1)
    return changed


class BatchLoader(DataLoader[ClassificationBatch]):
    """A `DataLoader` of whole batches which begins an epoch when its first batch is asked for, not before.

    Lightning makes the iterator before it restores an interrupted epoch and tells the sampler which it is; a plain
    loader would by then have sent the requests of another epoch to its workers.

    Args:
        dataset: answers the requests.
        sampler: makes them.
        num_workers: processes that read and augment; 0 does it in this one.
        pin_memory: for a faster way to a GPU.
        fingerprint: what the order of an epoch follows from; an epoch can be resumed only where it is the same.
    """

    def __init__(
        self,
        dataset: BatchDataset,
        sampler: TrainingSampler | EvaluationSampler,
        *,
        num_workers: int = 0,
        pin_memory: bool = False,
        fingerprint: dict[str, Any] | None = None,
        **options: Any,  # noqa: ANN401 - further options of DataLoader
    ) -> None:
        super().__init__(
            dataset,
            sampler=sampler,
            batch_size=None,
            num_workers=num_workers,
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            worker_init_fn=_use_one_thread,
            **options,
        )
        self._fingerprint = fingerprint or {}

    def __iter__(self) -> Iterator[ClassificationBatch]:  # type: ignore[override]  # a generator: see the class
        try:
            yield from super().__iter__()
        except DataError as error:
            # What comes from a worker brings the worker's traceback along as text; its last line is the error's own.
            text = str(error).rstrip().splitlines()[-1]
            # Its traceback holds the iterator in a cycle of references, which delays the end of its workers by seconds.
            error.__traceback__ = None
            raise DataError(text.removeprefix(f"{DataError.__module__}.{DataError.__qualname__}: ")) from None

    def state_dict(self) -> dict[str, Any]:
        """Return what must be the same for an interrupted epoch to go on; Lightning saves it."""
        return dict(self._fingerprint)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare with what an interrupted epoch was trained with.

        Raises:
            DataError: it would go on with other samples than those that are left.
        """
        for key, value in self._fingerprint.items():
            if key in state_dict and state_dict[key] != value:
                raise DataError(
                    f"{key}={value}: the checkpoint lies within an epoch of {key}={state_dict[key]}, "
                    "which can only be resumed with the same"
                )


def _use_one_thread(worker: int) -> None:  # noqa: ARG001 - DataLoader's hook
    """Keep OpenCV from starting its own threads in every worker."""
    cv2.setNumThreads(0)
