"""How well a detector finds objects: VOC's and COCO's average precision, its curves, and the kinds of its errors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_modules.coco_average_precision import CocoScores, coco_scores
from lightning_modules.detection_errors import DetectionErrors, detection_errors
from lightning_modules.detection_matching import match
from lightning_modules.detections import Objects, Picture, checked
from lightning_modules.networks.boxes import Detections
from lightning_modules.voc_average_precision import VocScores, mean, voc_scores


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """What a detector reaches on a split, from 0 to 1, as the detection literature's formulas have it.

    Attributes:
        pictures: how many there are.
        objects: K, how many of each class there are to find: neither difficult nor crowds.
        voc: average precision at an overlap of 0.5, with its curves of precision and recall.
        coco: average precision and recall at overlaps from 0.5 to 0.95.
        errors: what the false detections are.
    """

    pictures: int
    objects: tuple[int, ...]
    voc: VocScores
    coco: CocoScores
    errors: DetectionErrors

    @property
    def classes_without_objects(self) -> tuple[int, ...]:
        """The classes whose average precision is nan, which no mean includes."""
        return tuple(label for label, count in enumerate(self.objects) if not count)

    def numbers(self) -> dict[str, float]:
        """Return the means over the classes, for a record; those that are no number, for want of objects, are left out.

        `map50` is VOC's area, `map50_11_points` that of VOC 2007; what begins with `coco_` is COCO's.
        """
        coco = {f"coco_{name}": value for name, value in vars(self.coco).items() if not name.endswith("_per_class")}
        values = {"map50": mean(self.voc.area), "map50_11_points": mean(self.voc.eleven_points), **coco}
        return {name: value for name, value in values.items() if not math.isnan(value)}


class AveragePrecision:
    """Gathers a split's detections, picture by picture, until all are there to be ranked.

    A picture counts once, however often it comes: of processes that pad their shares, and of loaders that repeat. It is
    held on the CPU; objects of this class can be sent between processes and merged.

    Args:
        num_classes: K, without a background.

    Attributes:
        pictures: what was taken, by the picture's id.

    Raises:
        ValueError: `num_classes` below 1.
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes={num_classes}: must be at least 1")
        self.num_classes = num_classes
        self.pictures: dict[int, Picture] = {}

    def reset(self) -> None:
        """Forget what was gathered."""
        self.pictures = {}

    def update(self, picture_ids: Sequence[int], detections: Sequence[Detections], objects: Sequence[Objects]) -> None:
        """Take a batch of B pictures; of a picture that was already taken, the first detections stay.

        Args:
            picture_ids: B, the same in every process.
            detections: B.
            objects: B.

        Raises:
            ValueError: not B of each; as `checked`; or a picture that was already taken, with other objects. Nothing of
                the batch is taken then.
        """
        if not len(picture_ids) == len(detections) == len(objects):
            raise ValueError(
                f"{len(picture_ids)} picture ids, {len(detections)} detections, {len(objects)} objects: "
                "must be one of each per picture"
            )
        batch = AveragePrecision(self.num_classes)
        for picture_id, found, true in zip(picture_ids, detections, objects, strict=True):
            batch._take(int(picture_id), checked(int(picture_id), found, true, self.num_classes))
        self.merge(batch)

    def merge(self, other: "AveragePrecision") -> None:
        """Take the pictures of `other`, of another process; those that both have count once.

        Raises:
            ValueError: other classes, or a picture that has other objects there; nothing is taken then.
        """
        if other.num_classes != self.num_classes:
            raise ValueError(
                f"num_classes={other.num_classes}: must be {self.num_classes}, as of what it is merged with"
            )
        for picture_id, picture in other.pictures.items():
            self._check(picture_id, picture)
        self.pictures = other.pictures | self.pictures

    def compute(self) -> DetectionScores:
        """Return what the detector reaches on the pictures so far; with none of them every mean is nan."""
        pictures = dict(sorted(self.pictures.items()))
        matches = match(list(pictures.values()), self.num_classes)
        return DetectionScores(
            pictures=len(pictures),
            objects=tuple(int(count) for count in matches.objects),
            voc=voc_scores(matches),
            coco=coco_scores(pictures, self.num_classes),
            errors=detection_errors(matches),
        )

    def _take(self, picture_id: int, picture: Picture) -> None:
        self._check(picture_id, picture)
        self.pictures.setdefault(picture_id, picture)

    def _check(self, picture_id: int, picture: Picture) -> None:
        taken = self.pictures.get(picture_id)
        if taken is not None and not taken.truth.same(picture.truth):
            raise ValueError(f"picture {picture_id}: taken twice, with other objects; every picture needs its own id")
