"""CIFAR-10: 60,000 photographs of 32 px in ten classes (Krizhevsky 2009, section 3)."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity

from datamodules.augmentation import Transform
from datamodules.classification import ClassificationDataModule, LabelledPictures
from datamodules.errors import DataError
from datamodules.splits import Parts
from datamodules.storage import named_folder


class CIFAR10DataModule(ClassificationDataModule):
    """CIFAR-10, `(N, 3, H, W)`: its 10,000 test pictures test; `val_fraction` of the other 50,000 validates.

    Args:
        root: folder in which `cifar-10-batches-py/` lies, as torchvision lays it out.
        download: fetch the pictures (170 MB) if they are not there.
        image_size: pixels a side; other than 32 resizes.
        batch_size: see `ClassificationDataModule`, as all that follow.
    """

    name = "cifar10"
    channels = 3
    title: ClassVar[str] = "CIFAR-10"
    source: ClassVar[type[CIFAR10]] = CIFAR10

    def __init__(  # noqa: PLR0913 - each is a key of the configuration
        self,
        *,
        root: str | Path,
        download: bool = False,
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
        super().__init__(
            image_size=image_size,
            batch_size=batch_size,
            num_workers=num_workers,
            val_fraction=val_fraction,
            few_samples=few_samples,
            mean=mean,
            std=std,
            seed=seed,
            augmentation=augmentation,
        )
        self.root = named_folder(root)
        self.download = download

    def prepare_data(self) -> None:
        """Download the pictures where that is asked for and needed.

        Raises:
            DataError: they are not there, and must not or cannot be downloaded.
        """
        if self.download:
            try:
                self.source(self.root, download=True)
            except (OSError, RuntimeError) as error:
                raise DataError(f"{self.source.url}: cannot be downloaded to {self.root} ({error})") from error
        folder = self.root / self.source.base_folder
        files = [name for name, _ in self._files()]
        missing = [name for name in files if not (folder / name).is_file()]
        if missing:
            raise DataError(
                f"root={self.root}: {folder.name}/{missing[0]} of {self.title} is not there "
                f"(expected in {folder.name}/: {', '.join(files)}); set datamodule.download=true to fetch it, "
                f"or datamodule.root to the folder that holds {folder.name}/"
            )

    def load(self) -> LabelledPictures:
        """Read the files, compared with the originals by checksum.

        Raises:
            DataError: a file is missing or differs from the original.
        """
        try:
            train, test = self.source(self.root, train=True), self.source(self.root, train=False)
        except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
            folder = self.root / self.source.base_folder
            broken = [name for name, md5 in self._files() if not check_integrity(str(folder / name), md5)]
            raise DataError(
                f"{folder / broken[0] if broken else folder}: missing, or not the original file of {self.title}; "
                "set datamodule.download=true to fetch it again"
            ) from error
        pictures = np.concatenate([part.data.transpose(0, 3, 1, 2) for part in (train, test)])
        return LabelledPictures.in_memory(
            pictures,
            np.asarray([*train.targets, *test.targets], dtype=np.int64),
            class_names=train.classes,
            parts=Parts(train=np.arange(len(train)), test=np.arange(len(train), len(pictures))),
            image_size=self.image_size,
        )

    def _files(self) -> list[tuple[str, str]]:
        meta = self.source.meta
        listed = [*self.source.train_list, *self.source.test_list, (meta["filename"], meta["md5"])]
        return [(str(name), str(md5)) for name, md5 in listed]
