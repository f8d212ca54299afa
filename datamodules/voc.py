"""PASCAL VOC, or any data set of its layout: photographs with objects of 20 classes (Everingham et al. 2010)."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.augmentation import Transform
from datamodules.detection.datamodule import DetectionDataModule
from datamodules.detection.listing import joined, named_sets
from datamodules.detection.pictures import AnnotatedPictures
from datamodules.detection.voc_xml import Devkit
from datamodules.errors import DataError

CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


class VOCDataModule(DetectionDataModule):
    """Photographs of `root/folder/JPEGImages/`, `(3, H, W)`, with the objects of `Annotations/`.

    VOC counts pixels from 1 and names the last one in a box, `xmax`; here boxes count from 0 and end before x2:
    x1 = xmin − 1, y1 = ymin − 1, x2 = xmax, y2 = ymax. Objects that VOC calls difficult stay, marked as such.

    Args:
        root: folder of the data.
        folder: the data set's folder in it.
        train_set: to train on, of `ImageSets/Main/`.
        val_set: validates; `None`: `val_fraction` of the training set does.
        test_set: tests; `None`: a fifth of the training set does. VOC2007 alone has published annotations of `test`.
        classes: names of the classes; `None`: VOC's 20.
        batch_size: see `DetectionDataModule`, as all that follow.
    """

    name = "voc"
    channels = 3

    def __init__(  # noqa: PLR0913 - each is a key of the configuration
        self,
        *,
        root: str | Path,
        folder: str = "VOCdevkit/VOC2007",
        train_set: str = "train",
        val_set: str | None = "val",
        test_set: str | None = "test",
        classes: Sequence[str] | None = None,
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
        self.classes = tuple(CLASSES if classes is None else classes)
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise DataError(f"classes={list(self.classes)}: must be different names, at least one")

    def load(self) -> AnnotatedPictures:
        """Read the sets and the objects of their pictures, and look for these.

        Raises:
            DataError: as `DetectionDataModule.setup`.
        """
        if not self.folder.is_dir():
            raise DataError(
                f"folder={self.folder}: no such folder; expected: ImageSets/Main/, Annotations/ and JPEGImages/ in it"
            )
        devkit = Devkit(self.folder, self.classes, self.problems)
        listed = {part: devkit.listed(name) for part, name in self.sets.items()}
        return joined(listed, root=self.folder, class_names=self.classes, problems=self.problems)
