"""COCO's layout: what is read, what is wrong, and the real slice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.coco import COCODataModule
from datamodules.errors import DataError

COCO = Path(__file__).parents[2] / "shared" / "data" / "coco_mini"
Content = dict[str, Any]
Write = Callable[..., Path]


def ready(root: Path, **options: object) -> COCODataModule:
    settings: dict[str, object] = {"root": root, "train_set": "train", "test_set": "val", "batch_size": 4, **options}
    data = COCODataModule(**settings)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def test_boxes_classes_crowds_and_areas_are_those_of_the_file(coco: Write) -> None:
    data = ready(coco())
    assert data.spec.class_names == ("ant", "zebra")
    assert (data.spec.smallest_side, data.spec.largest_side) == (16, 32)
    two = data.objects(2)
    assert two["boxes"].tolist() == [[2.5, 3, 12.5, 11.25], [3.5, 3, 13.5, 11.25]]
    assert two["labels"].tolist() == [1, 0]
    assert two["crowd"].tolist() == [False, True]
    assert two["difficult"].tolist() == [False, False]
    assert two["area"].tolist() == [50.5, 50.5]
    assert len(data.objects(0)["labels"]) == 0


def test_parts_are_the_sets(coco: Write) -> None:
    root = coco()
    data = ready(root)
    assert [len(part) for part in (data.split.train, data.split.val, data.split.test)] == [8, 1, 4]
    assert data.split.test.tolist() == [9, 10, 11, 12]
    given = ready(root, val_set="val", test_set=None)
    assert given.split.val.tolist() == [9, 10, 11, 12]
    assert [len(part) for part in (given.split.train, given.split.test)] == [7, 2]


def annotations(content: Content, **changes: object) -> None:
    content["annotations"][0].update(changes)


def images(content: Content, *, place: int = 3, **changes: object) -> None:
    content["images"][place].update(changes)


@pytest.mark.parametrize(
    ("change", "error", "left_out"),
    [
        (
            lambda content: annotations(content, bbox=[12, 3, -5, 4]),
            "annotation 1010: bbox=[12, 3, -5, 4]: must have a width and a height above 0",
            "box without area",
        ),
        (
            lambda content: annotations(content, bbox=[20, 3, 8, 4]),
            "annotation 1010: bbox=[20, 3, 8, 4]: must lie inside its picture of 25x16 pixels (width x height)",
            "box outside its picture",
        ),
        (
            lambda content: annotations(content, bbox=[1, 2, "x"]),
            "annotation 1010: bbox=[1, 2, 'x']: must be four numbers, x y width height",
            "broken entry",
        ),
        (
            lambda content: annotations(content, category_id=8),
            "annotation 1010: category_id=8: must be an id of the 2 categories",
            "unknown class",
        ),
        (
            lambda content: annotations(content, image_id=99),
            "annotation 1010: image_id=99: no such image is listed",
            "broken entry",
        ),
        (lambda content: annotations(content, id=1020), "annotation 1020: listed twice", "duplicate"),
        (lambda content: annotations(content, area=-1), "annotation 1010: area=-1: must be a number", "broken entry"),
        (lambda content: annotations(content, iscrowd=2), "annotation 1010: iscrowd=2: must be 0 or 1", "broken entry"),
        (lambda content: images(content, id=100), "image 100: listed twice", "duplicate"),
        (lambda content: images(content, file_name="100.png"), "image 103: file_name='100.png': listed", "duplicate"),
        (
            lambda content: images(content, file_name="../x.png"),
            "image 103: file_name='../x.png': must name a",
            "broken entry",
        ),
        (lambda content: images(content, width=0), "image 103: width=0: must be a whole number", "broken entry"),
        (lambda content: images(content, id=None), "images[3]: must have a whole number as id", "broken entry"),
    ],
)
def test_what_is_wrong_is_named_or_left_out(
    coco: Write, change: Callable[[Content], None], error: str, left_out: str
) -> None:
    root = coco(change)
    with pytest.raises(DataError) as found:
        ready(root)
    assert str(found.value).startswith(f"{root}/coco/annotations/instances_train.json: {error}")
    assert str(found.value).endswith("; strict=false leaves it out")
    assert "\n" not in str(found.value)
    data = ready(root, strict=False)
    assert data.left_out == {left_out: 1}


def test_objects_of_a_picture_that_is_left_out_are_nobodys(coco: Write) -> None:
    data = ready(coco(lambda content: images(content, place=1, width=0)), strict=False)
    assert data.left_out == {"broken entry": 1}
    assert len(data.split.train) + len(data.split.val) == 8
    assert data.objects(1)["boxes"].tolist() == [[2.5, 3, 12.5, 11.25], [3.5, 3, 13.5, 11.25]]


def test_a_missing_and_a_broken_picture_are_named_or_left_out(coco: Write, caplog: pytest.LogCaptureFixture) -> None:
    root = coco()
    gone, broken = (root / "coco" / "train" / f"{number}.png" for number in (103, 104))
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    with pytest.raises(DataError, match=r"104\.png: the file is truncated$"):
        ready(root)
    gone.unlink()
    with pytest.raises(DataError, match=r"103\.png: no such file; instances_train\.json lists it"):
        ready(root)
    # Its ends are sound: only who decodes it can tell.
    broken.write_bytes(whole[:60] + bytes(40) + whole[100:])
    data = ready(root, strict=False)
    assert data.left_out == {"missing picture": 1, "broken picture": 1}
    assert len(data.split.train) + len(data.split.val) == 7
    data.setup()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(
        "coco: strict=false left out: 1 x missing picture, 1 x broken picture; the first"
    )
    assert sum(len(batch["index"]) for batch in data.train_dataloader()) == 4


def test_a_picture_of_another_size_is_named_when_it_is_read(coco: Write) -> None:
    data = ready(
        coco(lambda content: images(content, place=1, width=40)), mean=[0.5] * 3, std=[0.2] * 3, val_fraction=0.01
    )
    with pytest.raises(DataError, match=r"101\.png: 25x16 pixels .*; its boxes were drawn on 40x16$"):
        list(data.train_dataloader())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"images": [', r"broken JSON, line 1, column 13: Expecting value"),
        ("[]", r"has no list 'images'"),
        ('{"images": [], "annotations": {}, "categories": []}', r"has no list 'annotations'"),
        ('{"images": [], "annotations": [], "categories": []}', r"categories: lists no class"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            r"categories\[1\]: id=1, name='b': listed twice",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1}]}',
            r"categories\[0\]: must have a whole number as id, and a name",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 7, "name": "ant"}, {"id": 90, "name": "yak"}]}',
            r"category 90 \(.*\): not the same as in train",
        ),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_file_without_which_nothing_is_known_is_refused(coco: Write, text: str, error: str, strict: bool) -> None:
    root = coco()
    (root / "coco" / "annotations" / "instances_val.json").write_text(text)
    with pytest.raises(DataError, match=rf"instances_val\.json: {error}"):
        ready(root, strict=strict)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"folder": "elsewhere"}, r"^folder=.*/elsewhere: no such folder; expected: annotations/instances_train\.json"),
        ({"train_set": "nope"}, r"instances_nope\.json: no such file$"),
        ({"val_set": "train"}, r"^val_set=train: is the train_set already$"),
        ({"few_samples": 9}, r"^few_samples=9: there are 8 training pictures$"),
    ],
)
def test_a_set_that_cannot_be_is_one_line(coco: Write, options: dict[str, object], error: str) -> None:
    root = coco()
    with pytest.raises(DataError, match=error):
        ready(root, **options)


def test_up_to_a_pixel_beyond_the_border_is_cut_off(coco: Write) -> None:
    data = ready(coco(lambda content: annotations(content, bbox=[-0.5, 3, 26.25, 14])))
    assert data.objects(1)["boxes"].tolist() == [[0, 3, 25, 16]]
    assert data.problems.cut_boxes == 1
    assert data.left_out == {}


def test_digest_is_of_pictures_objects_and_classes_not_of_how_they_are_written(coco: Write) -> None:
    root = coco()
    one = ready(root).digest
    assert ready(root, seed=3, few_samples=4, batch_size=2, strict=False).digest == one
    path = root / "coco" / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"info": "other", **content}, indent=2))
    assert ready(root).digest == one
    content["annotations"][0]["bbox"][0] = 2.75
    path.write_text(json.dumps(content))
    moved = ready(root).digest
    (root / "coco" / "train" / "100.png").write_bytes((root / "coco" / "val" / "200.png").read_bytes())
    assert len({one, moved, ready(root).digest}) == 3


@pytest.mark.shared
def test_the_real_slice() -> None:
    if not COCO.is_dir():
        pytest.skip(f"the real data sets are not beside the repository ({COCO})")
    data = COCODataModule(root=COCO.parent, folder=COCO.name, mean=[0.5] * 3, std=[0.25] * 3, batch_size=10)
    data.setup()
    assert [len(part) for part in (data.split.train, data.split.val, data.split.test)] == [18, 2, 20]
    assert data.spec.num_classes == 80
    assert data.spec.class_names[0] == "person"
    assert data.spec.class_names[-1] == "toothbrush"
    batches = list(data.test_dataloader())
    assert sum(len(objects["labels"]) for batch in batches for objects in batch["objects"]) == 167
    assert sum(int(objects["crowd"].sum()) for batch in batches for objects in batch["objects"]) == 2
    listed = json.loads((COCO / "annotations" / "instances_val2017.json").read_text())
    first = [one for one in listed["annotations"] if one["image_id"] == listed["images"][0]["id"]]
    truth = np.array([one["bbox"] for one in first]) @ [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert torch.allclose(batches[0]["objects"][0]["boxes"], torch.tensor(truth, dtype=torch.float32))
    names = {one["id"]: one["name"] for one in listed["categories"]}
    shown = [data.spec.class_names[label] for label in batches[0]["objects"][0]["labels"]]
    assert shown == [names[one["category_id"]] for one in first]
    for batch in batches:
        for image, objects in zip(batch["images"], batch["objects"], strict=True):
            assert (objects["boxes"][:, 2:] <= torch.tensor([image.shape[2], image.shape[1]])).all()
