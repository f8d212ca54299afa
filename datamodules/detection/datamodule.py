"""What all data sets of pictures with boxes have in common: a data set only says how it is loaded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from datamodules.augmentation import Transform
from datamodules.detection.augmentation import BoxAugmentation
from datamodules.detection.batches import DetectionBatch, DetectionDataset, DetectionLoader, packed, unpacked
from datamodules.detection.division import divided
from datamodules.detection.objects import Objects
from datamodules.detection.pictures import AnnotatedPictures, normalised_by
from datamodules.detection.problems import Problems
from datamodules.detection.proposing import Proposer
from datamodules.detection.spec import DetectionSpec, check_number, check_whole
from datamodules.detection.trainer import check_precision, place, trained_batches
from datamodules.errors import DataError
from datamodules.normalisation import Normalisation, check_channel_values
from datamodules.pictures import Picture, fit_channels
from datamodules.randomness import IndexArray
from datamodules.sampling import EvaluationSampler, TrainingSampler
from datamodules.splits import Split
from datamodules.storage import named_folder

MOST_WORKERS = 256


@dataclass(frozen=True, eq=False)
class _Prepared:
    data: AnnotatedPictures
    split: Split
    normalisation: Normalisation
    augmentation: BoxAugmentation


class DetectionDataModule(LightningDataModule):
    """Batches of pictures with their objects, see `DetectionBatch`; a data set gives `name`, `channels` and `load`.

    Args:
        root: folder of the data, in whose `proposals/` lie those that were searched.
        batch_size: pictures per training step, over all processes.
        num_workers: processes that read, augment and search, for each training process.
        val_fraction: share of the training pictures that validates, where the data set has no validation set.
        few_samples: training pictures to keep; `None` keeps all.
        mean: of each channel, 0 black to 1 white; `None` measures the training split.
        std: standard deviation of each channel, likewise.
        seed: of the split, the order of pictures and the augmentation.
        strict: refuse a data set in which something is wrong; else that is left out, and counted in `left_out`.
        min_area: square pixels that an augmentation must leave of an object's box, else the object is dropped.
        min_visibility: share of an object's box that an augmentation must leave, likewise.
        proposals: of `proposing.KINDS`, boxes that come with each picture; `None`: none.
        num_proposals: for each picture, at most.
        augmentation: Albumentations transforms for the training pictures.

    Attributes:
        problems: what was wrong with the data set.

    Raises:
        DataError: a value that is not allowed.
    """

    name: str
    channels: int

    def __init__(  # noqa: PLR0913 - each is a key of the configuration
        self,
        *,
        root: str | Path,
        batch_size: int = 16,
        num_workers: int = 0,
        val_fraction: float = 0.1,
        few_samples: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        seed: int = 0,
        strict: bool = True,
        min_area: float = 1.0,
        min_visibility: float = 0.25,
        proposals: str | None = None,
        num_proposals: int = 2000,
        augmentation: Sequence[Transform] = (),
    ) -> None:
        super().__init__()
        check_whole("batch_size", batch_size, 1)
        check_whole("num_workers", num_workers, 0, MOST_WORKERS)
        check_whole("seed", seed, 0)
        if few_samples is not None:
            check_whole("few_samples", few_samples, 1)
        if not 0 < val_fraction < 1:
            raise DataError(f"val_fraction={val_fraction}: must be above 0 and below 1")
        check_whole("num_proposals", num_proposals, 1)
        if not isinstance(strict, bool):
            raise DataError(f"strict={strict}: must be true or false")
        check_number("min_area", min_area, 0.0)
        check_number("min_visibility", min_visibility, 0.0, 1.0)
        if mean is not None:
            check_channel_values("mean", mean, self.channels, positive=False)
        if std is not None:
            check_channel_values("std", std, self.channels, positive=True)
        self.root = named_folder(root)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.val_fraction = val_fraction
        self.few_samples = few_samples
        self.seed = seed
        self.problems = Problems(strict=strict)
        self.proposer = None if proposals is None else Proposer(proposals, num_proposals, self.root)
        self._mean, self._std = mean, std
        self._least = {"min_area": min_area, "min_visibility": min_visibility}
        self._transforms = augmentation
        self._dropped: Counter[str] = Counter()
        self._prepared: _Prepared | None = None

    def load(self) -> AnnotatedPictures:
        """Load the data set; what is wrong with it goes to `problems`.

        Raises:
            DataError: it is missing or broken.
        """
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002 - Lightning's hook; every stage needs the split
        """Load, split and measure the data; once.

        Raises:
            DataError: missing or broken data, too few pictures for the split, an augmentation that does not fit.
        """
        if self._prepared is not None:
            return
        augmentation = BoxAugmentation(self._transforms, seed=self.seed, **self._least)
        data = self.load()
        self.problems.tell(self.name)
        split = divided(data, val_fraction=self.val_fraction, few_samples=self.few_samples, seed=self.seed)
        # The lowest and the narrowest picture: what fits them fits all.
        sizes = data.sizes[split.train]
        extreme = {(int(height), int(width)) for height, width in sizes[sizes.argmin(axis=0)]}
        augmentation.check_on(sorted(extreme), channels=self.channels)
        normalisation = normalised_by(data.pictures, split.train, self._mean, self._std, self.channels, self.seed)
        self._prepared = _Prepared(data, split, normalisation, augmentation)

    @property
    def spec(self) -> DetectionSpec:
        """What a detector must know."""
        data = self._ready.data
        return DetectionSpec(
            name=self.name,
            num_classes=len(data.class_names),
            class_names=data.class_names,
            channels=self.channels,
            smallest_side=int(data.sizes.min()),
            largest_side=int(data.sizes.max()),
            proposals=None if self.proposer is None else self.proposer.kind,
            num_proposals=0 if self.proposer is None else self.proposer.count,
        )

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
    def augmentation(self) -> BoxAugmentation:
        """The transforms of the training samples, with a description and its digest."""
        return self._ready.augmentation

    @property
    def left_out(self) -> Mapping[str, int]:
        """What `strict=False` left out of the data set: how many pictures and objects, by `Problem`."""
        return dict(self.problems.left_out)

    @property
    def dropped_objects(self) -> Mapping[str, int]:
        """Objects that the augmentation dropped from the training batches handed out in this process, by `Drop`."""
        return {reason: count for reason, count in self._dropped.items() if count}

    def objects(self, index: int) -> Objects:
        """Return the objects of a sample as the data set has them."""
        return self._ready.data.objects.of(index).tensors()

    def train_dataloader(self) -> DetectionLoader:
        """Return the shuffled and augmented training split; it goes on where a resumed epoch was interrupted."""
        rank, world_size = place(self.trainer)
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
            position=lambda: trained_batches(self.trainer),
        )
        return self._loader(sampler, self.augmentation)

    def val_dataloader(self) -> DetectionLoader:
        """Return the validation split in order; every sample once, whatever the number of processes."""
        return self._loader(self._in_order(self.split.val), None)

    def test_dataloader(self) -> DetectionLoader:
        """Return the test split in order; every sample once, whatever the number of processes."""
        return self._loader(self._in_order(self.split.test), None)

    def on_after_batch_transfer(self, batch: DetectionBatch, dataloader_idx: int) -> DetectionBatch:  # noqa: ARG002
        """Normalise the pictures of a batch where the detector is, in the precision it is trained in."""
        images = self.normalise(batch["images"])
        batch["images"] = images if self.trainer is None else self.trainer.precision_plugin.convert_input(images)
        return batch

    def normalise(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return uint8 pictures, `(C, H, W)` each, as normalised float32."""
        return [self.normalisation(image) for image in images]

    def prepare(self, picture: Picture) -> Tensor:
        """Do to any picture what is done to those that are evaluated: nothing but its channels is changed.

        Args:
            picture: uint8 `(H, W)` or `(H, W, C)`, grey, RGB or RGB with opacity.

        Returns:
            uint8 `(C, H, W)`.

        Raises:
            DataError: no such picture.
        """
        return torch.from_numpy(np.ascontiguousarray(fit_channels(picture, self.channels).transpose(2, 0, 1)))

    def propose(self, picture: Picture) -> Tensor:
        """Return the proposals of any picture, float32 `(P, 4)`, as those of samples.

        Args:
            picture: as `prepare`.

        Raises:
            DataError: there are no proposals, or they need the objects.
        """
        if self.proposer is None:
            raise DataError("proposals=null: makes none")
        # A copy: windows of a size are placed once, for all who ask.
        return torch.from_numpy(self.proposer.anywhere(fit_channels(picture, self.channels)).copy())

    def augmented(self, indices: Sequence[int], epoch: int) -> tuple[DetectionBatch, DetectionBatch]:
        """Return samples as they are and as they are trained on in `epoch`, pictures in uint8."""

        def batch(augmentation: BoxAugmentation | None) -> DetectionBatch:
            dataset = self._dataset(augmentation)
            samples = [dataset.sample(index, epoch) for index in indices]
            return unpacked(packed(samples, indices), proposed=self.proposer is not None)

        return batch(None), batch(self.augmentation)

    @property
    def _ready(self) -> _Prepared:
        if self._prepared is None:
            raise RuntimeError(f"{type(self).__name__}: call prepare_data() and setup() first")
        return self._prepared

    def _dataset(self, augmentation: BoxAugmentation | None) -> DetectionDataset:
        return DetectionDataset(self._ready.data, augmentation, self.proposer)

    def _in_order(self, part: IndexArray) -> EvaluationSampler:
        rank, world_size = place(self.trainer)
        return EvaluationSampler(part, batch_size=self.batch_size, rank=rank, world_size=world_size)

    def _loader(
        self, sampler: TrainingSampler | EvaluationSampler, augmentation: BoxAugmentation | None
    ) -> DetectionLoader:
        check_precision(self.trainer)
        return DetectionLoader(
            self._dataset(augmentation),
            sampler,
            dropped=self._dropped,
            num_workers=self.num_workers,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            fingerprint={"batch_size": self.batch_size, "seed": self.seed, "split": self.split.digest},
        )
