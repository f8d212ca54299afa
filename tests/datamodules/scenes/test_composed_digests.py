"""Composed scenes are the same to the bit everywhere. Who changes one on purpose raises `VERSION` and pins anew."""

import hashlib
from collections.abc import Callable

import pytest

from datamodules.scenes.annotation import annotate
from datamodules.scenes.composing import SPLITS, VERSION, Scenes

Make = Callable[..., dict[str, Scenes]]

PINNED = {
    "scenes": "3c33fa8402c72b2c26415176959fb5bea144d5f10466a7fecdb63626c24ca04d",
    "scenes_count": "82753c5e22399714e0352c94cac652f627f685b891cf01d52e2479e17b12275c",
    "scenes_facing": "7aa32e07beb3d70007b70524966cf93e80fe4d944d748c404026af2e16af7dff",
    "scenes_fine": "d3c7c06fecf31414789e8534cad0a481d7ce65f6c90d6ca3c4cd97836fff87e1",
    "scenes_narrow": "b3a7f91fce16d5d2e7813eef33140a788575de0a3e756a0aee3d2a71af9dab37",
    "scenes_relation": "dd8bd1578cef9f6719cf79339f0acb4b78214107d1c6e02304d5b68288caef41",
    "scenes_texture_conflict": "1625aba0e03b688ad12d6b6f78da29c090c5e9b51ab646e81252343a08678a87",
}


@pytest.fixture
def digest(scenes: Make, preset: str) -> str:
    """Of pictures, classes, boxes, masks and captions of some scenes of each split."""
    content = hashlib.sha256()
    for split in SPLITS:
        for index in range(12):
            one = annotate(scenes(preset)[split], index, 40)
            for array in (one.picture, one.instances, one.pixels, one.boxes.astype("<f4"), one.classes.astype("<i8")):
                content.update(array.tobytes())
            content.update("\n".join([str(one.label), *one.captions]).encode())
    return content.hexdigest()


def test_scenes_of_a_version_do_not_change(digest: str, preset: str) -> None:
    assert (VERSION, digest) == (1, PINNED[preset])
