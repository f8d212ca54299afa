"""What a detector says of a picture and what is in it: checked, as numbers of 64 bits; and how much boxes overlap."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.networks.boxes import Detections

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Objects(TypedDict):
    """What is in one picture.

    `boxes`: float `(M, 4)` and `labels`: int64 `(M,)`, as those of `Detections`. `crowd`: bool `(M,)`, regions of many
    objects that nobody told apart (COCO); none where missing. `difficult`: bool `(M,)`, objects that need not be found
    (VOC); none where missing. `area`: float `(M,)`, square pixels of the object by which COCO calls it small, medium or
    large; that of its box where missing.
    """

    boxes: Tensor
    labels: Tensor
    crowd: NotRequired[Tensor]
    difficult: NotRequired[Tensor]
    area: NotRequired[Tensor]


@dataclass(frozen=True, eq=False)
class Truth:
    """The M objects of one picture: as `Objects`, of nothing missing."""

    boxes: Floats
    labels: Integers
    crowd: Flags
    difficult: Flags
    area: Floats

    def same(self, other: "Truth") -> bool:
        """Whether these are the objects of `other`, to the bit."""
        return all(np.array_equal(value, getattr(other, name)) for name, value in vars(self).items())


@dataclass(frozen=True, eq=False)
class Picture:
    """The N detections in one picture, and its objects."""

    boxes: Floats
    scores: Floats
    labels: Integers
    truth: Truth


def checked(picture: int, detections: Detections, objects: Objects, num_classes: int) -> Picture:
    """Return copies on the CPU.

    Args:
        picture: its id, for the error.
        detections: of the detector.
        objects: of the picture.
        num_classes: K.

    Raises:
        ValueError: another shape; a box without an area, or with a side that is no finite number; a label outside
            `0 … num_classes - 1`; a score or an area that is no finite number; an area below 0. The error names the
            picture and which of its detections or objects.
    """
    found = _Given(f"picture {picture}, detection", detections)
    true = _Given(f"picture {picture}, object", objects)
    boxes = true.boxes()
    return Picture(
        boxes=found.boxes(),
        scores=found.numbers("scores"),
        labels=found.labels(num_classes),
        truth=Truth(
            boxes=boxes,
            labels=true.labels(num_classes),
            crowd=true.flags("crowd"),
            difficult=true.flags("difficult"),
            area=true.numbers("area", lowest=0.0) if "area" in objects else _area(boxes),
        ),
    )


def overlaps(boxes: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Return the intersection of each of N boxes with each of M others, `(N, M)`: over their union, over the box."""
    upper_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    lower_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = np.prod(np.maximum(lower_right - upper_left, 0.0), axis=2)
    own = _area(boxes)[:, None]
    return both / (own + _area(others)[None, :] - both), both / own


def _area(boxes: Floats) -> Floats:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


class _Given:
    """The tensors of one picture's detections or objects; `what` begins each error."""

    def __init__(self, what: str, tensors: Mapping[str, Any]) -> None:
        self.what = what
        self.tensors = tensors
        self.count = len(tensors["boxes"]) if tensors["boxes"].ndim else 0

    def boxes(self) -> Floats:
        boxes = self._array("boxes", (self.count, 4), "x1 y1 x2 y2").astype(np.float64)
        # Also where a side is no number: it is not less than anything.
        whole = np.concatenate([boxes[:, :2] < boxes[:, 2:], np.isfinite(boxes)], axis=1)
        broken = np.asarray(~whole.all(axis=1), dtype=np.bool_)
        said = [f"({', '.join(f'{side:g}' for side in box)})" for box in boxes[broken][:1]]
        self._refuse(broken, "box", said, "must be x1 < x2 and y1 < y2, all finite")
        return boxes

    def labels(self, num_classes: int) -> Integers:
        given = self.tensors["labels"]
        labels = self._array("labels", (self.count,), "one per box")
        if given.is_floating_point() or given.is_complex():
            raise ValueError(f"{self.what}s: labels of {given.dtype}: must be integers")
        broken = (labels < 0) | (labels >= num_classes)
        self._refuse(broken, "label", labels[broken][:1].tolist(), f"must be from 0 to {num_classes - 1}")
        return labels.astype(np.int64)

    def numbers(self, name: str, *, lowest: float = -np.inf) -> Floats:
        numbers = self._array(name, (self.count,), "one per box").astype(np.float64)
        broken = ~np.isfinite(numbers) | (numbers < lowest)
        allowed = "must be finite" if lowest == -np.inf else f"must be finite and at least {lowest:g}"
        self._refuse(broken, name.removesuffix("s"), numbers[broken][:1].tolist(), allowed)
        return numbers

    def flags(self, name: str) -> Flags:
        if name not in self.tensors:
            return np.zeros(self.count, dtype=np.bool_)
        return self._array(name, (self.count,), "one per box").astype(np.bool_)

    def _array(self, name: str, shape: tuple[int, ...], meaning: str) -> NDArray[Any]:
        given = self.tensors[name]
        # A picture without objects is often said to have boxes of shape (0,).
        if not given.numel() and not self.count:
            return np.zeros(shape)
        if given.shape != shape:
            asked = "(N, 4)" if len(shape) > 1 else f"({self.count},)"
            raise ValueError(f"{self.what}s: {name} of shape {tuple(given.shape)}: must be {asked}, {meaning}")
        values = given.detach().cpu()
        # numpy has no floats of 8 bits, nor bfloat16.
        return np.array((values.double() if values.is_floating_point() else values).numpy())

    def _refuse(self, broken: Flags, name: str, said: list[Any], allowed: str) -> None:
        if broken.any():
            raise ValueError(f"{self.what} {int(broken.argmax())}: {name} {said[0]}: {allowed}")
