"""PASCAL VOC's files: names of pictures for each set, and a file of XML for each picture (Everingham et al. 2010)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # torchvision's reader of XML takes its elements

from torchvision.datasets import VOCDetection

from datamodules.detection.listing import ListedObject, ListedPicture
from datamodules.detection.problems import Problem, Problems
from datamodules.errors import DataError

SIDES = ("xmin", "ymin", "xmax", "ymax")


class Devkit:
    """A VOC data set: sets of names in `ImageSets/Main/`, pictures in `JPEGImages/`, objects in `Annotations/`.

    Args:
        folder: in which these lie, `VOC2007`.
        class_names: of labels 0, 1, ….
        problems: refuses or counts what is wrong with single pictures and objects.
    """

    def __init__(self, folder: Path, class_names: Sequence[str], problems: Problems) -> None:
        self._folder = folder
        self._labels = {name: label for label, name in enumerate(class_names)}
        self._problems = problems
        self._taken: dict[str, str] = {}

    def listed(self, name: str) -> list[ListedPicture]:
        """Return the pictures of a set, in the order of `ImageSets/Main/<name>.txt`.

        Raises:
            DataError: no such set, or, where nothing is left out, a name that is there twice, in one set or in two, or
                a file of a picture that is missing or broken.
        """
        path = self._folder / "ImageSets" / "Main" / f"{name}.txt"
        pictures = []
        for line, picture in _names(path):
            if picture in self._taken:
                self._problems.found(
                    Problem.DUPLICATE, f"{path}: line {line}: {picture} is in {self._taken[picture]} already"
                )
                continue
            self._taken[picture] = name
            if (found := self._read(picture, path)) is not None:
                pictures.append(found)
        return pictures

    def _read(self, picture: str, source: Path) -> ListedPicture | None:
        path = self._folder / "Annotations" / f"{picture}.xml"
        try:
            annotation = _annotation(path, source)
            height, width = (_side(path, annotation, side) for side in ("height", "width"))
        except _Broken as error:
            self._problems.found(Problem.BROKEN_ENTRY, str(error))
            return None
        return ListedPicture(
            file=self._folder / "JPEGImages" / f"{picture}.jpg",
            height=height,
            width=width,
            objects=self._objects(path, annotation.get("object", [])),
            source=source.name,
        )

    def _objects(self, path: Path, entries: Sequence[Any]) -> Iterator[ListedObject]:
        for number, entry in enumerate(entries, start=1):
            where = f"{path}: object {number}"
            name = entry.get("name") if isinstance(entry, dict) else None
            sides = _sides(entry.get("bndbox")) if isinstance(entry, dict) else None
            if name not in self._labels:
                self._problems.found(
                    Problem.UNKNOWN_CLASS, f"{where}: name={name!r}: must be one of {', '.join(self._labels)}"
                )
            elif sides is None:
                self._problems.found(
                    Problem.BROKEN_ENTRY,
                    f"{where}: bndbox={entry.get('bndbox')!r}: must hold four numbers, {', '.join(SIDES)}",
                )
            elif entry.get("difficult", "0") not in ("0", "1"):
                self._problems.found(Problem.BROKEN_ENTRY, f"{where}: difficult={entry['difficult']!r}: must be 0 or 1")
            else:
                xmin, ymin, xmax, ymax = sides
                yield ListedObject(
                    name=where,
                    said=f"bndbox=({', '.join(f'{one}={side:g}' for one, side in zip(SIDES, sides, strict=True))})",
                    # VOC counts pixels from 1, and the last one is within the box.
                    box=(xmin - 1, ymin - 1, xmax, ymax),
                    label=self._labels[name],
                    difficult=entry.get("difficult", "0") == "1",
                )


class _Broken(Exception):  # noqa: N818 - never leaves this file
    """A file of a picture cannot be used."""


def _names(path: Path) -> list[tuple[int, str]]:
    """Return the names that a set's file lists, each with its line; what follows a name is of other tasks."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        # The sets of single classes are called <class>_<set>.
        sets = sorted(other.stem for other in path.parent.glob("*.txt") if "_" not in other.stem)
        raise DataError(f"{path}: no such file; sets that are there: {', '.join(sets) or 'none'}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    found = [(number, line.split()[0]) for number, line in enumerate(lines, start=1) if line.strip()]
    for number, name in found:
        if Path(name).name != name:
            raise DataError(f"{path}: line {number}: {name}: must be the name of a picture, without folder")
    return found


def _annotation(path: Path, source: Path) -> Mapping[str, Any]:
    try:
        # No entity of another file is read, and expat stops entities that would fill the memory.
        root = ET.parse(path).getroot()  # noqa: S314
    except FileNotFoundError as error:
        raise _Broken(f"{path}: no such file; {source.name} lists {path.stem}") from error
    except OSError as error:
        raise _Broken(f"{path}: cannot be read ({error.strerror})") from error
    except (ET.ParseError, ValueError, LookupError) as error:  # also of an encoding that nobody knows
        raise _Broken(f"{path}: broken XML ({str(error).splitlines()[0]})") from error
    annotation = VOCDetection.parse_voc_xml(root).get("annotation")
    if not isinstance(annotation, dict):
        raise _Broken(f"{path}: its outermost element must be <annotation>, with <size> and <object> in it")
    return annotation


def _side(path: Path, annotation: Mapping[str, Any], name: str) -> int:
    size = annotation.get("size")
    value = size.get(name) if isinstance(size, dict) else None
    if not (isinstance(value, str) and value.isdecimal() and int(value) > 0):
        raise _Broken(f"{path}: size.{name}={value!r}: must be a whole number, at least 1")
    return int(value)


def _sides(entry: object) -> tuple[float, float, float, float] | None:
    """Return the four numbers of a box; `None` where there are no such."""
    if not isinstance(entry, dict):
        return None
    try:
        xmin, ymin, xmax, ymax = (float(entry[side]) for side in SIDES)
    except (KeyError, TypeError, ValueError):
        return None
    return (xmin, ymin, xmax, ymax) if all(map(math.isfinite, (xmin, ymin, xmax, ymax))) else None
