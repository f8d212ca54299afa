"""Pictures as a file lists them: every one looked at, every box checked, and joined to a data set."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.detection.objects import ObjectRows, ObjectTable
from datamodules.detection.pictures import AnnotatedPictures, PictureFiles, damage
from datamodules.detection.problems import Problem, Problems
from datamodules.errors import DataError
from datamodules.picture_files import content_digest
from datamodules.proposals.boxes import SIDES
from datamodules.splits import Parts

BEYOND = 1.0
"""Pixels that a box may reach beyond its picture: COCO's sides are rounded, and some VOC boxes begin at 0, not at 1."""


class ListedObject(NamedTuple):
    """An object as its file tells it; `box` as in `Objects`, of any four numbers.

    `name` says where it stands, `said` how its box is written there, `area` is that of its box where `None`.
    """

    name: str
    said: str
    box: tuple[float, float, float, float]
    label: int
    crowd: bool = False
    difficult: bool = False
    area: float | None = None


@dataclass(frozen=True, eq=False, slots=True)
class ListedPicture:
    """A picture as a file lists it: where it lies, its size in pixels, its objects, and in which `source` it stands."""

    file: Path
    height: int
    width: int
    objects: Iterable[ListedObject]
    source: str


def named_sets(train: str, val: str | None, test: str | None) -> dict[str, str]:
    """Return the sets that are there, by the part they are used for.

    Raises:
        DataError: one of them twice: what is trained on would be tested.
    """
    sets = {part: name for part, name in (("train", train), ("val", val), ("test", test)) if name is not None}
    for part, name in sets.items():
        if (first := next(other for other in sets if sets[other] == name)) != part:
            raise DataError(f"{part}_set={name}: is the {first}_set already")
    return sets


def joined(
    listed: Mapping[str, Sequence[ListedPicture]],
    *,
    root: Path,
    class_names: Sequence[str],
    problems: Problems,
) -> AnnotatedPictures:
    """Return the pictures of all parts, and their objects, as one data set.

    Where what is wrong is left out, every picture is decoded once, so that it is known beforehand which can be.

    Args:
        listed: the pictures of `train` and, where the data set says so, of `val` and `test`.
        root: the folder that all pictures lie in.
        class_names: of labels 0, 1, ….
        problems: refuses or counts what is wrong.

    Raises:
        DataError: a picture that is missing or broken, or a box that is; a part without pictures.
    """
    files: list[Path] = []
    sizes: list[tuple[int, int]] = []
    objects: list[ObjectRows] = []
    parts: dict[str, range] = {}
    for part, pictures in listed.items():
        begin = len(files)
        for picture in pictures:
            if not _usable(picture, problems):
                continue
            files.append(picture.file)
            sizes.append((picture.height, picture.width))
            objects.append(_sound(picture, problems))
        parts[part] = range(begin, len(files))
        if begin == len(files):
            raise DataError(f"{root}: no picture of the {part} part is left")
    table = ObjectTable(objects)
    content = hashlib.sha256("\0".join(class_names).encode())
    content.update(f"{content_digest(files, root)}/{table.digest}/{parts}".encode())
    rows = {part: np.arange(places.start, places.stop, dtype=np.int64) for part, places in parts.items()}
    return AnnotatedPictures(
        pictures=PictureFiles(files, sizes),
        objects=table,
        sizes=np.asarray(sizes, dtype=np.int64),
        class_names=tuple(class_names),
        parts=Parts(train=rows["train"], val=rows.get("val"), test=rows.get("test")),
        digest=content.hexdigest(),
    )


def _usable(picture: ListedPicture, problems: Problems) -> bool:
    if not picture.file.is_file():
        kind = "not a regular file" if picture.file.exists() else "no such file"
        problems.found(Problem.MISSING_PICTURE, f"{picture.file}: {kind}; {picture.source} lists it")
        return False
    # Those that must all be sound are looked at from outside by their digest, and decoded when they are needed.
    if not problems.strict and (problem := damage(picture.file, picture.height, picture.width)):
        problems.found(Problem.BROKEN_PICTURE, problem)
        return False
    return True


def _sound(picture: ListedPicture, problems: Problems) -> ObjectRows:
    """Return the objects that have a box in their picture, cut off at its border."""
    kept: list[ListedObject] = []
    boxes: list[list[float]] = []
    border = (picture.width, picture.height) * 2
    for one in picture.objects:
        x1, y1, x2, y2 = one.box
        # Also where a side is no number: it is not less than anything.
        if not (x1 < x2 and y1 < y2 and all(map(math.isfinite, one.box))):
            problems.found(Problem.EMPTY_BOX, f"{one.name}: {one.said}: must have a width and a height above 0")
            continue
        inside = [min(max(side, 0.0), float(most)) for side, most in zip(one.box, border, strict=True)]
        beyond = max(abs(side - cut) for side, cut in zip(one.box, inside, strict=True))
        # At single precision a sliver may vanish.
        left = np.asarray(inside, dtype=np.float32)
        if beyond > BEYOND or not (left[:2] < left[2:]).all():
            size = f"{picture.width}x{picture.height} pixels (width x height)"
            problems.found(Problem.OUTSIDE_BOX, f"{one.name}: {one.said}: must lie inside its picture of {size}")
            continue
        problems.cut_boxes += beyond > 0
        kept.append(one)
        boxes.append(inside)
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, SIDES)
    own = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    return ObjectRows.of(
        corners,
        [one.label for one in kept],
        crowd=[one.crowd for one in kept],
        difficult=[one.difficult for one in kept],
        area=[alone if one.area is None else one.area for one, alone in zip(kept, own, strict=True)],
    )
