"""Grouping in step, against the paper's algorithm written down plainly."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from datamodules.proposals.grouping import Grouping, hierarchies
from datamodules.proposals.segments import Segments

GENERATOR = np.random.default_rng(1)


def made_up(rows: int, columns: int) -> Segments:
    """Segments of a grid of cells of uneven sizes, with histograms of chance."""
    heights, widths = GENERATOR.integers(3, 9, rows), GENERATOR.integers(3, 9, columns)
    y, x = np.concatenate([[0], np.cumsum(heights)]), np.concatenate([[0], np.cumsum(widths)])
    boxes = [(x[j], y[i], x[j + 1], y[i + 1]) for i in range(rows) for j in range(columns)]
    right = [(i * columns + j, i * columns + j + 1) for i in range(rows) for j in range(columns - 1)]
    below = [(i * columns + j, (i + 1) * columns + j) for i in range(rows - 1) for j in range(columns)]
    colour, texture = (GENERATOR.random((rows * columns, width)) for width in (6, 10))
    return Segments(
        pixels=int(y[-1] * x[-1]),
        sizes=np.outer(heights, widths).ravel().astype(np.float32),
        boxes=np.array(boxes, dtype=np.int32),
        colour=(colour / colour.sum(axis=1, keepdims=True)).astype(np.float32),
        texture=(texture / texture.sum(axis=1, keepdims=True)).astype(np.float32),
        neighbours=np.array(right + below, dtype=np.int32).reshape(-1, 2),
    )


def plainly(segments: Segments, similarities: str) -> NDArray[np.int32]:
    """Algorithm 1 of the paper: all pairs of neighbours compared anew for each region that is made."""
    size = dict(enumerate(segments.sizes.astype(np.float64)))
    box = dict(enumerate(segments.boxes.tolist()))
    histograms = {"C": segments.colour, "T": segments.texture}
    bins = {kind: dict(enumerate(table.astype(np.float64))) for kind, table in histograms.items()}
    near = {number: set[int]() for number in size}
    for one, other in segments.neighbours.tolist():
        near[one].add(other)
        near[other].add(one)

    def around(one: int, other: int) -> list[int]:
        return [*map(min, box[one][:2], box[other][:2]), *map(max, box[one][2:], box[other][2:])]

    def similarity(one: int, other: int) -> float:
        together = size[one] + size[other]
        x1, y1, x2, y2 = around(one, other)
        parts = {
            "C": np.minimum(bins["C"][one], bins["C"][other]).sum(),
            "T": np.minimum(bins["T"][one], bins["T"][other]).sum(),
            "S": 1 - together / segments.pixels,
            "F": 1 - ((x2 - x1) * (y2 - y1) - together) / segments.pixels,
        }
        return float(sum(parts[letter] for letter in similarities))

    made = []
    while len(near) > 1:
        pairs = [(one, other) for one, other in combinations(near, 2) if other in near[one]]
        one, other = max(pairs, key=lambda pair: similarity(*pair))
        new = len(box)
        box[new], size[new] = around(one, other), size[one] + size[other]
        for table in bins.values():
            table[new] = (size[one] * table[one] + size[other] * table[other]) / size[new]
        near[new] = (near[one] | near[other]) - {one, other}
        for gone in (one, other):
            del near[gone]
        for neighbour in near[new]:
            near[neighbour] = (near[neighbour] - {one, other}) | {new}
        made.append(box[new])
    return np.array([*made[::-1], *segments.boxes.tolist()], dtype=np.int32)


@pytest.mark.parametrize("similarities", ["CTSF", "TSF", "CT", "C"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 2), (5, 7), (8, 9)])
def test_regions_are_those_of_the_plain_algorithm(similarities: str, shape: tuple[int, int]) -> None:
    segments = made_up(*shape)
    (found,) = hierarchies([Grouping(segments, similarities)])
    assert np.array_equal(found, plainly(segments, similarities))


def test_groupings_do_not_disturb_each_other() -> None:
    asked = [
        Grouping(made_up(*shape), similarities)
        for shape in ((3, 3), (1, 1), (6, 8), (2, 5))
        for similarities in ("CTSF", "TSF", "F", "S")
    ]
    alone = [hierarchies([grouping])[0] for grouping in asked]
    for together, one in zip(hierarchies(asked), alone, strict=True):
        assert np.array_equal(together, one)


def test_the_first_region_is_the_whole_picture_and_each_is_made_of_later_ones() -> None:
    segments = made_up(5, 5)
    (found,) = hierarchies([Grouping(segments, "S")])
    assert len(found) == 2 * 25 - 1
    assert found[0].tolist() == [0, 0, segments.boxes[:, 2].max(), segments.boxes[:, 3].max()]
    assert np.array_equal(found[25 - 1 :], segments.boxes)
    for number, (x1, y1, x2, y2) in enumerate(found[: 25 - 1]):
        later = found[number + 1 :]
        inside = later[(later[:, :2] >= [x1, y1]).all(axis=1) & (later[:, 2:] <= [x2, y2]).all(axis=1)]
        assert inside[:, :2].min(axis=0).tolist() == [x1, y1]
        assert inside[:, 2:].max(axis=0).tolist() == [x2, y2]


def test_similar_size_comes_first_small_ones_first() -> None:
    row = made_up(1, 4)
    sizes = np.array([9, 1, 2, 9], dtype=np.float32)
    boxes = np.array([[0, 0, 9, 1], [9, 0, 10, 1], [10, 0, 12, 1], [12, 0, 21, 1]], dtype=np.int32)
    segments = Segments(21, sizes, boxes, row.colour, row.texture, row.neighbours)
    (found,) = hierarchies([Grouping(segments, "S")])
    assert found[2].tolist() == [9, 0, 12, 1]
