"""Bringing each channel to mean 0 and standard deviation 1, as measured on the training split."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.errors import DataError
from datamodules.randomness import IndexArray, permutation
from datamodules.storage import PictureStore

MEASURED_PICTURES = 20_000
"""Of a larger training split in files, only this many are measured: the mean is then right to about 0.002."""
CHUNK_PIXELS = 2**20


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, where 0 is black and 1 is white (pixels divided by 255)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Return uint8 pictures `(N, C, H, W)` as normalised float32, on the same device."""
        scale, shift = _scale_and_shift(self, images.device)
        return images.to(torch.float32).mul_(scale).add_(shift)


@functools.lru_cache(maxsize=32)
def _scale_and_shift(normalisation: Normalisation, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the factor and the summand of a uint8 pixel, `(C, 1, 1)` each, once per device."""
    mean = torch.tensor(normalisation.mean, dtype=torch.float64)[:, None, None]
    std = torch.tensor(normalisation.std, dtype=torch.float64)[:, None, None]
    return (1 / (255 * std)).float().to(device), (-mean / std).float().to(device)


def measure(pictures: PictureStore, indices: IndexArray, *, seed: int, sampled: bool) -> Normalisation:
    """Measure the pictures at `indices`, `(n,)`, in one pass with little memory.

    The sums are whole numbers: the result is exact, whatever the order or the size of the chunks.

    Args:
        pictures: the data set.
        indices: its training split.
        seed: of the choice of pictures.
        sampled: measure no more than `MEASURED_PICTURES`.

    Raises:
        DataError: a channel never varies, so that it cannot be normalised.
    """
    if sampled and len(indices) > MEASURED_PICTURES:
        indices = indices[permutation(len(indices), "normalisation", seed)[:MEASURED_PICTURES]]
    first = pictures.read(indices[:1])
    channels, pixels = first.shape[1], first.shape[2] * first.shape[3]
    sums = torch.zeros(2, channels, dtype=torch.float64)
    step = max(CHUNK_PIXELS // pixels, 1)
    for begin in range(0, len(indices), step):
        # Below 2**53, float64 adds whole numbers without rounding.
        values = torch.from_numpy(pictures.read(indices[begin : begin + step])).to(torch.float64)
        sums[0] += values.sum(dim=(0, 2, 3))
        sums[1] += values.square_().sum(dim=(0, 2, 3))
    count = len(indices) * pixels
    totals, squares = ([int(value) for value in row] for row in sums)
    variances = [count * square - total**2 for total, square in zip(totals, squares, strict=True)]
    for channel, (total, variance) in enumerate(zip(totals, variances, strict=True)):
        if variance == 0:
            raise DataError(
                f"std: channel {channel} is {total / count / 255:g} in every pixel of the training split; "
                "give mean and std to normalise it"
            )
    return Normalisation(
        mean=tuple(total / (255 * count) for total in totals),
        std=tuple(math.sqrt(variance) / (255 * count) for variance in variances),
    )


def check_channel_values(key: str, values: Sequence[float], channels: int, *, positive: bool) -> None:
    """Check a mean or a standard deviation that a user gives.

    Raises:
        DataError: not one value per channel, or a value outside [0, 1], or 0 where it must be `positive`.
    """
    if len(values) != channels:
        raise DataError(f"{key}={list(values)}: must have {channels} value(s), one per channel")
    if not all(0 <= value <= 1 and (value > 0 or not positive) for value in values):
        least = "above 0 and at most 1" if positive else "from 0 to 1"
        raise DataError(f"{key}={list(values)}: each value must be {least} (0 is black, 1 is white)")
