"""Scenes for classification: drawn once, kept in a folder, read from there as any other pictures."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datamodules.augmentation import Transform
from datamodules.classification import ClassificationDataModule, LabelledPictures
from datamodules.errors import DataError
from datamodules.scenes.cache import row
from datamodules.scenes.composing import SPLITS, scenes_of
from datamodules.scenes.joined import JoinedStore
from datamodules.splits import Parts
from datamodules.storage import named_folder


class ScenesDataModule(ClassificationDataModule):
    """Scenes under one rule, `(N, 3, H, W)`; every class has as many as any other, or one more.

    Args:
        root: folder in whose `scenes/` the pictures are kept once they are drawn; it may be emptied at any time.
        rule: what is asked, of `RULES`.
        knobs: how hard it is, see `Difficulty`.
        test_knobs: knobs that are different for the test scenes.
        draw_seed: of the scenes; `seed` leaves them as they are.
        train_scenes: how many to train on.
        val_scenes: how many validate.
        test_scenes: how many test.
        image_size: pixels a side; at another size they are the same scenes.
        batch_size: see `ClassificationDataModule`, as all that follow.
    """

    name = "scenes"
    channels = 3

    def __init__(  # noqa: PLR0913 - each is a key of the configuration
        self,
        *,
        root: str | Path,
        rule: str = "shape",
        knobs: Mapping[str, object],
        test_knobs: Mapping[str, object] | None = None,
        draw_seed: int = 0,
        train_scenes: int = 4000,
        val_scenes: int = 1000,
        test_scenes: int = 2000,
        image_size: int = 32,
        batch_size: int = 128,
        num_workers: int = 0,
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
            few_samples=few_samples,
            mean=mean,
            std=std,
            seed=seed,
            augmentation=augmentation,
        )
        self.root = named_folder(root)
        if draw_seed < 0:
            raise DataError(f"draw_seed={draw_seed}: must be at least 0")
        self.scenes = scenes_of(rule, knobs, test_knobs or {}, seed=draw_seed, image_size=image_size)
        self.counts = dict(zip(SPLITS, (train_scenes, val_scenes, test_scenes), strict=True))
        self.class_names = self.scenes["train"].class_names
        for split, count in self.counts.items():
            if count < len(self.class_names):
                raise DataError(f"{split}_scenes={count}: must be at least {len(self.class_names)}, one of each class")

    def load(self) -> LabelledPictures:
        """Open the pictures, or draw them where they are not there whole.

        Raises:
            DataError: knobs under which no scene is found, or a folder that cannot hold them.
        """
        rows = [row(self.root, self.scenes[split], count, self.image_size) for split, count in self.counts.items()]
        labels = [[self.scenes[split].label(index) for index in range(n)] for split, n in self.counts.items()]
        ends = np.cumsum(list(self.counts.values()))
        train, val, test = (np.arange(end - n, end) for end, n in zip(ends, self.counts.values(), strict=True))
        content = hashlib.sha256()
        for split, drawn in zip(SPLITS, rows, strict=True):
            content.update(f"{self.scenes[split].key}/{self.counts[split]}/{drawn.digest}\n".encode())
        return LabelledPictures(
            pictures=JoinedStore([drawn.pictures for drawn in rows]),
            labels=np.concatenate(labels).astype(np.int64),
            class_names=self.class_names,
            parts=Parts(train=train, val=val, test=test),
            digest=content.hexdigest(),
        )
