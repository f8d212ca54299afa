"""What all data sets of labelled pictures have in common: a data set only says how it is loaded."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch import Tensor, distributed

from datamodules.augmentation import KeyedAugmentation, Transform
from datamodules.errors import DataError
from datamodules.loading import BatchDataset, BatchLoader, ClassificationBatch, augment
from datamodules.normalisation import Normalisation, check_channel_values, measure
from datamodules.pictures import Picture, fit_channels, fit_square
from datamodules.randomness import IndexArray
from datamodules.sampling import BatchRequest, EvaluationSampler, TrainingSampler
from datamodules.splits import Parts, Split, stratified_split
from datamodules.storage import FileStore, MemoryStore, PictureStore

LARGEST_IMAGE = 4096
MOST_WORKERS = 256


@dataclass(frozen=True)
class DataSpec:
    """What a network must know of a data set; `image_size` in pixels a side."""

    name: str
    num_classes: int
    class_names: tuple[str, ...]
    channels: int
    image_size: int


@dataclass(frozen=True, eq=False)
class LabelledPictures:
    """A data set as loaded: N pictures, training and test pictures under one row of indices.

    `labels` is `(N,)`, `digest` the SHA-256 of all pictures, labels and class names, in hexadecimal.
    """

    pictures: PictureStore
    labels: IndexArray
    class_names: tuple[str, ...]
    parts: Parts
    digest: str

    @classmethod
    def in_memory(
        cls,
        pictures: NDArray[np.uint8],
        labels: IndexArray,
        *,
        class_names: Sequence[str],
        parts: Parts,
        image_size: int,
    ) -> "LabelledPictures":
        """Keep `pictures`, `(N, C, H, W)`, in memory, and resize them to `image_size` pixels a side."""
        content = hashlib.sha256("\0".join(class_names).encode())
        content.update(np.asarray(pictures.shape, dtype="<i8").tobytes())
        content.update(np.ascontiguousarray(pictures).data)
        content.update(labels.astype("<i8").tobytes())
        store = MemoryStore(pictures, image_size)
        return cls(store, labels, tuple(class_names), parts, content.hexdigest())


@dataclass(frozen=True, eq=False)
class _Prepared:
    data: LabelledPictures
    split: Split
    normalisation: Normalisation
    augmentation: KeyedAugmentation


class ClassificationDataModule(LightningDataModule):
    """Batches of labelled pictures; a data set gives `name`, `channels` and `load`.

    Args:
        image_size: pixels a side of the square pictures that the network gets.
        batch_size: samples per training step, over all processes.
        num_workers: processes that read and augment, for each training process; worth it only for decoding files.
        val_fraction: share of the training samples that validates, where the data set has no validation set.
        few_samples: training samples to keep per class; `None` keeps all.
        mean: of each channel, 0 black to 1 white; `None` measures the training split.
        std: standard deviation of each channel, likewise.
        seed: of the split, the order of samples and the augmentation.
        augmentation: Albumentations transforms for the training pictures.

    Raises:
        DataError: a value that is not allowed.
    """

    name: str
    channels: int

    def __init__(
        self,
        *,
        image_size: int = 32,
        batch_size: int = 128,
        num_workers: int = 0,
        val_fraction: float = 0.1,
        few_samples: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        seed: int = 0,
        augmentation: Sequence[Transform] = (),
    ) -> None:
        super().__init__()
        _check_whole("image_size", image_size, 1, LARGEST_IMAGE)
        _check_whole("batch_size", batch_size, 1)
        _check_whole("num_workers", num_workers, 0, MOST_WORKERS)
        _check_whole("seed", seed, 0)
        if few_samples is not None:
            _check_whole("few_samples", few_samples, 1)
        if not 0 < val_fraction < 1:
            raise DataError(f"val_fraction={val_fraction}: must be above 0 and below 1")
        if mean is not None:
            check_channel_values("mean", mean, self.channels, positive=False)
        if std is not None:
            check_channel_values("std", std, self.channels, positive=True)
        self.image_size = image_size
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.val_fraction = val_fraction
        self.few_samples = few_samples
        self.seed = seed
        self._mean, self._std = mean, std
        self._transforms = augmentation
        self._prepared: _Prepared | None = None

    def load(self) -> LabelledPictures:
        """Load the data set.

        Raises:
            DataError: it is missing or broken.
        """
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002 - Lightning's hook; every stage needs the split
        """Load, split and measure the data; once.

        Raises:
            DataError: missing or broken data, a class too small for the split, an augmentation that does not fit.
        """
        if self._prepared is not None:
            return
        augmentation = KeyedAugmentation(self._transforms, seed=self.seed)
        augmentation.check(image_size=self.image_size, channels=self.channels)
        data = self.load()
        split = stratified_split(
            data.labels,
            data.parts,
            val_fraction=self.val_fraction,
            seed=self.seed,
            few_samples=self.few_samples,
            class_names=data.class_names,
        )
        self._prepared = _Prepared(data, split, self._measured(data.pictures, split.train), augmentation)

    @property
    def spec(self) -> DataSpec:
        """What a network must know."""
        names = self._ready.data.class_names
        return DataSpec(self.name, len(names), names, self.channels, self.image_size)

    @property
    def digest(self) -> str:
        """SHA-256 of the data set's content, whatever is used of it, in hexadecimal."""
        return self._ready.data.digest

    @property
    def split(self) -> Split:
        """The samples of each part."""
        return self._ready.split

    @property
    def normalisation(self) -> Normalisation:
        """Mean and standard deviation of each channel."""
        return self._ready.normalisation

    @property
    def augmentation(self) -> KeyedAugmentation:
        """The transforms of the training pictures, with a description and its digest."""
        return self._ready.augmentation

    @property
    def labels(self) -> IndexArray:
        """The class of every sample of the data set, `(N,)`; `labels[split.train]` are those of the training split."""
        return self._ready.data.labels

    def train_dataloader(self) -> BatchLoader:
        """Return the shuffled and augmented training split; it goes on where a resumed epoch was interrupted."""
        rank, world_size = self._process()
        if overfit := getattr(self.trainer, "overfit_batches", 0):
            raise DataError(
                f"overfit_batches={overfit}: takes samples without their order; use limit_train_batches or few_samples"
            )
        sampler = TrainingSampler(
            self.split.train,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
            position=self._trained_batches,
        )
        return self._loader(sampler, self.augmentation)

    def val_dataloader(self) -> BatchLoader:
        """Return the validation split in order; every sample once, whatever the number of processes."""
        return self._evaluation_loader(self.split.val)

    def test_dataloader(self) -> BatchLoader:
        """Return the test split in order; every sample once, whatever the number of processes."""
        return self._evaluation_loader(self.split.test)

    def on_after_batch_transfer(self, batch: ClassificationBatch, dataloader_idx: int) -> Any:  # noqa: ANN401, ARG002
        """Normalise a batch where the network is, in the precision it is trained in."""
        batch["image"] = self.normalise(batch["image"])
        return batch if self.trainer is None else self.trainer.precision_plugin.convert_input(batch)

    def normalise(self, images: Tensor) -> Tensor:
        """Return uint8 pictures `(N, C, H, W)` as normalised float32."""
        return self.normalisation(images)

    def prepare(self, picture: Picture) -> Tensor:
        """Do to any picture what is done to those that are evaluated: its centred square, at the network's size.

        Args:
            picture: uint8 `(H, W)` or `(H, W, C)`, grey, RGB or RGB with opacity.

        Returns:
            uint8 `(C, H, W)`.

        Raises:
            DataError: no such picture.
        """
        square = fit_square(fit_channels(picture, self.channels), self.image_size)
        return torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))

    def augmented(self, indices: Sequence[int], epoch: int) -> tuple[Tensor, Tensor]:
        """Return samples as they are and as they are trained on in `epoch`, uint8 `(N, C, H, W)` each."""
        request = BatchRequest(epoch, np.asarray(indices, dtype=np.int64))
        original = self._ready.data.pictures.read(request.indices)
        return torch.from_numpy(original), torch.from_numpy(augment(original, self.augmentation, request))

    @property
    def _ready(self) -> _Prepared:
        if self._prepared is None:
            raise RuntimeError(f"{type(self).__name__}: call prepare_data() and setup() first")
        return self._prepared

    def _measured(self, pictures: PictureStore, train: IndexArray) -> Normalisation:
        if self._mean is not None and self._std is not None:
            return Normalisation(tuple(map(float, self._mean)), tuple(map(float, self._std)))
        measured = measure(pictures, train, seed=self.seed, sampled=isinstance(pictures, FileStore))
        return Normalisation(
            measured.mean if self._mean is None else tuple(map(float, self._mean)),
            measured.std if self._std is None else tuple(map(float, self._std)),
        )

    def _evaluation_loader(self, part: IndexArray) -> BatchLoader:
        rank, world_size = self._process()
        sampler = EvaluationSampler(part, batch_size=self.batch_size, rank=rank, world_size=world_size)
        return self._loader(sampler, None)

    def _loader(
        self, sampler: TrainingSampler | EvaluationSampler, augmentation: KeyedAugmentation | None
    ) -> BatchLoader:
        data = self._ready.data
        return BatchLoader(
            BatchDataset(data.pictures, data.labels, augmentation),
            sampler,
            num_workers=self.num_workers,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            fingerprint={"batch_size": self.batch_size, "seed": self.seed, "split": self.split.digest},
        )

    def _process(self) -> tuple[int, int]:
        """Return this process's rank and the number of processes."""
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1

    def _trained_batches(self) -> int:
        """Return the batches of the current epoch that Lightning has counted, before this epoch was interrupted too."""
        if self.trainer is None or not self.trainer.training:
            return 0
        return int(self.trainer.fit_loop.epoch_loop.batch_progress.current.ready)


def _check_whole(key: str, value: float, least: int, most: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{key}={value}: must be a whole number")
    if not least <= value <= most:
        raise DataError(
            f"{key}={value}: must be {f'at least {least}' if most == math.inf else f'from {least} to {most}'}"
        )
