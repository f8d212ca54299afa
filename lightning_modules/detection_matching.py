"""Which detections are true, which false, and which count for nothing, as PASCAL VOC defines it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lightning_modules.detections import Flags, Floats, Integers, Picture, overlaps

MINIMUM_OVERLAP = 0.5
"""The intersection over union from which on a box has found an object."""


@dataclass(frozen=True, eq=False)
class Matches:
    """The N detections of all pictures, by falling score; among equal scores, by falling overlap.

    Attributes:
        scores: `(N,)`.
        labels: `(N,)`.
        overlap: `(N,)`, the best IoU with an object of its class in its picture; 0 where there is none.
        other_overlap: `(N,)`, the same of the other classes.
        true: `(N,)`, the first to find its object.
        ignored: `(N,)`, neither true nor false.
        objects: `(K,)`, how many of each class are to be found: neither difficult nor a crowd.
    """

    scores: Floats
    labels: Integers
    overlap: Floats
    other_overlap: Floats
    true: Flags
    ignored: Flags
    objects: Integers


def match(pictures: Sequence[Picture], num_classes: int) -> Matches:
    """Give each detection the object of its class that it overlaps most (Everingham et al. 2010, section 4.2).

    Where that is at least `MINIMUM_OVERLAP`, the detection of the highest score is true and the others of the same
    object are false; those of a difficult object are ignored. Of VOC's evaluation, whose pixels are inclusive, this
    is the IoU of exclusive boxes. VOC has no crowds: as in COCO, a detection of which half lies in a crowd of its class
    is ignored where it would be false.
    """
    parts = [_overlaps(picture) for picture in pictures]
    first = np.cumsum([0, *(len(picture.truth.labels) for picture in pictures)])
    best = _join([part[0] + start for part, start in zip(parts, first, strict=False)]).astype(np.int64)
    overlap, other_overlap, in_crowd = (_join([part[number] for part in parts]) for number in (1, 2, 3))
    scores = _join([picture.scores for picture in pictures])
    labels = _join([picture.labels for picture in pictures]).astype(np.int64)

    # The order of equal scores must follow from what was detected, not from the order in which it is listed.
    order = np.lexsort((-other_overlap, -overlap, -scores))
    best, labels, in_crowd = best[order], labels[order], in_crowd[order]
    overlap, other_overlap, scores = overlap[order], other_overlap[order], scores[order]
    finds = overlap >= MINIMUM_OVERLAP
    difficult = _join([picture.truth.difficult for picture in pictures]).astype(np.bool_)
    finds_difficult = np.zeros(len(finds), dtype=np.bool_)
    finds_difficult[finds] = difficult[best[finds]]
    candidates = np.flatnonzero(finds & ~finds_difficult)
    true = np.zeros(len(finds), dtype=np.bool_)
    true[candidates[np.unique(best[candidates], return_index=True)[1]]] = True

    counted = [picture.truth.labels[~picture.truth.difficult & ~picture.truth.crowd] for picture in pictures]
    return Matches(
        scores=scores,
        labels=labels,
        overlap=overlap,
        other_overlap=other_overlap,
        true=true,
        ignored=finds_difficult | (~true & in_crowd.astype(np.bool_)),
        objects=np.bincount(_join(counted).astype(np.int64), minlength=num_classes),
    )


def _overlaps(picture: Picture) -> tuple[Integers, Floats, Floats, Flags]:
    """Return, `(N,)` each: the object of most overlap, that overlap, that of other classes, whether half in a crowd."""
    truth, count = picture.truth, len(picture.labels)
    if not len(truth.labels):
        return np.zeros(count, dtype=np.int64), np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.bool_)
    over_union, over_box = overlaps(picture.boxes, truth.boxes)
    own = picture.labels[:, None] == truth.labels[None, :]
    proper = np.where(own & ~truth.crowd, over_union, 0.0)
    other = np.where(~own & ~truth.crowd, over_union, 0.0)
    crowded = (own & truth.crowd & (over_box >= MINIMUM_OVERLAP)).any(axis=1)
    return proper.argmax(axis=1), proper.max(axis=1), other.max(axis=1), crowded


def _join(parts: Sequence[Floats | Integers | Flags]) -> Floats:
    return np.concatenate([np.zeros(0), *parts])
