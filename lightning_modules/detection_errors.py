"""What false detections are: badly placed, of another class, or nothing at all (Hoiem et al. 2012, section 2.1)."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from lightning_modules.detection_matching import Matches
from lightning_modules.detections import Integers

SOME_OVERLAP = 0.1
"""The IoU below which a box has nothing to do with an object."""


class FalsePositive(IntEnum):
    """Why a detection is false; the first that holds.

    `LOCALISATION`: it overlaps an object of its class by 0.1 or more, too little to have found it, or one that is
    already found. `CLASS`: it overlaps an object of another class by 0.1 or more; the paper parts similar classes from
    others. `BACKGROUND`: all the rest.
    """

    LOCALISATION = 0
    CLASS = 1
    BACKGROUND = 2


@dataclass(frozen=True, eq=False)
class DetectionErrors:
    """The false detections of K classes, as R-CNN looks at them (Girshick et al. 2014, detection error analysis).

    Attributes:
        kinds: K times `(F,)`, a `FalsePositive` each, by falling score.
        objects: `(K,)`, how many objects each class has.
    """

    kinds: tuple[Integers, ...]
    objects: Integers

    def counts(self, top: int | None = None) -> Integers:
        """Return how many of each class's `top` false detections are of each kind, `(K, 3)`.

        Args:
            top: how many of the highest scores; `None` means as many as the class has objects, as in the paper. A class
                that has fewer false detections counts those it has.

        Raises:
            ValueError: `top` below 1.
        """
        if top is not None and top < 1:
            raise ValueError(f"top={top}: must be at least 1")
        return np.array(
            [
                np.bincount(kinds[: int(objects) if top is None else top], minlength=len(FalsePositive))
                for kinds, objects in zip(self.kinds, self.objects, strict=True)
            ],
            dtype=np.int64,
        ).reshape(-1, len(FalsePositive))


def detection_errors(matches: Matches) -> DetectionErrors:
    """Return the kind of each false detection; difficult objects are objects here, crowds are not."""
    kinds = np.select(
        [matches.overlap >= SOME_OVERLAP, matches.other_overlap >= SOME_OVERLAP],
        [int(FalsePositive.LOCALISATION), int(FalsePositive.CLASS)],
        int(FalsePositive.BACKGROUND),
    )
    false = ~matches.true & ~matches.ignored
    return DetectionErrors(
        kinds=tuple(kinds[false & (matches.labels == label)] for label in range(len(matches.objects))),
        objects=matches.objects,
    )
