"""Contact sheets of drawn scenes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.scenes.composing import Scenes
from datamodules.scenes.difficulty import Difficulty
from experiments.benchmarks.scene_pictures import GAP, main, sheet
from experiments.errors import UserError


def test_a_sheet_has_training_scenes_above_test_scenes() -> None:
    scenes = {split: Scenes("shape", Difficulty(things=(1, 1)), split=split) for split in ("train", "test")}
    shown = sheet(scenes, 3, 32)
    assert shown.shape == (2 * 96 + GAP, 3 * 96, 3)
    third = scenes["test"].drawn(2, 32)[1].picture.transpose(1, 2, 0)
    assert np.array_equal(shown[96 + GAP :: 3, 2 * 96 :: 3], third)
    assert (shown[96 : 96 + GAP] == 255).all()


def test_sheets_of_all_presets_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"out={tmp_path}", "columns=2"]) == 0
    written = sorted(tmp_path.iterdir())
    assert sorted(capsys.readouterr().out.split()) == [str(path) for path in written]
    assert {"scenes.png", "scenes_relation.png", "scenes_annotation.png"} <= {path.name for path in written}
    assert "scenes_detection.png" not in {path.name for path in written}
    assert all(Image.open(path).width >= 2 * 64 for path in written)


@pytest.mark.parametrize("asked", ["columns=0", "columns=many", "rows=2"])
def test_what_it_cannot_do_is_refused(asked: str) -> None:
    with pytest.raises(UserError, match=asked.partition("=")[0]):
        main([asked])
