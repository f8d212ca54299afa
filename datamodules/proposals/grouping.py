"""Hierarchical grouping: neighbours merged, the most similar first, until one region is left.

Uijlings et al. 2013, sections 3.1 and 3.2. Several groupings go in step, so that what a call of NumPy costs is paid
once for all of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.proposals.segments import Segments

NEVER = -np.inf


class Grouping(NamedTuple):
    """What is grouped, and by what.

    Attributes:
        segments: from which it begins.
        similarities: whose sum decides (equation 6): of C colour, T texture, S size, F fill.
    """

    segments: Segments
    similarities: str


def hierarchies(groupings: Sequence[Grouping]) -> list[NDArray[np.int32]]:
    """Return the boxes of every grouping's regions, int32 `(2 n − 1, 4)` each, for n segments.

    The first is that of the whole picture, which is made last; then what is made before; the last n are the segments.
    """
    # Those with most segments first: those that are done are then the last rows.
    order = sorted(range(len(groupings)), key=lambda number: -len(groupings[number].segments.sizes))
    merged = _Lockstep([groupings[number] for number in order]).merged()
    found = dict(zip(order, merged, strict=True))
    return [np.concatenate([found[number][::-1], grouping.segments.boxes]) for number, grouping in enumerate(groupings)]


class _Lockstep:
    """G groupings, each a row of at most E pairs of neighbours; their regions lie in one table, one after the other.

    A region that is made takes the place of the first of the two that it is made of.
    """

    def __init__(self, groupings: Sequence[Grouping]) -> None:
        segments = [grouping.segments for grouping in groupings]
        self._counts = np.array([len(one.sizes) for one in segments])
        starts = np.cumsum(self._counts) - self._counts
        longest = max(len(one.neighbours) for one in segments)
        self._first = np.full((len(groupings), longest), -1, dtype=np.int32)
        self._second = self._first.copy()
        for row, (one, start) in enumerate(zip(segments, starts, strict=True)):
            self._first[row, : len(one.neighbours)] = one.neighbours[:, 0] + start
            self._second[row, : len(one.neighbours)] = one.neighbours[:, 1] + start
        self._sizes = np.concatenate([one.sizes / np.float32(one.pixels) for one in segments])
        self._boxes = np.concatenate([one.boxes for one in segments])
        self._pixels = np.array([one.pixels for one in segments], dtype=np.float32)
        self._by_size, self._by_fill = (
            np.array([letter in grouping.similarities for grouping in groupings], dtype=np.float32) for letter in "SF"
        )
        self._histograms = _joined([_features(grouping) for grouping in groupings])
        self._place = np.zeros(len(self._sizes), dtype=np.int64)
        self._similarity = np.full(self._first.shape, NEVER, dtype=np.float32)
        rows, columns = np.nonzero(self._first >= 0)
        self._similarity[rows, columns] = self._similarities(
            rows, self._first[rows, columns], self._second[rows, columns]
        )

    def merged(self) -> list[NDArray[np.int32]]:
        """Return the boxes of what is made in each grouping, `(n − 1, 4)`, in the order in which it is made."""
        steps = int(self._counts[0]) - 1
        found = np.empty((len(self._counts), steps, 4), dtype=np.int32)
        compact_at = steps // 2
        for step in range(steps):
            rows = int(np.count_nonzero(self._counts - 1 > step))
            found[:rows, step] = self._step(rows)
            if step >= compact_at:
                self._drop_dead(rows)
                compact_at = (step + steps + 1) // 2
        return [boxes[: count - 1] for boxes, count in zip(found, self._counts, strict=True)]

    def _step(self, rows: int) -> NDArray[np.int32]:
        """Merge the most similar pair of each of the first `rows` groupings; return the boxes of what is made."""
        first, second, similarity = self._first[:rows], self._second[:rows], self._similarity[:rows]
        every = np.arange(rows)
        best = similarity.argmax(axis=1)
        kept, gone = first[every, best], second[every, best]
        sizes = self._sizes[kept] + self._sizes[gone]
        if self._histograms.shape[1]:
            share = (self._sizes[gone] / sizes)[:, None]
            ours = self._histograms[kept]
            self._histograms[kept] = ours + share * (self._histograms[gone] - ours)
        self._sizes[kept] = sizes
        boxes = _around(self._boxes[kept], self._boxes[gone])
        self._boxes[kept] = boxes

        left, right = kept[:, None], gone[:, None]
        np.copyto(first, left, where=first == right)
        np.copyto(second, left, where=second == right)
        row, column = np.nonzero((first == left) | (second == left))
        mine = kept[row]
        other = first[row, column] + second[row, column] - mine
        # A neighbour of both is met twice; the last place that was written is kept.
        places = np.arange(len(other))
        self._place[other] = places
        alive = (self._place[other] == places) & (other != mine)
        dead = ~alive
        first[row[dead], column[dead]] = second[row[dead], column[dead]] = -1
        similarity[row[dead], column[dead]] = NEVER
        row, column, other, mine = row[alive], column[alive], other[alive], mine[alive]
        similarity[row, column] = self._similarities(row, mine, other)
        return boxes

    def _similarities(
        self, rows: NDArray[np.int64], one: NDArray[np.int32], other: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Return how similar pairs of regions are, `(p,)`."""
        together = self._sizes[one] + self._sizes[other]
        around = _around(self._boxes[one], self._boxes[other])
        area = (around[:, 2] - around[:, 0]) * (around[:, 3] - around[:, 1]) / self._pixels[rows]
        similarity = self._by_size[rows] * (1 - together) + self._by_fill[rows] * (1 - (area - together))
        if self._histograms.shape[1]:
            similarity += np.minimum(self._histograms[one], self._histograms[other]).sum(axis=1)
        return np.asarray(similarity, dtype=np.float32)

    def _drop_dead(self, rows: int) -> None:
        dead = self._first[:rows] < 0
        longest = int((~dead).sum(axis=1).max())
        order = np.argsort(dead, axis=1, kind="stable")[:, :longest]
        self._first = np.take_along_axis(self._first[:rows], order, axis=1)
        self._second = np.take_along_axis(self._second[:rows], order, axis=1)
        self._similarity = np.take_along_axis(self._similarity[:rows], order, axis=1)


def _features(grouping: Grouping) -> NDArray[np.float32]:
    """Return the histograms whose intersections are added up, side by side, `(n, width)`."""
    segments = grouping.segments
    histograms = {"C": segments.colour, "T": segments.texture}
    asked = [histogram for letter, histogram in histograms.items() if letter in grouping.similarities]
    return np.concatenate([np.empty((len(segments.sizes), 0), dtype=np.float32), *asked], axis=1)


def _joined(tables: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return tables one below the other, narrow ones filled up with zeros, which add nothing to an intersection."""
    joined = np.zeros((sum(map(len, tables)), max(table.shape[1] for table in tables)), dtype=np.float32)
    start = 0
    for table in tables:
        joined[start : start + len(table), : table.shape[1]] = table
        start += len(table)
    return joined


def _around(one: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.concatenate([np.minimum(one[:, :2], other[:, :2]), np.maximum(one[:, 2:], other[:, 2:])], axis=1)
