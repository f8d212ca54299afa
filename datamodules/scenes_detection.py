"""Drawn scenes for detection: where is which shape? Nothing to download."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datamodules.augmentation import Transform
from datamodules.detection.datamodule import DetectionDataModule
from datamodules.detection.objects import ObjectTable
from datamodules.detection.pictures import AnnotatedPictures, PictureRows
from datamodules.detection.scene_objects import scene_objects
from datamodules.detection.spec import check_whole
from datamodules.errors import DataError
from datamodules.scenes.cache import row
from datamodules.scenes.composing import SPLITS, scenes_of
from datamodules.scenes.joined import JoinedStore
from datamodules.splits import Parts

RULE = "shape"
LARGEST_SIZE = 4096


class ScenesDetectionDataModule(DetectionDataModule):
    """Scenes of things that may hide one another in part, `(3, S, S)`; the classes are the shapes in play.

    In every scene one thing is the largest, of each shape in turn; the others are of other shapes, about half its size.

    Args:
        root: folder in whose `scenes/` pictures and objects are kept once drawn; it may be emptied at any time.
        knobs: how hard they are, see `Difficulty`.
        test_knobs: knobs that are different for the test scenes.
        draw_seed: of the scenes; `seed` leaves them as they are.
        train_scenes: how many to train on.
        val_scenes: how many validate.
        test_scenes: how many test.
        image_size: pixels a side; at another size they are the same scenes.
        batch_size: see `DetectionDataModule`, as all that follow.
    """

    name = "scenes_detection"
    channels = 3

    def __init__(  # noqa: PLR0913 - each is a key of the configuration
        self,
        *,
        root: str | Path,
        knobs: Mapping[str, object],
        test_knobs: Mapping[str, object] | None = None,
        draw_seed: int = 0,
        train_scenes: int = 1000,
        val_scenes: int = 200,
        test_scenes: int = 500,
        image_size: int = 96,
        batch_size: int = 16,
        num_workers: int = 0,
        few_samples: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        seed: int = 0,
        min_area: float = 1.0,
        min_visibility: float = 0.25,
        proposals: str | None = None,
        num_proposals: int = 2000,
        augmentation: Sequence[Transform] = (),
    ) -> None:
        super().__init__(
            root=root,
            batch_size=batch_size,
            num_workers=num_workers,
            few_samples=few_samples,
            mean=mean,
            std=std,
            seed=seed,
            min_area=min_area,
            min_visibility=min_visibility,
            proposals=proposals,
            num_proposals=num_proposals,
            augmentation=augmentation,
        )
        if draw_seed < 0:
            raise DataError(f"draw_seed={draw_seed}: must be at least 0")
        check_whole("image_size", image_size, 1, LARGEST_SIZE)
        self.image_size = image_size
        self.scenes = scenes_of(RULE, knobs, test_knobs or {}, seed=draw_seed, image_size=image_size)
        self.counts = dict(zip(SPLITS, (train_scenes, val_scenes, test_scenes), strict=True))
        for split, count in self.counts.items():
            check_whole(f"{split}_scenes", count, 1)

    def load(self) -> AnnotatedPictures:
        """Open pictures and objects, or draw them where they are not there whole.

        Raises:
            DataError: knobs under which no scene is found, or a folder that cannot hold them.
        """
        counts, size = self.counts, self.image_size
        rows = {split: row(self.root, self.scenes[split], count, size) for split, count in counts.items()}
        table = ObjectTable(
            [
                objects
                for split, count in counts.items()
                for objects in scene_objects(self.root, self.scenes[split], count, size, pictures=rows[split].digest)
            ]
        )
        ends = np.cumsum(list(counts.values()))
        train, val, test = (np.arange(end - count, end) for end, count in zip(ends, counts.values(), strict=True))
        content = hashlib.sha256(table.digest.encode())
        for split in SPLITS:
            content.update(f"{self.scenes[split].key}/{counts[split]}/{rows[split].digest}\n".encode())
        return AnnotatedPictures(
            pictures=PictureRows(JoinedStore([drawn.pictures for drawn in rows.values()])),
            objects=table,
            sizes=np.full((len(table), 2), size, dtype=np.int64),
            class_names=self.scenes["train"].class_names,
            parts=Parts(train=train, val=val, test=test),
            digest=content.hexdigest(),
        )
