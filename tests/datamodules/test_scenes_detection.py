"""Scenes as a data set for detection."""

from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.detection import scene_objects
from datamodules.errors import DataError
from datamodules.scenes.annotation import annotate
from datamodules.scenes_detection import ScenesDetectionDataModule

KNOBS: dict[str, object] = {"things": [1, 4], "size": [0.2, 0.45], "visible": 0.5}


def ready(root: Path, **options: object) -> ScenesDetectionDataModule:
    settings: dict[str, object] = {
        "root": root,
        "knobs": KNOBS,
        "train_scenes": 12,
        "val_scenes": 3,
        "test_scenes": 5,
        "image_size": 32,
        "batch_size": 4,
        **options,
    }
    data = ScenesDetectionDataModule(**settings)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def test_pictures_and_objects_are_those_of_the_annotated_scene(tmp_path: Path) -> None:
    data = ready(tmp_path)
    assert [len(part) for part in (data.split.train, data.split.val, data.split.test)] == [12, 3, 5]
    assert data.spec.class_names[:2] == ("disc", "square")
    assert (data.spec.smallest_side, data.spec.largest_side, data.spec.proposals) == (32, 32, None)
    place = 0
    for batch in data.test_dataloader():
        for image, objects in zip(batch["images"], batch["objects"], strict=True):
            truth = annotate(data.scenes["test"], place, 32)
            assert torch.equal(image, torch.from_numpy(truth.picture))
            assert torch.equal(objects["boxes"], torch.from_numpy(truth.boxes))
            assert torch.equal(objects["labels"], torch.from_numpy(truth.classes - 1))
            assert objects["area"].tolist() == np.bincount(truth.instances.ravel())[1:].tolist()
            place += 1
    assert place == 5


def test_objects_are_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = ready(tmp_path)
    monkeypatch.setattr(scene_objects, "_drawn", lambda *_: pytest.fail("drawn again"))
    again = ready(tmp_path, seed=4, batch_size=2)
    assert again.digest == one.digest
    assert torch.equal(again.objects(7)["boxes"], one.objects(7)["boxes"])


def test_a_damaged_file_is_drawn_again(tmp_path: Path) -> None:
    one = ready(tmp_path)
    for path in (tmp_path / "scenes").glob("objects-*"):
        path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    assert ready(tmp_path).digest == one.digest
    assert not list((tmp_path / "scenes").glob(".*"))


def test_every_difference_of_the_scenes_is_another_data_set(tmp_path: Path) -> None:
    others: list[dict[str, object]] = [
        {},
        {"draw_seed": 1},
        {"knobs": {**KNOBS, "noise": 0.0}},
        {"test_knobs": {"noise": 0.0}},
        {"train_scenes": 11},
        {"image_size": 33},
    ]
    assert len({ready(tmp_path, **other).digest for other in others}) == 6


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"draw_seed": -1}, "draw_seed=-1: must be at least 0"),
        ({"test_scenes": 0}, "test_scenes=0: must be at least 1"),
        ({"image_size": 0}, "image_size=0: must be from 1 to 4096"),
        ({"knobs": {"noise": 2}}, "knobs.noise=2: must be a number from 0 to 1"),
        ({"knobs": {}}, "knobs.things=null: must be given, rule=shape needs it"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, options: dict[str, object], error: str) -> None:
    with pytest.raises(DataError) as found:
        ready(tmp_path, **options)
    assert str(found.value) == error
