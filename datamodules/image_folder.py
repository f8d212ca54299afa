"""Your own pictures: one folder per class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.augmentation import Transform
from datamodules.classification import ClassificationDataModule, LabelledPictures
from datamodules.errors import DataError
from datamodules.picture_files import PictureFinder, content_digest
from datamodules.splits import Parts
from datamodules.storage import FileStore, check_folder, named_folder


class ImageFolderDataModule(ClassificationDataModule):
    """Pictures of any size in `root/<class>/…` or in `root/train/<class>/…`, read as RGB, `(N, 3, H, W)`.

    - `root/<class>/…`: a fifth of each class tests, `val_fraction` of the rest validates, both carved by `seed`.
    - `root/train/…`, `root/val/…`, `root/test/…`: as they are.
    - `root/train/…` with `root/val/…` only: `val` tests, and `val_fraction` of `train` validates, so that the pictures
      which the best checkpoint is chosen by are not those it is tested on. With `root/test/…` only, likewise.

    Links are followed; what is reached twice, so that it could be trained on and tested, is refused by its name.

    Pictures are turned upright (EXIF); grey ones and palettes become RGB; what is transparent becomes white. The
    network gets the largest centred square, resized to `image_size`. Empty, truncated and foreign files are found when
    the data set is opened, other damage when a picture is decoded: both name the file.

    The digest covers names and contents; above 2 GiB in all, of each file its size and its first and last 64 KiB.

    Args:
        root: the folder.
        image_size: pixels a side.
        batch_size: see `ClassificationDataModule`, as all that follow.
    """

    name = "image_folder"
    channels = 3

    def __init__(
        self,
        *,
        root: str | Path,
        image_size: int = 224,
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

    def load(self) -> LabelledPictures:
        """List the pictures and look at each file's ends.

        Raises:
            DataError: no such folder, an empty or a missing class, a broken file, one that is reached twice.
        """
        check_folder(self.root, "<class>/…", "train/<class>/…")
        try:
            return self._load()
        except DataError as error:
            raise DataError(f"root={self.root}: {error}") from error

    def _load(self) -> LabelledPictures:
        parts = [name for name in ("train", "val", "test") if (self.root / name).is_dir()]
        if "train" not in parts:
            parts = []
        elif parts == ["train"]:
            raise DataError(f"has train/ but neither val/ nor test/; set datamodule.root={self.root}/train")
        folders = {name: self.root / name for name in parts} or {"train": self.root}
        class_names = _class_names(folders["train"])
        for folder in folders.values():
            _check_classes(folder, class_names)
        finder = PictureFinder(self.root, [folder / name for folder in folders.values() for name in class_names])
        files: list[Path] = []
        labels: list[int] = []
        ranges: dict[str, range] = {}
        for part, folder in folders.items():
            begin = len(files)
            for label, name in enumerate(class_names):
                members = finder.pictures(folder / name)
                files += members
                labels += [label] * len(members)
            ranges[part] = range(begin, len(files))
        indices = {part: np.asarray(rows, dtype=np.int64) for part, rows in ranges.items()}
        if "test" not in indices and "val" in indices:
            indices["test"] = indices.pop("val")
        return LabelledPictures(
            pictures=FileStore(files, self.image_size),
            labels=np.asarray(labels, dtype=np.int64),
            class_names=class_names,
            parts=Parts(train=indices["train"], val=indices.get("val"), test=indices.get("test")),
            digest=content_digest(files, self.root),
        )


def _class_names(folder: Path) -> tuple[str, ...]:
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    if len(names) < 2:  # noqa: PLR2004 - nothing to tell apart
        raise DataError(f"{folder}: has {len(names)} class folder(s); at least 2 are needed, {folder}/<class>/…")
    return tuple(names)


def _check_classes(folder: Path, class_names: tuple[str, ...]) -> None:
    found = _class_names(folder)
    if found != class_names:
        odd = min(set(found) ^ set(class_names))
        problem = "has no class folder" if odd in class_names else "has a class folder that train/ has not:"
        raise DataError(f"{folder}: {problem} {odd!r}")
