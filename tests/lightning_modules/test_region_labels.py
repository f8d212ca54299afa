"""Which class a region is an example of."""

import pytest
import torch

from lightning_modules.detections import Objects
from lightning_modules.region_labels import IGNORED, label_regions

OBJECTS: Objects = {
    "boxes": torch.tensor([[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 14.0, 10.0], [50.0, 50.0, 70.0, 70.0]]),
    "labels": torch.tensor([2, 0, 1]),
}
# Of ten by ten pixels: shifted by s, they share 10 - s of 10 + s columns.
PROPOSALS = torch.tensor(
    [
        [1.0, 0.0, 11.0, 10.0],  # 9 / 11 with the first, 7 / 13 with the second
        [3.0, 0.0, 13.0, 10.0],  # 7 / 13 with the first, 9 / 11 with the second
        [50.0, 50.0, 70.0, 60.0],  # exactly one half of the third
        [50.0, 50.0, 70.0, 59.0],  # less
        [30.0, 30.0, 40.0, 40.0],
    ]
)
BACKGROUND = 3


def test_a_region_has_the_class_of_the_object_that_it_overlaps_most() -> None:
    regions = label_regions(PROPOSALS, OBJECTS, 3)
    assert torch.equal(regions.boxes, torch.cat([OBJECTS["boxes"], PROPOSALS]))
    assert regions.labels.tolist() == [2, 0, 1, 2, 0, 1, BACKGROUND, BACKGROUND]
    overlap, number = regions.nearest()
    assert number[:7].tolist() == [0, 1, 2, 0, 1, 2, 2]
    assert overlap.tolist() == pytest.approx([1, 1, 1, 9 / 11, 9 / 11, 0.5, 0.45, 0])
    assert regions.class_overlaps(0)[3:].tolist() == pytest.approx([7 / 13, 9 / 11, 0, 0, 0])


def test_background_may_have_to_touch_an_object() -> None:
    regions = label_regions(PROPOSALS, OBJECTS, 3, foreground=0.5, background=0.1)
    assert regions.labels[3:].tolist() == [2, 0, 1, BACKGROUND, IGNORED]


def test_a_picture_without_objects_is_all_background() -> None:
    nothing: Objects = {"boxes": torch.empty(0, 4), "labels": torch.empty(0, dtype=torch.int64)}
    regions = label_regions(PROPOSALS, nothing, 3)
    assert regions.labels.tolist() == [BACKGROUND] * 5
    assert regions.nearest()[0].tolist() == [0.0] * 5
    assert regions.class_overlaps(1).tolist() == [0.0] * 5
    assert label_regions(PROPOSALS[:0], nothing, 3).labels.tolist() == []


def test_crowds_are_no_objects_and_no_background() -> None:
    crowded: Objects = {**OBJECTS, "crowd": torch.tensor([False, False, True]), "difficult": torch.tensor([True] * 3)}
    regions = label_regions(PROPOSALS, crowded, 3)
    assert regions.labels.tolist() == [2, 0, 2, 0, IGNORED, IGNORED, BACKGROUND]
    assert regions.classes.tolist() == [2, 0]
    assert torch.equal(regions.truths, OBJECTS["boxes"][:2])


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"objects: label 2: must be from 0 to 1"):
        label_regions(PROPOSALS, OBJECTS, 2)
    with pytest.raises(ValueError, match=r"objects\[0\]=\(5, 5, 1, 9\): must be x1 < x2"):
        label_regions(PROPOSALS, {"boxes": torch.tensor([[5.0, 5.0, 1.0, 9.0]]), "labels": torch.tensor([0])}, 2)
    with pytest.raises(ValueError, match=r"foreground=0\.5, background=0\.6: must be 0 ≤ background ≤ foreground"):
        label_regions(PROPOSALS, OBJECTS, 3, background=0.6)
