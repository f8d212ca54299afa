"""Scenes as a data set for classification."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.errors import DataError
from datamodules.scenes.datamodule import ScenesDataModule

KNOBS: dict[str, object] = {"things": [1, 1]}


def ready(root: Path, **options: object) -> ScenesDataModule:
    settings: dict[str, object] = {
        "root": root,
        "knobs": KNOBS,
        "train_scenes": 40,
        "val_scenes": 16,
        "test_scenes": 24,
        "image_size": 16,
        "batch_size": 8,
        **options,
    }
    data = ScenesDataModule(**settings)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def test_every_split_has_its_scenes_balanced(tmp_path: Path) -> None:
    data = ready(tmp_path)
    assert [len(part) for part in (data.split.train, data.split.val, data.split.test)] == [40, 16, 24]
    assert np.bincount(data.labels[data.split.train]).tolist() == [5] * 8
    assert np.bincount(data.labels[data.split.test]).tolist() == [3] * 8
    assert (data.spec.name, data.spec.channels, data.spec.image_size) == ("scenes", 3, 16)
    assert data.spec.class_names[:2] == ("disc", "square")
    (test,) = [batch for batch in data.test_dataloader() if 40 + 16 + 9 in batch["index"]]
    position = test["index"].tolist().index(40 + 16 + 9)
    assert torch.equal(test["image"][position], torch.from_numpy(data.scenes["test"].drawn(9, 16)[1].picture))
    assert test["label"][position] == data.scenes["test"].label(9)


def test_seed_of_the_run_and_folder_leave_the_scenes_as_they_are(tmp_path: Path) -> None:
    one = ready(tmp_path / "one")
    again = ready(tmp_path / "one", seed=5)
    elsewhere = ready(tmp_path / "two")
    assert one.digest == again.digest == elsewhere.digest
    others: list[dict[str, object]] = [
        {"draw_seed": 1},
        {"knobs": {**KNOBS, "noise": 0.0}},
        {"test_knobs": {"noise": 0.0}},
        {"train_scenes": 41},
    ]
    digests = {ready(tmp_path / "one", **other).digest for other in others}
    assert len({one.digest, *digests}) == 5


def test_few_samples_are_taken_per_class(tmp_path: Path) -> None:
    data = ready(tmp_path, few_samples=2)
    assert np.bincount(data.labels[data.split.train]).tolist() == [2] * 8


def test_workers_read_the_same_pictures(tmp_path: Path) -> None:
    alone, helped = ready(tmp_path), ready(tmp_path, num_workers=1)
    for one, other in zip(alone.train_dataloader(), helped.train_dataloader(), strict=True):
        assert torch.equal(one["image"], other["image"])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"rule": "nope"}, "rule=nope: must be one of shape, texture_conflict, relation, count, fine, facing"),
        ({"draw_seed": -1}, "draw_seed=-1: must be at least 0"),
        ({"test_scenes": 7}, "test_scenes=7: must be at least 8, one of each class"),
        ({"root": " "}, "root=' ': must name a folder; the current one is '.'"),
        ({"knobs": {"noise": 2}}, "knobs.noise=2: must be a number from 0 to 1"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, options: dict[str, object], error: str) -> None:
    with pytest.raises(DataError) as found:
        ready(**{"root": tmp_path, **options})  # type: ignore[arg-type]
    assert str(found.value) == error


def test_presets_build_and_tell_their_classes(
    tmp_path: Path, preset: str, configuration: Callable[[str], dict[str, object]]
) -> None:
    cfg = configuration(preset)
    data = ready(tmp_path, **{key: cfg[key] for key in ("rule", "image_size", "knobs", "test_knobs")})
    expected = {"scenes": 8, "scenes_narrow": 8, "scenes_fine": 2, "scenes_facing": 2}
    assert data.spec.num_classes == expected.get(preset, 4)
    assert 0.2 < data.normalisation.mean[0] < 0.6
