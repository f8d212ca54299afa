"""A data set of pictures of any size with their objects: where its pictures are read from, and what they measure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from datamodules.detection.objects import ObjectTable
from datamodules.errors import DataError
from datamodules.normalisation import MEASURED_PICTURES, Normalisation
from datamodules.picture_files import END_BYTES
from datamodules.pictures import RGB, Picture, check_ends, fit_channels, read_picture
from datamodules.randomness import IndexArray, permutation
from datamodules.splits import Parts
from datamodules.storage import PictureStore

LEVELS = 256


class PictureSource(Protocol):
    """A data set's pictures, of one size or of many."""

    def read(self, index: int) -> Picture:
        """Return a picture of one's own, `(H, W, C)`.

        Raises:
            DataError: it cannot be decoded.
        """


@dataclass(frozen=True, eq=False)
class AnnotatedPictures:
    """A data set as loaded: N pictures, training and test pictures under one row of indices.

    `sizes` is int64 `(N, 2)`, height and width of each in pixels; `digest` the SHA-256 of all pictures, objects, class
    names and parts, in hexadecimal.
    """

    pictures: PictureSource
    objects: ObjectTable
    sizes: IndexArray
    class_names: tuple[str, ...]
    parts: Parts
    digest: str


class PictureFiles:
    """Pictures that are decoded from their files whenever they are read.

    Args:
        files: one per picture.
        sizes: height and width of each, as those who drew its boxes saw it.
    """

    def __init__(self, files: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> None:
        self._files = files
        self._sizes = sizes

    def read(self, index: int) -> Picture:
        """Return a picture in RGB, `(H, W, 3)`.

        Raises:
            DataError: it cannot be decoded, or is of another size than its boxes were drawn on.
        """
        return _decoded(self._files[index], *self._sizes[index])


class PictureRows:
    """Pictures of one size that lie in memory or are mapped into it.

    Args:
        store: reads them, `(N, C, H, W)`.
    """

    def __init__(self, store: PictureStore) -> None:
        self._store = store

    def read(self, index: int) -> Picture:
        """Return a picture of one's own, `(H, W, C)`."""
        return np.ascontiguousarray(self._store.read(np.array([index]))[0].transpose(1, 2, 0))


def damage(path: Path, height: int, width: int) -> str | None:
    """Say what is wrong with a picture file, decoding it; `None`: nothing is."""
    try:
        with path.open("rb") as file:
            begin = file.read(END_BYTES)
            file.seek(max(path.stat().st_size - END_BYTES, 0))
            if problem := check_ends(begin, file.read()):
                return f"{path}: {problem}"
        _decoded(path, height, width)
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror})"
    except DataError as error:
        return str(error)
    return None


def normalised_by(
    pictures: PictureSource,
    indices: IndexArray,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    channels: int,
    seed: int,
) -> Normalisation:
    """Return mean and standard deviation of each channel; what is not given is measured, each by itself.

    All pixels of the pictures at `indices`, `(n,)`, of `MEASURED_PICTURES` at most, weigh the same. Levels are counted:
    the result is exact, whatever the order.

    Raises:
        DataError: a channel never varies, so that it cannot be normalised, or a picture cannot be decoded.
    """
    if mean is not None and std is not None:
        return Normalisation(tuple(map(float, mean)), tuple(map(float, std)))
    if len(indices) > MEASURED_PICTURES:
        indices = indices[permutation(len(indices), "normalisation", seed)[:MEASURED_PICTURES]]
    counts = np.zeros((channels, LEVELS), dtype=np.int64)
    for index in indices.tolist():
        picture = pictures.read(index)
        for channel in range(channels):
            counts[channel] += np.bincount(picture[:, :, channel].ravel(), minlength=LEVELS)
    moments = [_moments(channel, counts[channel]) for channel in range(channels)]
    return Normalisation(
        mean=tuple(one for one, _ in moments) if mean is None else tuple(map(float, mean)),
        std=tuple(one for _, one in moments) if std is None else tuple(map(float, std)),
    )


def _moments(channel: int, counts: NDArray[np.int64]) -> tuple[float, float]:
    # Whole numbers of Python: no sum is too large.
    levels = [(level, int(count)) for level, count in enumerate(counts)]
    count = sum(often for _, often in levels)
    total = sum(level * often for level, often in levels)
    variance = count * sum(level**2 * often for level, often in levels) - total**2
    if variance == 0:
        raise DataError(
            f"std: channel {channel} is {total / count / 255:g} in every pixel of the training split; "
            "give mean and std to normalise it"
        )
    return total / (255 * count), math.sqrt(variance) / (255 * count)


def _decoded(path: Path, height: int, width: int) -> Picture:
    picture = fit_channels(read_picture(path), RGB)
    if picture.shape[:2] != (height, width):
        found = f"{picture.shape[1]}x{picture.shape[0]}"
        raise DataError(f"{path}: {found} pixels (width x height); its boxes were drawn on {width}x{height}")
    return picture
