"""COCO's file of instances: which pictures there are, and which objects are in them (Lin et al. 2014).

`pycocotools` and what builds upon it take a file as it is: of two entries with one id the later one stands, a broken
box is a box. Here everything is looked at, so that what is wrong can be named.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.detection.listing import ListedObject, ListedPicture
from datamodules.detection.problems import Problem, Problems
from datamodules.errors import DataError
from datamodules.proposals.boxes import SIDES

LARGEST = 2**53
LISTS = ("images", "annotations", "categories")


class Instances(NamedTuple):
    """What a file lists: pictures, and the names of all classes by the ids that the file has for them, in order."""

    pictures: list[ListedPicture]
    categories: dict[int, str]


def read_instances(path: Path, folder: Path, problems: Problems) -> Instances:
    """Read a file of instances; labels are the places of the sorted category ids, which need not be 0, 1, ….

    Boxes, which COCO gives as x, y, width and height in pixels, become x1 y1 x2 y2.

    Args:
        path: the file.
        folder: of its pictures.
        problems: refuses or counts what is wrong with single entries.

    Raises:
        DataError: no such file, no JSON, other lists than COCO's, or classes that are not clear.
    """
    content = _parsed(path)
    categories = _categories(path, content["categories"])
    images = _images(path, folder, content["images"], problems)
    listed = {_id(entry) for entry in content["images"]}
    of_image = _grouped(path, content["annotations"], listed, problems)
    labels = {category: label for label, category in enumerate(categories)}
    pictures = [
        ListedPicture(
            file=folder / entry["file_name"],
            height=entry["height"],
            width=entry["width"],
            objects=_objects(of_image.get(number, ()), labels, problems),
            source=path.name,
        )
        for number, entry in images.items()
    ]
    return Instances(pictures, categories)


def _parsed(path: Path) -> dict[str, list[Any]]:
    try:
        # Outlines are most of such a file, and no detector here needs them.
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=_without_outline)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: broken JSON, line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({str(error).splitlines()[0]})") from error
    for name in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DataError(f"{path}: has no list {name!r}; COCO's files of instances have {', '.join(LISTS)}")
    return {name: content[name] for name in LISTS}


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    entry.pop("segmentation", None)
    return entry


def _categories(path: Path, entries: Sequence[Any]) -> dict[int, str]:
    """Return the name of each class by its id; without them no label is right, so nothing is left out."""
    names: dict[int, str] = {}
    for position, entry in enumerate(entries):
        number, name = _id(entry), entry.get("name") if isinstance(entry, dict) else None
        if number is None or not isinstance(name, str) or not name:
            raise DataError(f"{path}: categories[{position}]: must have a whole number as id, and a name")
        if number in names or name in names.values():
            raise DataError(f"{path}: categories[{position}]: id={number}, name={name!r}: listed twice")
        names[number] = name
    if not names:
        raise DataError(f"{path}: categories: lists no class")
    return dict(sorted(names.items()))


def _images(path: Path, folder: Path, entries: Sequence[Any], problems: Problems) -> dict[int, dict[str, Any]]:
    """Return the sound entries of pictures by id, in the order of the file."""
    images: dict[int, dict[str, Any]] = {}
    files: set[str] = set()
    for position, entry in enumerate(entries):
        number = _id(entry)
        where = f"{path}: images[{position}]" if number is None else f"{path}: image {number}"
        if number is None:
            problems.found(Problem.BROKEN_ENTRY, f"{where}: must have a whole number as id")
        elif number in images:
            problems.found(Problem.DUPLICATE, f"{where}: listed twice")
        elif (wrong := _wrong_image(entry, folder)) is not None:
            problems.found(Problem.BROKEN_ENTRY, f"{where}: {wrong}")
        elif entry["file_name"] in files:
            problems.found(Problem.DUPLICATE, f"{where}: file_name={entry['file_name']!r}: listed twice")
        else:
            images[number] = entry
            files.add(entry["file_name"])
    return images


def _wrong_image(entry: dict[str, Any], folder: Path) -> str | None:
    name = entry.get("file_name")
    if not isinstance(name, str) or not name or Path(name).is_absolute() or ".." in Path(name).parts:
        return f"file_name={name!r}: must name a file in {folder}"
    for side in ("height", "width"):
        value = entry.get(side)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            return f"{side}={value!r}: must be a whole number, at least 1"
    return None


def _grouped(
    path: Path, entries: Sequence[Any], images: set[int | None], problems: Problems
) -> dict[int, list[tuple[str, dict[str, Any]]]]:
    """Return the entries of objects, each with where it stands, by the id of their picture."""
    of_image: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    seen: set[int] = set()
    for position, entry in enumerate(entries):
        number = _id(entry)
        where = f"{path}: annotations[{position}]" if number is None else f"{path}: annotation {number}"
        image = _id(entry, "image_id")
        if number is None:
            problems.found(Problem.BROKEN_ENTRY, f"{where}: must have a whole number as id")
        elif number in seen:
            problems.found(Problem.DUPLICATE, f"{where}: listed twice")
        elif image is None or image not in images:
            problems.found(
                Problem.BROKEN_ENTRY, f"{where}: image_id={entry.get('image_id')!r}: no such image is listed"
            )
        else:
            seen.add(number)
            of_image.setdefault(image, []).append((where, entry))
    return of_image


def _objects(
    entries: Sequence[tuple[str, dict[str, Any]]], labels: dict[int, int], problems: Problems
) -> Iterator[ListedObject]:
    for where, entry in entries:
        box, area, category = entry.get("bbox"), entry.get("area"), _id(entry, "category_id")
        if not isinstance(box, list) or len(box) != SIDES or not all(map(_is_number, box)):
            problems.found(Problem.BROKEN_ENTRY, f"{where}: bbox={box!r}: must be four numbers, x y width height")
        elif category not in labels:
            problems.found(
                Problem.UNKNOWN_CLASS,
                f"{where}: category_id={entry.get('category_id')!r}: must be an id of the {len(labels)} categories",
            )
        elif area is not None and not (_is_number(area) and 0 <= area < math.inf):
            problems.found(Problem.BROKEN_ENTRY, f"{where}: area={area!r}: must be a number, at least 0")
        elif entry.get("iscrowd", 0) not in (0, 1):
            problems.found(Problem.BROKEN_ENTRY, f"{where}: iscrowd={entry['iscrowd']!r}: must be 0 or 1")
        else:
            x, y, width, height = box
            yield ListedObject(
                name=where,
                said=f"bbox={box}",
                box=(x, y, x + width, y + height),
                label=labels[category],
                crowd=bool(entry.get("iscrowd", 0)),
                area=area,
            )


def _id(entry: Any, key: str = "id") -> int | None:  # noqa: ANN401 - whatever JSON has
    """Return a whole number of an entry; `None` where there is none."""
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_number(value: Any) -> bool:  # noqa: ANN401 - whatever JSON has
    # A whole number of any length is JSON, but no float.
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST)
