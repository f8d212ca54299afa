"""Nothing smaller than the distance shows more of where a thing lies than that it is there."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.scenes.composing import Scenes
from datamodules.scenes.difficulty import Difficulty

Make = Callable[..., dict[str, Scenes]]
STEPS = {"right": (1, 0), "left": (-1, 0), "below": (0, 1), "above": (0, -1)}
LARGE, SMALL = 1, 2


def inked(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a flat background is not as it is in the corner."""
    return np.asarray((picture != picture[:, :1, :1]).any(axis=0))


@pytest.mark.parametrize(("size", "distance"), [(64, 12), (48, 8), (96, 22)])
def test_a_window_of_that_many_pixels_never_shows_two_of_large_thing_small_thing_and_border(
    size: int, distance: int
) -> None:
    flat = {"shade": 0, "contrast": [0, 0], "specks": [0, 0], "noise": 0}
    train = Scenes("relation", Difficulty.of({**flat, "size": [0.14, 0.17], "distance": distance}, side=size))
    slack = set()
    for index in range(120):
        _, drawing = train.drawn(index, size)
        ink = inked(drawing.picture)
        spans = []
        for label in (LARGE, SMALL):
            x1, y1, x2, y2 = drawing.boxes[label - 1].astype(int)
            # Soft edges and thin tips reach further than the mask.
            window = slice(y1 - 4, y2 + 4), slice(x1 - 4, x2 + 4)
            own = np.zeros_like(ink)
            own[window] = ink[window]
            ink &= ~own
            rows, columns = np.nonzero(own)
            spans.append(np.array([[columns.min(), columns.max()], [rows.min(), rows.max()]]))
        assert not ink.any()
        large, small = spans
        between = np.maximum(large[:, 0] - small[:, 1], small[:, 0] - large[:, 1]).max() - 1
        borders = min(min(span.min(), size - 1 - span.max()) for span in spans)
        assert between >= distance
        assert borders >= distance
        slack.add(between - distance)
    assert min(slack) <= 1


def test_the_small_thing_lies_where_the_class_says_by_its_pixels(scenes: Make) -> None:
    train = scenes("scenes_relation")["train"]
    for index in range(100):
        scene, drawing = train.drawn(index, 64)
        large, small = (np.argwhere(drawing.instances == label).mean(axis=0)[::-1] for label in (LARGE, SMALL))
        step = np.asarray(STEPS[train.class_names[train.label(index)]])
        along, across = (small - large) @ step, (small - large) @ step[::-1]
        assert along > 1.5 * abs(across)
        assert scene.things[0].size > 1.8 * scene.things[1].size


def test_distance_is_in_pixels_of_the_picture_and_the_scene_else_the_same_at_every_size(scenes: Make) -> None:
    train = scenes("scenes_relation")["train"]
    scene, small = train.drawn(5, 64)
    again, large = train.drawn(5, 128)
    assert scene == again
    assert large.boxes == pytest.approx(2 * small.boxes, abs=3)
