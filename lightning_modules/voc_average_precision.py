"""Average precision at an overlap of 0.5 as PASCAL VOC has it, and the curves of precision and recall behind it."""

from dataclasses import dataclass

import numpy as np

from lightning_modules.detection_matching import Matches
from lightning_modules.detections import Floats, Integers

LEVELS = 11
"""Of recall: 0, 0.1, … 1 (Everingham et al. 2010, section 4.2)."""


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """One class's precision and recall at each of its P different scores, from the highest.

    Equal scores are one point, since no threshold parts them: among them the false ones are counted first, which
    is the least that any order of them yields.

    Attributes:
        scores: `(P,)`, falling; a detection counts from its score on.
        true: `(P,)`, how many objects are found.
        recall: `(P,)`, their share of the objects; nan where the class has none.
        precision: `(P,)`, their share of the detections.
        objects: how many there are.
    """

    scores: Floats
    true: Integers
    recall: Floats
    precision: Floats
    objects: int

    def interpolated(self) -> Floats:
        """Return, `(P,)`, the highest precision at this recall or a higher one."""
        return np.maximum.accumulate(self.precision[::-1])[::-1]

    def eleven_points(self) -> float:
        """Return the mean interpolated precision at recall 0, 0.1, … 1: of VOC until 2009; nan without objects.

        A level counts as reached by whole numbers, 3 of 10 objects reach 0.3, which sums of 0.1 may miss.
        """
        if not self.objects:
            return float("nan")
        reached = np.searchsorted(self.true * (LEVELS - 1), np.arange(LEVELS) * self.objects)
        return float(np.append(self.interpolated(), 0.0)[reached].mean())

    def area(self) -> float:
        """Return the area under the interpolated precision: of VOC since 2010; nan without objects."""
        if not self.objects:
            return float("nan")
        return float((self.interpolated() * np.diff(self.true, prepend=0)).sum() / self.objects)


@dataclass(frozen=True, eq=False)
class VocScores:
    """Average precision at an overlap of 0.5, from 0 to 1, one of each of K classes.

    That of a class without objects is nan, which no mean includes; of one with objects and no detection, 0.

    Attributes:
        eleven_points: `(K,)`.
        area: `(K,)`.
        curves: K, which give both.
    """

    eleven_points: Floats
    area: Floats
    curves: tuple[PrecisionRecall, ...]


def voc_scores(matches: Matches) -> VocScores:
    """Return the average precision of each class."""
    curves = tuple(_curve(matches, label) for label in range(len(matches.objects)))
    return VocScores(
        eleven_points=np.array([curve.eleven_points() for curve in curves]),
        area=np.array([curve.area() for curve in curves]),
        curves=curves,
    )


def mean(values: Floats) -> float:
    """Return the mean of those values that are numbers; nan where none is."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else float("nan")


def _curve(matches: Matches, label: int) -> PrecisionRecall:
    kept = (matches.labels == label) & ~matches.ignored
    scores = matches.scores[kept]
    last = np.flatnonzero(np.append(np.diff(scores) != 0, len(scores) > 0))
    true = np.cumsum(matches.true[kept], dtype=np.int64)[last]
    objects = int(matches.objects[label])
    return PrecisionRecall(
        scores=scores[last],
        true=true,
        recall=true / objects if objects else np.full(len(last), np.nan),
        precision=true / (last + 1),
        objects=objects,
    )
