"""Your own pictures: one folder per class."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datamodules.augmentation import Transform
from datamodules.classification import ClassificationDataModule, LabelledPictures
from datamodules.errors import DataError
from datamodules.pictures import check_ends
from datamodules.splits import Parts
from datamodules.storage import FileStore

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
WHOLE_CONTENT_BYTES = 2**31
END_BYTES = 2**16


class ImageFolderDataModule(ClassificationDataModule):
    """Pictures of any size in `root/<class>/…` or in `root/train/<class>/…`, read as RGB, `(N, 3, H, W)`.

    - `root/<class>/…`: a fifth of each class tests, `val_fraction` of the rest validates, both carved by `seed`.
    - `root/train/…`, `root/val/…`, `root/test/…`: as they are.
    - `root/train/…` with `root/val/…` only: `val` tests, and `val_fraction` of `train` validates, so that the pictures
      which the best checkpoint is chosen by are not those it is tested on. With `root/test/…` only, likewise.

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
        self.root = Path(root)

    def load(self) -> LabelledPictures:
        """List the pictures and look at each file's ends.

        Raises:
            DataError: no such folder, an empty or a missing class, a broken file.
        """
        if not self.root.is_dir():
            raise DataError(
                f"root={self.root}: no such folder (expected: {self.root}/<class>/… or {self.root}/train/<class>/…)"
            )
        parts = [name for name in ("train", "val", "test") if (self.root / name).is_dir()]
        if "train" not in parts:
            parts = []
        elif parts == ["train"]:
            raise DataError(
                f"{self.root}: has train/ but neither val/ nor test/; set datamodule.root={self.root}/train"
            )
        folders = {name: self.root / name for name in parts} or {"train": self.root}
        class_names = _class_names(folders["train"])
        files: list[Path] = []
        labels: list[int] = []
        ranges: dict[str, range] = {}
        for part, folder in folders.items():
            begin = len(files)
            for label, members in enumerate(_pictures_by_class(folder, class_names)):
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
            digest=_content_digest(files, self.root),
        )


def _class_names(folder: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:  # noqa: PLR2004 - nothing to tell apart
        raise DataError(f"{folder}: has {len(names)} class folder(s); at least 2 are needed, {folder}/<class>/…")
    return tuple(names)


def _pictures_by_class(folder: Path, class_names: tuple[str, ...]) -> list[list[Path]]:
    found = _class_names(folder)
    if found != class_names:
        odd = min(set(found) ^ set(class_names))
        problem = "has no class folder" if odd in class_names else "has a class folder that train/ has not:"
        raise DataError(f"{folder}: {problem} {odd!r}")
    return [_pictures(folder / name) for name in class_names]


def _pictures(folder: Path) -> list[Path]:
    found = sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(ENDINGS) and not name.startswith(".")
    )
    if not found:
        raise DataError(f"{folder}: holds no pictures ({', '.join(ENDINGS)})")
    return found


def _content_digest(files: list[Path], root: Path) -> str:
    """Return the SHA-256 of the files' names and contents; look at the ends of each for signs of damage."""
    try:
        sizes = [path.stat().st_size for path in files]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error
    whole = sum(sizes) <= WHOLE_CONTENT_BYTES
    digest = hashlib.sha256()
    for path, size in zip(files, sizes, strict=True):
        try:
            with path.open("rb") as file:
                begin = file.read() if whole else file.read(END_BYTES)
                file.seek(max(size - END_BYTES, 0))
                end = begin[-END_BYTES:] if whole else file.read()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        if problem := check_ends(begin, end):
            raise DataError(f"{path}: {problem}")
        digest.update(f"{path.relative_to(root).as_posix()}\0{size}\0".encode())
        digest.update(begin if whole else begin + end)
    return digest.hexdigest()
