"""Selective search: what holds for every picture, and that it finds what is there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.proposals import selective_search
from datamodules.proposals.recall import best_overlaps, recall
from datamodules.proposals.selective_search import MODES, SelectiveSearch, picture_digest
from datamodules.scenes.annotation import annotate
from datamodules.scenes.composing import Scenes
from datamodules.scenes.difficulty import Difficulty

SCENES = Scenes("shape", Difficulty(things=(1, 3), size=(0.25, 0.45), visible=0.6), seed=2000)
FAST = SelectiveSearch("fast")


def picture(index: int = 0, size: int = 64) -> NDArray[np.uint8]:
    return np.ascontiguousarray(SCENES.drawn(index, size)[1].picture.transpose(1, 2, 0))


def check(boxes: NDArray[np.float32], height: int, width: int) -> None:
    assert boxes.dtype == np.float32
    assert boxes.shape == (len(boxes), 4)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [width, height]).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()
    assert np.array_equal(boxes, np.round(boxes))
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert [0, 0, width, height] in boxes.tolist()


@settings(max_examples=25, deadline=None)
@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from((1, 3, 4))),
        elements=st.sampled_from((0, 1, 128, 255)),
    ),
    st.sampled_from((3, 7, 500)),
)
def test_boxes_of_any_small_picture_are_inside_and_different(given_picture: NDArray[np.uint8], side: int) -> None:
    boxes = SelectiveSearch(side=side).boxes(given_picture)
    check(boxes, *given_picture.shape[:2])


@pytest.mark.parametrize("mode", MODES)
def test_boxes_are_the_same_to_the_bit_whatever_was_searched_before(mode: str) -> None:
    search = SelectiveSearch(mode)
    first = search.boxes(picture(size=40))
    check(first, 40, 40)
    search.boxes(picture(1, size=24))
    assert first.tobytes() == SelectiveSearch(mode).boxes(picture(size=40)).tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (33, 57)])
def test_a_picture_of_one_colour_is_one_box(shape: tuple[int, int]) -> None:
    for colour in (0, 77, 255):
        found = SelectiveSearch("quality").boxes(np.full((*shape, 3), colour, dtype=np.uint8))
        assert found.tolist() == [[0, 0, shape[1], shape[0]]]


def test_grey_is_searched_as_rgb_of_three_equal_channels() -> None:
    grey = picture()[:, :, 1]
    found = FAST.boxes(grey)
    assert len(found) > 10
    assert np.array_equal(found, FAST.boxes(grey[:, :, None]))
    assert np.array_equal(found, FAST.boxes(np.repeat(grey[:, :, None], 3, axis=2)))


def test_a_view_is_searched_as_its_copy() -> None:
    view = picture()[:, ::-1]
    assert np.array_equal(FAST.boxes(view), FAST.boxes(view.copy()))


def test_the_seed_changes_the_order_and_nothing_else() -> None:
    found, other = FAST.boxes(picture()), SelectiveSearch(seed=1).boxes(picture())
    assert not np.array_equal(found, other)
    assert np.array_equal(np.unique(found, axis=0), np.unique(other, axis=0))


def test_every_picture_draws_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = np.zeros((2, 1, 3), dtype=np.uint8), np.zeros((1, 2, 3), dtype=np.uint8)
    assert len({picture_digest(given_picture) for given_picture in (one, other, one + 1)}) == 3
    found = FAST.boxes(picture())
    monkeypatch.setattr(selective_search, "picture_digest", lambda _: "another picture's")
    other_order = FAST.boxes(picture())
    assert not np.array_equal(found, other_order)
    assert np.array_equal(np.unique(found, axis=0), np.unique(other_order, axis=0))


def test_a_larger_picture_is_searched_small_and_its_boxes_are_enlarged_outwards() -> None:
    large = np.zeros((90, 150, 3), dtype=np.uint8)
    large[30:60, 45:105] = (250, 20, 20)
    found = SelectiveSearch(side=50).boxes(large)
    check(found, 90, 150)
    assert [45, 30, 105, 60] in found.tolist()
    odd = SelectiveSearch(side=50).boxes(large[:89, :149])
    check(odd, 89, 149)
    assert (best_overlaps(odd, np.array([[45, 30, 105, 60]]), [len(odd)]) > 0.85).all()


def test_large_regions_tend_to_come_first() -> None:
    boxes = FAST.boxes(picture())
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    third = len(boxes) // 3
    assert areas[:third].mean() > 2 * areas[-third:].mean()


def test_quality_proposes_more_and_finds_what_fast_finds() -> None:
    fast, quality = (SelectiveSearch(mode).boxes(picture(3, 40)) for mode in ("fast", "quality"))
    assert len(quality) > 2 * len(fast)
    assert set(map(tuple, fast.tolist())) <= set(map(tuple, quality.tolist()))


def test_it_finds_the_things_of_scenes() -> None:
    overlaps = []
    for index in range(12):
        scene = annotate(SCENES, index, 64)
        boxes = FAST.boxes(scene.picture.transpose(1, 2, 0))
        overlaps.append(best_overlaps(boxes, scene.boxes, [200]))
    assert recall(np.concatenate(overlaps, axis=1), 0.5)[0] >= 0.85


def test_what_it_cannot_search_is_one_line() -> None:
    with pytest.raises(DataError, match=r"^mode=slow: must be one of fast, quality$"):
        SelectiveSearch("slow")
    with pytest.raises(DataError, match=r"^side=0: must be at least 1$"):
        SelectiveSearch(side=0)
    for shape in ((0, 5, 3), (5, 5, 2), (5,)):
        with pytest.raises(DataError, match=r"^picture of"):
            FAST.boxes(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(DataError, match=r"^picture of shape \(5, 5, 3\), float64: must be uint8"):
        FAST.boxes(np.zeros((5, 5, 3)))  # type: ignore[arg-type]
