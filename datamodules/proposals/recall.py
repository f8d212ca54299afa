"""How well proposals cover the objects: recall, and mean average best overlap (Uijlings et al. 2013, section 5)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.proposals.boxes import iou

Overlaps = NDArray[np.float64]


def best_overlaps(boxes: NDArray[Any], truths: NDArray[Any], counts: Sequence[int]) -> Overlaps:
    """Return the best IoU of each of M true boxes with the first n of N proposals, for each of K n, `(K, M)`.

    Those of several pictures are joined along the second axis. Where there are fewer than n proposals all count; where
    there are none every overlap is 0.

    Args:
        boxes: proposals of one picture, `(N, 4)`, the best first.
        truths: boxes of its objects, `(M, 4)`.
        counts: the K n.

    Raises:
        DataError: as `iou`; an n below 1.
    """
    if any(count < 1 for count in counts):
        raise DataError(f"counts={list(counts)}: must all be at least 1")
    overlaps = iou(boxes, truths)
    so_far = np.maximum.accumulate(np.concatenate([np.zeros((1, overlaps.shape[1])), overlaps]), axis=0)
    return so_far[np.minimum(np.asarray(counts, dtype=np.int64), len(overlaps))]


def recall(overlaps: Overlaps, threshold: float) -> NDArray[np.float64]:
    """Return the share of the M true boxes whose best overlap is at least `threshold`, `(K,)`, from 0 to 1.

    Args:
        overlaps: `(K, M)`, of `best_overlaps`.
        threshold: an IoU, above 0 and at most 1.

    Raises:
        DataError: another threshold, or no true box.
    """
    if not 0 < threshold <= 1:
        raise DataError(f"threshold={threshold:g}: must be above 0 and at most 1")
    return np.asarray((_any(overlaps) >= threshold).mean(axis=1), dtype=np.float64)


def mean_average_best_overlap(overlaps: Overlaps, classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean, over the classes, of each class's mean best overlap, `(K,)`, from 0 to 1 (section 5).

    Args:
        overlaps: `(K, M)`, of `best_overlaps`.
        classes: of the M true boxes, `(M,)`.

    Raises:
        DataError: no true box, or not as many classes as true boxes.
    """
    if np.shape(classes) != _any(overlaps).shape[1:]:
        raise DataError(f"classes of shape {np.shape(classes)}: must be ({overlaps.shape[1]},), one for each true box")
    averages = [overlaps[:, classes == kind].mean(axis=1) for kind in np.unique(classes)]
    return np.asarray(np.mean(averages, axis=0), dtype=np.float64)


def _any(overlaps: Overlaps) -> Overlaps:
    if not overlaps.shape[1]:
        raise DataError("no true box: nothing could be found, and nothing missed")
    return overlaps
