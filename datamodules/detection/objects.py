"""The objects of pictures: of one picture as tensors, of a data set as one table."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.proposals.boxes import SIDES, Boxes
from datamodules.randomness import IndexArray


class Objects(TypedDict):
    """The M objects of one picture; M may be 0.

    `boxes`: float32 `(M, 4)`, x1 y1 x2 y2 in pixels from the upper left corner, x2 and y2 exclusive. `labels`: int64
    `(M,)`, in `0 … num_classes - 1`; the background is no class. `crowd`: bool `(M,)`, regions of many objects that
    nobody told apart (COCO). `difficult`: bool `(M,)`, objects that need not be found (VOC). `area`: float32 `(M,)`,
    square pixels of the object, which its box may exceed (COCO); else those of its box.
    """

    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    difficult: Tensor
    area: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class ObjectRows:
    """M objects, fields and shapes as those of `Objects`, in NumPy."""

    boxes: Boxes
    labels: IndexArray
    crowd: NDArray[np.bool_]
    difficult: NDArray[np.bool_]
    area: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        boxes: Any,  # noqa: ANN401 - whatever NumPy takes, as all that follow
        labels: Any,  # noqa: ANN401
        *,
        crowd: Any = None,  # noqa: ANN401
        difficult: Any = None,  # noqa: ANN401
        area: Any = None,  # noqa: ANN401
    ) -> Self:
        """Take M objects; nothing is crowd or difficult, and areas are those of the boxes, where nothing is said."""
        rows = np.asarray(boxes, dtype=np.float32).reshape(-1, SIDES)
        none = np.zeros(len(rows), dtype=np.bool_)
        return cls(
            boxes=rows,
            labels=np.asarray(labels, dtype=np.int64),
            crowd=none if crowd is None else np.asarray(crowd, dtype=np.bool_),
            difficult=none.copy() if difficult is None else np.asarray(difficult, dtype=np.bool_),
            area=areas(rows) if area is None else np.asarray(area, dtype=np.float32),
        )

    @classmethod
    def joined(cls, parts: Iterable["ObjectRows"]) -> Self:
        """Return the objects of all `parts`, one after the other."""
        whole = [cls.of([], []), *parts]
        return cls(*(np.concatenate([getattr(part, field.name) for part in whole]) for field in fields(cls)))

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Any) -> "ObjectRows":  # noqa: ANN401 - a slice or an index of NumPy
        """Return those objects only."""
        return ObjectRows(*(getattr(self, field.name)[rows] for field in fields(self)))

    def tensors(self) -> Objects:
        """Return copies as tensors."""
        return {
            "boxes": torch.from_numpy(self.boxes.copy()),
            "labels": torch.from_numpy(self.labels.copy()),
            "crowd": torch.from_numpy(self.crowd.copy()),
            "difficult": torch.from_numpy(self.difficult.copy()),
            "area": torch.from_numpy(self.area.copy()),
        }


class ObjectTable:
    """The objects of N pictures in a few arrays, which worker processes share and small objects would have copied.

    Args:
        pictures: the objects of each picture, in order.
    """

    def __init__(self, pictures: Sequence[ObjectRows]) -> None:
        self.rows = ObjectRows.joined(pictures)
        self._ends = np.cumsum([0, *(len(rows) for rows in pictures)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def of(self, index: int) -> ObjectRows:
        """Return the objects of one picture, not copied."""
        return self.rows.at(slice(self._ends[index], self._ends[index + 1]))

    @property
    def digest(self) -> str:
        """SHA-256 of all objects and of whose they are, in hexadecimal."""
        content = hashlib.sha256(self._ends.astype("<i8").tobytes())
        for field in fields(ObjectRows):
            values = np.ascontiguousarray(getattr(self.rows, field.name))
            content.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
        return content.hexdigest()


def areas(boxes: Boxes) -> NDArray[np.float32]:
    """Return the square pixels of boxes `(M, 4)`, `(M,)`."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), dtype=np.float32)
