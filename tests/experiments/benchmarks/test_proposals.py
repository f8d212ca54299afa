"""The benchmark of region proposals: what it compares, what it prints and writes, what it leaves out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.benchmarks.proposals import COUNTS, compare, drawn, main, photographs, proposers
from experiments.errors import UserError


def write_coco(root: Path) -> None:
    folder = root / "coco_mini"
    (folder / "val2017").mkdir(parents=True)
    (folder / "annotations").mkdir()
    picture = np.zeros((30, 40, 3), dtype=np.uint8)
    picture[10:20, 10:30] = (200, 30, 30)
    Image.fromarray(picture).save(folder / "val2017" / "1.png")
    content = {
        "images": [{"id": 1, "file_name": "1.png", "height": 30, "width": 40}],
        "annotations": [
            {"image_id": 1, "bbox": [10, 10, 20, 10], "category_id": 5, "iscrowd": 0},
            {"image_id": 1, "bbox": [30, 20, 10.4, 10], "category_id": 7, "iscrowd": 0},
            {"image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 5, "iscrowd": 1},
            {"image_id": 2, "bbox": [0, 0, 9, 9], "category_id": 5, "iscrowd": 0},
        ],
    }
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(content))


def test_photographs_have_their_objects_without_crowds_and_inside(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (example,) = photographs(tmp_path / "coco_mini", 5)
    assert example.boxes.tolist() == [[10, 10, 30, 20], [30, 20, 40, 30]]
    assert example.classes.tolist() == [5, 7]
    assert example.picture.shape == (30, 40, 3)


def test_all_kinds_are_compared_on_the_same_objects() -> None:
    examples = drawn(2, 32)
    found = compare(proposers(500), examples, COUNTS)
    objects = sum(len(example.boxes) for example in examples)
    assert {one.overlaps.shape for one in found.values()} == {(len(COUNTS), objects)}
    assert all(len(one.boxes) == len(one.milliseconds) == 2 for one in found.values())
    assert found["sliding windows"].overlaps[-1].min() > 0.3
    assert found["jittered objects"].boxes == [COUNTS[-1]] * 2


def test_it_prints_and_draws_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_coco(tmp_path)
    assert main(["scenes=2", "size=32", f"data_dir={tmp_path}", f"out={tmp_path / 'figures'}"]) == 0
    said = capsys.readouterr().out
    assert "scenes of 32 px: 2 pictures" in said
    assert "COCO photographs: 1 pictures, 2 objects" in said
    rows = [line for line in said.splitlines() if line.startswith("| selective search, fast |")]
    assert len(rows) == 2
    for name in ("proposals.png", "proposals_scene.png"):
        assert Image.open(tmp_path / "figures" / name).width > 600


def test_missing_photographs_are_left_out_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenes=1", "size=16", f"data_dir={tmp_path}", f"out={tmp_path}"]) == 0
    assert f"photographs: left out, {tmp_path / 'coco_mini'} has no val2017" in capsys.readouterr().out


@pytest.mark.parametrize("asked", ["scenes=0", "size=large", "side=-1", "speed=9"])
def test_what_it_cannot_do_is_refused(asked: str) -> None:
    with pytest.raises(UserError, match=asked.partition("=")[0]):
        main([asked])
