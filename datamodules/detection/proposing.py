"""Which region proposals come with each picture: found before it is augmented, and moved along with it.

Nobody would wait for a search of every augmented picture: it takes 0.1 s (scenes) to seconds (photographs), each epoch
anew. Searched once, the boxes of a picture are kept; and flipped or cut off with it they hold what they held before.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from datamodules.detection.objects import ObjectRows
from datamodules.detection.spec import check_whole
from datamodules.errors import DataError
from datamodules.pictures import Picture
from datamodules.proposals.boxes import Boxes
from datamodules.proposals.cache import ProposalCache
from datamodules.proposals.jittered import jittered_boxes
from datamodules.proposals.selective_search import SelectiveSearch
from datamodules.proposals.sliding_windows import sliding_windows

SEED = 0
"""Of what is random in proposals: they belong to the data, and are the same under every seed of a run."""

# From a picture, its objects, its index in the data set and a number of boxes to boxes.
_Kind = Callable[[Picture, ObjectRows, int, int], Boxes]


@functools.lru_cache(maxsize=64)
def _windows(height: int, width: int, count: int) -> Boxes:
    """Return the windows of a size of pictures; they take longer to place than a picture to augment."""
    windows = sliding_windows(height, width, count)
    windows.flags.writeable = False
    return windows


SEARCHES: Mapping[str, SelectiveSearch] = {
    f"selective_search_{mode}": SelectiveSearch(mode, seed=SEED) for mode in ("fast", "quality")
}
CONTROLS: Mapping[str, _Kind] = {
    "sliding_windows": lambda picture, _, __, count: _windows(picture.shape[0], picture.shape[1], count),
    # Of a crowd nobody can say where its objects are.
    "jittered": lambda picture, objects, index, count: jittered_boxes(
        objects.boxes[~objects.crowd], picture.shape[0], picture.shape[1], count, seed=SEED, index=index
    ),
}
KINDS = (*SEARCHES, *CONTROLS)


class Proposer:
    """Gives every picture its proposals.

    Args:
        kind: of `KINDS`.
        count: boxes per picture at most, the likely ones.
        root: the folder of the data; what a search found is kept in `root/proposals/`.

    Raises:
        DataError: another kind, or a count below 1.
    """

    def __init__(self, kind: str, count: int, root: Path) -> None:
        if kind not in KINDS:
            raise DataError(f"proposals={kind}: must be null or one of {', '.join(KINDS)}")
        check_whole("num_proposals", count, 1)
        self.kind = kind
        self.count = count
        self._cache = ProposalCache(root, SEARCHES[kind]) if kind in SEARCHES else None

    def boxes(self, picture: Picture, objects: ObjectRows, index: int) -> Boxes:
        """Return the proposals of a sample as it is, before any augmentation, `(P, 4)`; the likely ones first.

        Args:
            picture: `(H, W, C)`.
            objects: in the picture; only `jittered` looks at them, and finds none without.
            index: of the sample in its data set.

        Raises:
            DataError: what a search found cannot be kept.
        """
        if self._cache is not None:
            return self._cache.boxes(picture)[: self.count]
        return CONTROLS[self.kind](picture, objects, index, self.count)

    def anywhere(self, picture: Picture) -> Boxes:
        """Return the proposals of a picture of no data set, `(P, 4)`.

        Raises:
            DataError: proposals that are made from the objects, which nobody knows here.
        """
        if self.kind == "jittered":
            raise DataError("proposals=jittered: made from the objects of a data set; this picture is of none")
        return self.boxes(picture, ObjectRows.of([], []), 0)
