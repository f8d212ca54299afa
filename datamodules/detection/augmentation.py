"""Random changes of training pictures that take the boxes along, drawn as those of all other pictures."""

import copy
import importlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.augmentation import TRIAL_DRAWS, KeyedAugmentation, Transform
from datamodules.detection.objects import ObjectRows, areas
from datamodules.errors import DataError
from datamodules.pictures import Picture
from datamodules.proposals.boxes import SIDES, Boxes

STEPS = 1024.0
"""Per pixel, to which moved boxes are rounded: Albumentations counts in shares of the picture, in single precision, and
whole pixels come back with noise."""
NOISE = 1e-6  # of a share
THINNEST = 2 / STEPS  # pixels of a side that rounding leaves above 0
NUMBER = SIDES  # the column of a box's row that says which it is; Albumentations carries it along


class Drop(StrEnum):
    """Why an object is dropped."""

    OUTSIDE = "outside"  # too little of it, or nothing, is left in the picture
    TINY = "tiny"  # what is left is too small
    INVALID = "invalid"  # a transform made no box of it
    HIDDEN = "hidden"  # a transform covered it, as CoarseDropout does


class Sample(NamedTuple):
    """A picture `(H, W, C)`, its objects, its proposals `(P, 4)`, and how many objects were dropped, by `Drop`."""

    picture: Picture
    objects: ObjectRows
    proposals: Boxes
    dropped: Mapping[str, int]


