"""Selective search: boxes of regions that were grown from segments, in several ways.

Uijlings, van de Sande, Gevers & Smeulders 2013, "Selective search for object recognition", IJCV 104.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.pictures import RGB, Picture, fit_channels
from datamodules.proposals.boxes import Boxes
from datamodules.proposals.colours import COLOUR_SPACES
from datamodules.proposals.draws import Draws
from datamodules.proposals.grouping import Grouping, hierarchies
from datamodules.proposals.segments import Channels


class Mode(NamedTuple):
    """The strategies that are combined: every colour space with every sum of similarities and every k."""

    colour_spaces: tuple[str, ...]
    similarities: tuple[str, ...]
    ks: tuple[int, ...]


MODES = {
    "fast": Mode(("HSV", "Lab"), ("CTSF", "TSF"), (50, 100)),
    "quality": Mode(("HSV", "Lab", "rgI", "H", "I"), ("CTSF", "TSF", "F", "S"), (50, 100, 150, 300)),
}
"""The 8 and the 80 strategies of section 5.1.3, table 5."""


@dataclass(frozen=True)
class SelectiveSearch:
    """Proposes boxes; they are a function of the picture and of these settings alone.

    Args:
        mode: of `MODES`.
        side: pixels of the longer side to which a larger picture is shrunk before it is searched; 500 in the authors'
            code for R-CNN. Less is faster and finds fewer small objects.
        seed: of the random part of the rank.

    Raises:
        DataError: an unknown mode, or a side below 1.
    """

    mode: str = "fast"
    side: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise DataError(f"mode={self.mode}: must be one of {', '.join(MODES)}")
        if self.side < 1:
            raise DataError(f"side={self.side}: must be at least 1")

    def boxes(self, picture: Picture) -> Boxes:
        """Return boxes that may hold an object, likely ones first, no two alike.

        They are ordered as in section 3.3: by the place in the hierarchy, 1 for the whole picture, times a random
        number from 0 to 1. Of boxes that are found several times, the first counts.

        Args:
            picture: uint8 `(H, W)` or `(H, W, C)`: grey, RGB, or RGB and opacity.

        Raises:
            DataError: no such picture.
        """
        picture = fit_channels(picture, RGB)
        searched = _shrunk(picture, self.side)
        regions = hierarchies(list(_groupings(searched, MODES[self.mode])))
        places = np.concatenate([np.arange(1, len(one) + 1) for one in regions])
        draws = Draws("selective search", self.seed, picture_digest(picture))
        order = np.argsort(places * draws.next(len(places)), kind="stable")
        return _enlarged(_unique(np.concatenate(regions)[order]), searched, picture)


def picture_digest(picture: Picture) -> str:
    """Return the SHA-256 of a picture's shape and pixels, in hexadecimal."""
    digest = hashlib.sha256(str(picture.shape).encode())
    digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


def _shrunk(picture: Picture, side: int) -> Picture:
    longer = max(picture.shape[:2])
    picture = np.ascontiguousarray(picture)
    if longer <= side:
        return picture
    height, width = (max(round(given * side / longer), 1) for given in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _groupings(picture: Picture, mode: Mode) -> list[Grouping]:
    groupings = []
    for space in mode.colour_spaces:
        channels = Channels(COLOUR_SPACES[space](picture))
        for k in mode.ks:
            segments = channels.segments(k)
            groupings += [Grouping(segments, similarities) for similarities in mode.similarities]
    return groupings


def _unique(boxes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return each box once, in the order in which they were met."""
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)]


def _enlarged(boxes: NDArray[np.int32], searched: Picture, picture: Picture) -> Boxes:
    """Return the smallest boxes of whole pixels of `picture` that hold those of `searched`."""
    (low, narrow), (high, wide) = searched.shape[:2], picture.shape[:2]
    corners = boxes.astype(np.int64) * np.array([wide, high, wide, high])
    scale = np.array([narrow, low])
    return np.concatenate([corners[:, :2] // scale, -(-corners[:, 2:] // scale)], axis=1).astype(np.float32)
