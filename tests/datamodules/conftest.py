"""Small data for the tests of this room, and how its batches are compared."""

import hashlib
from collections.abc import Callable, Iterable

import albumentations
import pytest

from datamodules.loading import ClassificationBatch

Trail = list[tuple[int, str]]


@pytest.fixture
def transforms() -> list[albumentations.BasicTransform]:
    """Transforms that draw from NumPy's generator, from Python's and, seeded by it, from OpenCV's."""
    return [
        albumentations.HorizontalFlip(p=0.5),
        albumentations.CropAndPad(percent=0.125, keep_size=False),
        albumentations.RandomCrop(height=8, width=8),
        albumentations.RandomBrightnessContrast(p=0.5),
        albumentations.GaussNoise(p=1.0),
    ]


@pytest.fixture
def trail() -> Callable[[Iterable[ClassificationBatch]], list[Trail]]:
    """Batches as lists of (index, digest of the picture): equal trails are equal batches, image by image."""

    def follow(batches: Iterable[ClassificationBatch]) -> list[Trail]:
        return [
            [
                (int(index), hashlib.sha256(image.numpy().tobytes()).hexdigest())
                for index, image in zip(batch["index"], batch["image"], strict=True)
            ]
            for batch in batches
        ]

    return follow
