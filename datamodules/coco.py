"""COCO's photographs, or any data set of its layout: everyday objects in their context (Lin et al. 2014)."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.augmentation import Transform
from datamodules.detection.coco_json import read_instances
from datamodules.detection.datamodule import DetectionDataModule
from datamodules.detection.listing import ListedPicture, joined, named_sets
from datamodules.detection.pictures import AnnotatedPictures
from datamodules.errors import DataError


class COCODataModule(DetectionDataModule):
    """Photographs of `root/folder/<set>/`, `(3, H, W)`, with the objects of `annotations/instances_<set>.json`.

    Boxes, x, y, width and height in the file, become x1 y1 x2 y2. Category ids, of which COCO uses 80 from 1 to 90,
    become labels 0, 1, … in their order; the names come with them. Crowds stay, marked as such.

    Args:
        root: folder of the data.
        folder: the data set's folder in it.
        train_set: to train on.
        val_set: validates; `None`: `val_fraction` of the training set does.
        test_set: tests; `None`: a fifth of the training set does. COCO's own test sets have no annotations.
        batch_size: see `DetectionDataModule`, as all that follow.
    """

    name = "coco"
    channels = 3

    def __init__(  # noqa: PLR0913 - each is a key of the configuration
        self,
        *,
        root: str | Path,
        folder: str = "coco",
        train_set: str = "train2017",
        val_set: str | None = None,
        test_set: str | None = "val2017",
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
        super().__init__(
            root=root,
            batch_size=batch_size,
            num_workers=num_workers,
            val_fraction=val_fraction,
            few_samples=few_samples,
            mean=mean,
            std=std,
            seed=seed,
            strict=strict,
            min_area=min_area,
            min_visibility=min_visibility,
            proposals=proposals,
            num_proposals=num_proposals,
            augmentation=augmentation,
        )
        self.folder = self.root / folder
        self.sets = named_sets(train_set, val_set, test_set)

    def load(self) -> AnnotatedPictures:
        """Read the files of instances and look for the pictures.

        Raises:
            DataError: as `DetectionDataModule.setup`; sets with other classes than the training set's.
        """
        if not self.folder.is_dir():
            train = self.sets["train"]
            raise DataError(
                f"folder={self.folder}: no such folder; expected: annotations/instances_{train}.json and {train}/ in it"
            )
        listed: dict[str, list[ListedPicture]] = {}
        categories: dict[int, str] = {}
        for part, name in self.sets.items():
            path = self.folder / "annotations" / f"instances_{name}.json"
            found = read_instances(path, self.folder / name, self.problems)
            categories = categories or found.categories
            if found.categories != categories:
                number, other = min(set(found.categories.items()) ^ set(categories.items()))
                raise DataError(f"{path}: category {number} ({other}): not the same as in {self.sets['train']}")
            listed[part] = found.pictures
        return joined(listed, root=self.folder, class_names=list(categories.values()), problems=self.problems)
