"""Where a data set's pictures are kept and how a batch of them is read: from memory or from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.pictures import RGB, fit_channels, fit_square, read_picture
from datamodules.randomness import IndexArray

Pictures = NDArray[np.uint8]

RESIDENT_BYTES = 2**30
"""Pictures in memory are resized once where the result takes no more than this; else whenever they are read."""


class PictureStore(Protocol):
    """A data set's pictures, all of one size."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def read(self, indices: IndexArray) -> Pictures:
        """Return the pictures at `indices`, `(n,)`, as a new array `(n, C, H, W)`."""


class MemoryStore:
    """Pictures that lie in memory.

    Args:
        pictures: `(N, C, H, W)`, square.
        image_size: pixels a side of what is read.
    """

    def __init__(self, pictures: Pictures, image_size: int) -> None:
        self._pictures = pictures
        self._size = image_size
        resized_bytes = pictures.shape[0] * pictures.shape[1] * image_size**2
        if pictures.shape[2] != image_size and resized_bytes <= RESIDENT_BYTES:
            self._pictures = self._resized(pictures)

    def __len__(self) -> int:
        return len(self._pictures)

    def read(self, indices: IndexArray) -> Pictures:
        """Return the pictures at `indices`, `(n,)`, as a new array `(n, C, H, W)`."""
        chosen = self._pictures[indices]
        return chosen if chosen.shape[2] == self._size else self._resized(chosen)

    def _resized(self, pictures: Pictures) -> Pictures:
        resized = np.empty((*pictures.shape[:2], self._size, self._size), dtype=np.uint8)
        for target, picture in zip(resized, pictures, strict=True):
            target[:] = fit_square(picture.transpose(1, 2, 0), self._size).transpose(2, 0, 1)
        return resized


class FileStore:
    """Pictures that are decoded from their files whenever they are read.

    Args:
        files: one per picture.
        image_size: pixels a side of what is read: the centred square of the picture.
    """

    def __init__(self, files: Sequence[Path], image_size: int) -> None:
        self._files = files
        self._size = image_size

    def __len__(self) -> int:
        return len(self._files)

    def read(self, indices: IndexArray) -> Pictures:
        """Return the pictures at `indices`, `(n,)`, as a new RGB array `(n, 3, H, W)`.

        Raises:
            DataError: a file cannot be decoded.
        """
        pictures = np.empty((len(indices), RGB, self._size, self._size), dtype=np.uint8)
        for target, index in zip(pictures, indices, strict=True):
            picture = fit_channels(read_picture(self._files[index]), RGB)
            target[:] = fit_square(picture, self._size).transpose(2, 0, 1)
        return pictures


def named_folder(root: str | Path) -> Path:
    """Return `root` as a path.

    Raises:
        DataError: an empty text, which would mean the current folder.
    """
    if not str(root).strip():
        raise DataError(f"root={str(root)!r}: must name a folder; the current one is '.'")
    return Path(root)


def check_folder(root: Path, *expected: str) -> None:
    """Refuse what is no folder to read a data set from.

    Args:
        root: the folder.
        expected: what lies in it, for the error.

    Raises:
        DataError: it does not exist, or is a file.
    """
    if not root.is_dir():
        layouts = " or ".join(f"{root}/{layout}" for layout in expected)
        problem = "is a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"root={root}: {problem} (expected: {layouts})")
