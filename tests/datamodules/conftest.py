"""Small data for the tests of this room, and how its batches are compared."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import pytest
from PIL import Image

from datamodules.loading import ClassificationBatch

Trail = list[tuple[int, str]]
Content = dict[str, Any]

OBJECT = """
  <object><name>{name}</name><difficult>{difficult}</difficult>
    <bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
  </object>"""


@pytest.fixture
def transforms() -> list[albumentations.BasicTransform]:
    """Transforms that draw from NumPy's generator, from Python's and, seeded by it, from OpenCV's."""
    return [
        albumentations.HorizontalFlip(p=0.5),
        albumentations.CropAndPad(percent=0.125, keep_size=False),
        albumentations.RandomCrop(height=8, width=8),
        albumentations.RandomBrightnessContrast(p=0.5),
        albumentations.GaussNoise(p=1.0),
    ]


@pytest.fixture
def trail() -> Callable[[Iterable[ClassificationBatch]], list[Trail]]:
    """Batches as lists of (index, digest of the picture): equal trails are equal batches, image by image."""

    def follow(batches: Iterable[ClassificationBatch]) -> list[Trail]:
        return [
            [
                (int(index), hashlib.sha256(image.numpy().tobytes()).hexdigest())
                for index, image in zip(batch["index"], batch["image"], strict=True)
            ]
            for batch in batches
        ]

    return follow


def save_noise(path: Path, width: int, height: int, seed: int) -> None:
    """Write a picture of random pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def instances(count: int, first: int) -> Content:
    """Return COCO's lists of `count` pictures with 0, 1, 2, 0, 1, … objects; category ids 7 and 90."""
    images = [
        {"id": first + place, "file_name": f"{first + place}.png", "width": 24 + place, "height": 16}
        for place in range(count)
    ]
    annotations = [
        {
            "id": 10 * (first + place) + number,
            "image_id": first + place,
            "category_id": (90, 7)[number],
            "bbox": [2.5 + number, 3, 10, 8.25],
            "area": 50.5,
            "iscrowd": number,
            "segmentation": [[1, 2, 3]],
        }
        for place in range(count)
        for number in range(place % 3)
    ]
    categories = [{"id": 90, "name": "zebra"}, {"id": 7, "name": "ant"}]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Path]:
    """Write `coco/` with sets `train` (9 pictures), changed as asked, and `val` (4); return the folder of the data."""

    def write(change: Callable[[Content], object] = lambda _: None) -> Path:
        (tmp_path / "coco" / "annotations").mkdir(parents=True)
        for name, content in (("train", instances(9, 100)), ("val", instances(4, 200))):
            for image in content["images"]:
                path = tmp_path / "coco" / name / image["file_name"]
                save_noise(path, image["width"], image["height"], image["id"])
            if name == "train":
                change(content)
            (tmp_path / "coco" / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
        return tmp_path

    return write


def annotation(width: int, height: int, *objects: tuple[str, int, tuple[float, float, float, float]]) -> str:
    """Return VOC's XML of a picture with objects: name, difficult, box."""
    inner = "".join(OBJECT.format(name=name, difficult=difficult, box=box) for name, difficult, box in objects)
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>any.jpg</filename>{size}{inner}</annotation>"


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    """Write `VOCdevkit/VOC2007/`, with some pictures' XML replaced; return the folder of the data.

    `train` has a, b, c, d, `val` e, f, `test` g, h; a to g have a dog, b and g a difficult cat too, h has nothing.
    """

    def write(**replaced: str) -> Path:
        folder = tmp_path / "VOCdevkit" / "VOC2007"
        (folder / "Annotations").mkdir(parents=True)
        (folder / "ImageSets" / "Main").mkdir(parents=True)
        for name, pictures in (("train", "abcd"), ("val", "ef"), ("test", "gh")):
            (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(pictures) + "\n")
            for picture in pictures:
                save_noise(folder / "JPEGImages" / f"{picture}.jpg", 30, 20, ord(picture))
                dog, cat = ("dog", 0, (1.0, 1.0, 30.0, 20.0)), ("cat", 1, (5.0, 6.0, 9.0, 6.0))
                objects = () if picture == "h" else (dog, cat) if picture in "bg" else (dog,)
                text = replaced.get(picture, annotation(30, 20, *objects))
                (folder / "Annotations" / f"{picture}.xml").write_text(text)
        return tmp_path

    return write