class BoxAugmentation(KeyedAugmentation):
    """A sequence of Albumentations transforms of pictures with boxes; their draws depend on (seed, epoch, index) alone.

    Each transform may change the size of the picture. After each, boxes are cut off at the border, and of what then is
    no object any more, the object is dropped: of several cuts it counts what they leave together. The shapes and names
    of objects stay as they were, in type and value: classes do not pass through Albumentations, which would make floats
    of them. Proposals are cut off as objects are, and dropped only where less than `min_area` is left.

    Args:
        transforms: applied one after the other; none leaves samples as they are.
        seed: of the draws.
        min_area: square pixels that must be left of an object's box.
        min_visibility: share of an object's box that must be left.

    Raises:
        DataError: a transform has an unknown argument, or cannot be written down for the record.
    """

    def __init__(
        self, transforms: Sequence[Transform], *, seed: int, min_area: float = 1.0, min_visibility: float = 0.25
    ) -> None:
        # Each composition writes into its transforms whom they ask about boxes: one's own are nobody else's.
        super().__init__(copy.deepcopy(list(transforms)), seed=seed)
        self._min_area = min_area
        self._min_visibility = min_visibility
        self._moves = False
        self._visible: NDArray[np.float64] = np.empty(0)
        self._objects = 0
        self._dropped: Counter[str] = Counter()
        if not self._transforms:
            return
        albumentations = importlib.import_module("albumentations")
        # Where only pixels change, Albumentations warns of boxes that nothing moves.
        self._moves = any(isinstance(one, albumentations.DualTransform) for one in _single(self._transforms))
        if not self._moves:
            return
        rules = albumentations.BboxParams(
            format="albumentations", min_area=min_area, min_visibility=min_visibility, check_each_transform=True
        )
        self._compose = albumentations.Compose(
            self._transforms, bbox_params=rules, additional_targets={"proposals": "bboxes"}
        )
        # Its own filter judges each cut alone, and says neither which boxes it drops nor why.
        self._compose.processors["bboxes"].filter = self._keep
        self.description = json.loads(json.dumps(albumentations.to_dict(self._compose), default=str))

    def moved(self, sample: Sample, *, epoch: int, index: int) -> Sample:
        """Return a sample changed; the same where no transform applies.

        Raises:
            DataError: a transform cannot be applied to this picture, or changes its channels or its type.
        """
        if not self._transforms:
            return sample
        picture, objects, proposals = sample.picture, sample.objects, sample.proposals
        boxes = np.concatenate([objects.boxes, proposals])
        rows = _rows(boxes, picture)
        self._visible, self._objects, self._dropped = np.ones(len(rows)), len(objects), Counter()
        self._begin(epoch, index)
        self._compose.set_random_state(self._numpy, self._python)
        data = {"bboxes": rows[: len(objects)], "proposals": rows[len(objects) :]} if self._moves else {}
        try:
            changed = self._compose(image=picture, **data)
        except Exception as error:
            size = f"{picture.shape[1]}x{picture.shape[0]} pixels (width x height)"
            raise DataError(f"augmentation: sample {index}, of {size}: {_line(error)}") from error
        if problem := _mismatch(picture, changed["image"]):
            raise DataError(f"augmentation: sample {index}: {problem}")
        if not self._moves:
            return sample._replace(picture=changed["image"])
        kept, own = _boxes(changed["bboxes"], changed["image"])
        left = objects.at(kept)
        # What is left of an object's area is what is left of its box.
        area = left.area * (areas(own) / areas(left.boxes))
        dropped = self._dropped
        dropped[Drop.HIDDEN] += len(objects) - len(kept) - dropped.total()
        return Sample(
            picture=changed["image"],
            objects=replace(left, boxes=own, area=area.astype(np.float32)),
            proposals=_boxes(changed["proposals"], changed["image"])[1],
            dropped={str(reason): count for reason, count in dropped.items() if count},
        )

    def check_on(self, sizes: Sequence[tuple[int, int]], *, channels: int) -> None:
        """Apply the transforms to blank pictures with two boxes and see that they can be.

        Args:
            sizes: height and width of each picture, in pixels.
            channels: of the pictures; they must stay.

        Raises:
            DataError: one line that names the transform that fails.
        """
        for height, width in sizes:
            for draw in range(TRIAL_DRAWS):
                picture = np.full((height, width, channels), 127, dtype=np.uint8)
                whole = np.array([[0, 0, width, height], [width / 4, height / 4, width / 2, height / 2]])
                rows = _rows(whole, picture)
                data: dict[str, Any] = {"image": picture}
                if self._moves:
                    data |= {"bboxes": rows, "proposals": rows.copy()}
                self._visible, self._objects, self._dropped = np.ones(len(rows)), len(rows), Counter()
                self._begin(-1, draw)
                for position, transform in enumerate(self._transforms):
                    before = data["image"]
                    self._compose.set_random_state(self._numpy, self._python)
                    try:
                        # The first trial applies even what is rarely applied.
                        data = transform(**data, force_apply=draw == 0)
                    except Exception as error:
                        size = f"{before.shape[1]}x{before.shape[0]} pixels (width x height)"
                        raise DataError(
                            f"augmentation.transforms[{position}]: {type(transform).__name__} cannot be applied to a "
                            f"picture of {size} with boxes: {_line(error)}"
                        ) from error
                    if problem := _mismatch(before, data["image"]):
                        raise DataError(f"augmentation.transforms[{position}]: {type(transform).__name__}: {problem}")
                    if self._moves:
                        shape = dict(zip(("height", "width"), data["image"].shape, strict=False))
                        data |= {name: self._keep(data[name], shape) for name in ("bboxes", "proposals")}

    def _keep(self, rows: NDArray[np.float64], shape: Mapping[str, int]) -> NDArray[np.float64]:
        """Return the boxes that are left in a picture, cut off at its border; note why the others are not."""
        if not len(rows):
            return np.empty((0, NUMBER + 1))
        shape_sides = np.array([shape["width"], shape["height"]])
        inside = np.clip(rows[:, :SIDES], 0.0, 1.0)
        whole, left = (_shares(boxes) for boxes in (rows[:, :SIDES], inside))
        numbers = rows[:, NUMBER].astype(np.int64)
        valid = np.isfinite(rows).all(axis=1) & (whole > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            self._visible[numbers] *= np.where(valid, left / whole, 0.0)
        objects = numbers < self._objects
        enough = np.where(objects, self._min_visibility, 0.0)
        seen = (self._visible[numbers] >= enough - NOISE) & (left > 0)
        large = left * np.prod(shape_sides) >= self._min_area * (1 - NOISE)
        large &= ((inside[:, 2:] - inside[:, :2]) * shape_sides >= THINNEST).all(axis=1)
        for reason, dropped in (
            (Drop.INVALID, ~valid),
            (Drop.OUTSIDE, valid & ~seen),
            (Drop.TINY, valid & seen & ~large),
        ):
            self._dropped[reason] += int((dropped & objects).sum())
        kept = valid & seen & large
        return np.concatenate([inside[kept], rows[kept, SIDES:]], axis=1)


def _rows(boxes: NDArray[Any], picture: Picture) -> NDArray[np.float64]:
    """Return boxes in shares of their picture, `(n, 5)`, with their number."""
    height, width = picture.shape[:2]
    shares = np.asarray(boxes, dtype=np.float64) / [width, height, width, height]
    return np.column_stack([shares, np.arange(len(boxes))])


def _boxes(rows: NDArray[Any], picture: Picture) -> tuple[NDArray[np.int64], Boxes]:
    """Return the numbers of boxes, `(n,)`, and the boxes in pixels of the picture that they are in now."""
    if not len(rows):
        return np.empty(0, dtype=np.int64), np.empty((0, SIDES), dtype=np.float32)
    table = np.asarray(rows, dtype=np.float64)
    height, width = picture.shape[:2]
    sides = np.rint(table[:, :SIDES] * [width, height, width, height] * STEPS) / STEPS
    return table[:, NUMBER].astype(np.int64), sides.astype(np.float32)


def _shares(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area of each box; 0 where a side is negative, which the area of both would hide."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(np.prod(np.maximum(sides, 0.0), axis=1), dtype=np.float64)


def _single(transforms: Sequence[Transform]) -> Iterator[Transform]:
    for transform in transforms:
        yield from _single(transform.transforms) if hasattr(transform, "transforms") else (transform,)


def _line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _mismatch(before: Picture, after: Picture) -> str | None:
    if getattr(after, "dtype", None) == before.dtype and np.shape(after)[2:] == before.shape[2:]:
        return None
    shape = "x".join(map(str, np.shape(after)))
    return f"turns {before.shape[2]} channels of {before.dtype} into {shape} of {getattr(after, 'dtype', '?')}"
