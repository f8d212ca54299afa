"""VOC's layout: what is read, and what is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules.errors import DataError
from datamodules.voc import CLASSES, VOCDataModule

Write = Callable[..., Path]
XML = (
    "<annotation><size><width>30</width><height>20</height></size><object><name>dog</name><bndbox><xmin>3</xmin>"
    "<ymin>4</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"
)


def ready(root: Path, **options: object) -> VOCDataModule:
    settings: dict[str, object] = {"root": root, "batch_size": 2, **options}
    data = VOCDataModule(**settings)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def test_boxes_count_from_0_and_end_before_x2(voc: Write) -> None:
    data = ready(voc())
    assert data.spec.class_names == CLASSES
    assert [len(part) for part in (data.split.train, data.split.val, data.split.test)] == [4, 2, 2]
    both = data.objects(1)
    # The whole picture; and five pixels of one row, which VOC writes as 5 to 9 and 6 to 6.
    assert both["boxes"].tolist() == [[0, 0, 30, 20], [4, 5, 9, 6]]
    assert both["labels"].tolist() == [CLASSES.index("dog"), CLASSES.index("cat")]
    assert both["difficult"].tolist() == [False, True]
    assert both["crowd"].tolist() == [False, False]
    assert both["area"].tolist() == [600, 5]


def test_a_picture_without_objects_is_legal(voc: Write) -> None:
    data = ready(voc())
    (batch,) = data.test_dataloader()
    assert [len(objects["labels"]) for objects in batch["objects"]] == [2, 0]
    assert batch["objects"][1]["boxes"].shape == (0, 4)


def test_difficult_is_false_and_parts_are_no_objects_where_nothing_is_said(voc: Write) -> None:
    data = ready(voc(a=XML))
    assert data.objects(0)["boxes"].tolist() == [[2, 3, 9, 8]]
    assert data.objects(0)["difficult"].tolist() == [False]


def test_own_classes(voc: Write) -> None:
    assert ready(voc(), classes=["cat", "dog"]).objects(1)["labels"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "error", "left_out"),
    [
        (
            XML.replace("<xmax>9", "<xmax>2"),
            "object 1: bndbox=(xmin=3, ymin=4, xmax=2, ymax=8): must have a width and a height above 0",
            "box without area",
        ),
        (
            XML.replace("<xmax>9", "<xmax>32"),
            "object 1: bndbox=(xmin=3, ymin=4, xmax=32, ymax=8): must lie inside its picture of 30x20 pixels",
            "box outside its picture",
        ),
        (XML.replace("<xmax>9", "<xmax>x"), "object 1: bndbox={'xmin': '3', 'ymin': '4', 'xmax': 'x'", "broken entry"),
        (XML.replace("bndbox", "box"), "object 1: bndbox=None: must hold four numbers, xmin, ymin", "broken entry"),
        (XML.replace("dog", "dgo"), "object 1: name='dgo': must be one of aeroplane, ", "unknown class"),
        (
            XML.replace("</name>", "</name><difficult>yes</difficult>"),
            "object 1: difficult='yes': must be 0 or 1",
            "broken entry",
        ),
        (XML.removesuffix("</annotation>"), "broken XML (no element found: line 1, column ", "broken entry"),
        ("", "broken XML (no element found: line 1, column 0)", "broken entry"),
        (XML.replace("annotation", "image"), "its outermost element must be <annotation>", "broken entry"),
        (XML.replace("<width>30</width>", ""), "size.width=None: must be a whole number", "broken entry"),
    ],
)
def test_what_is_wrong_is_named_or_left_out(voc: Write, text: str, error: str, left_out: str) -> None:
    root = voc(a=text)
    with pytest.raises(DataError) as found:
        ready(root)
    assert str(found.value).startswith(f"{root}/VOCdevkit/VOC2007/Annotations/a.xml: {error}")
    assert "\n" not in str(found.value)
    data = ready(root, strict=False)
    assert data.left_out == {left_out: 1}
    # An object, or the picture with all that is in it.
    assert len(data.split.train) + sum(len(data.objects(index)["labels"]) for index in range(2)) in (5, 6)


def test_files_that_are_listed_and_missing(voc: Write) -> None:
    root = voc()
    folder = root / "VOCdevkit" / "VOC2007"
    (folder / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"JPEGImages/b\.jpg: no such file; train\.txt lists it"):
        ready(root)
    (folder / "Annotations" / "c.xml").unlink()
    with pytest.raises(DataError, match=r"Annotations/c\.xml: no such file; train\.txt lists c"):
        ready(root)
    assert ready(root, strict=False).left_out == {"missing picture": 1, "broken entry": 1}


def test_a_picture_of_two_sets_would_be_trained_on_and_tested(voc: Write) -> None:
    root = voc()
    path = root / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "test.txt"
    path.write_text("g\nh\na\ng\n")
    with pytest.raises(DataError, match=r"test\.txt: line 3: a is in train already"):
        ready(root)
    data = ready(root, strict=False)
    assert data.left_out == {"duplicate": 2}
    assert len(data.split.test) == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"folder": "VOC2012"}, r"^folder=.*/VOC2012: no such folder; expected: ImageSets/Main/"),
        ({"test_set": "trainval"}, r"trainval\.txt: no such file; sets that are there: test, train, val$"),
        ({"classes": ["dog", "dog"]}, r"^classes=\['dog', 'dog'\]: must be different names"),
        ({"test_set": "train"}, r"^test_set=train: is the train_set already$"),
    ],
)
def test_a_mistake_is_one_line(voc: Write, options: dict[str, object], error: str) -> None:
    root = voc()
    with pytest.raises(DataError, match=error):
        ready(root, **options)


def test_a_set_without_pictures_is_refused(voc: Write) -> None:
    root = voc()
    (root / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"^/.*/VOC2007: no picture of the val part is left$"):
        ready(root)


def test_a_set_of_one_class_has_more_in_its_lines(voc: Write) -> None:
    root = voc()
    (root / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "dog_train.txt").write_text("a  1\nb -1\n")
    assert len(ready(root, train_set="dog_train").split.train) == 2
