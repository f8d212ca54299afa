"""The centre unit of a map: where its values lie in the tensor, and which point of the image it looks at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from experiments.measures.reach import Reach, Status
from experiments.measures.sight import AXES, PLAIN, Dimension, Part, Sight, plain

MAP_RANK = 4  # (N, C, H, W)


@dataclass(frozen=True, eq=False)
class CentreUnit:
    """The unit in the middle of a map, of an even number of units the one after the middle.

    Attributes:
        units: rows and columns of the map.
        index: row and column of the unit.
        centre: the middle (y, x) of its theoretical receptive field, in pixels, 0 the middle of the first one. Where
            that is the whole image, of the shortest path's that moves with the unit; where there is none such, or the
            status is bound or unsupported, the point that lies in the image as the unit in its map.
        window: the first and the last pixel per axis (y, x) of its theoretical receptive field, padding included; None
            where it depends on the input's size or is not known.
        dims: which dimensions of the map's tensor, of one image, hold the units.
    """

    units: tuple[int, int]
    index: tuple[int, int]
    centre: tuple[float, float]
    window: tuple[tuple[int, int], tuple[int, int]] | None
    dims: tuple[Dimension, ...]

    def values(self, maps: Tensor, images: int) -> Tensor:
        """Return the channels of the unit, `(images, channels)`, given the tensor of the map, `(images, …)`."""
        values = maps.reshape(images, -1, *maps.shape[1:])
        for dim, dimension in enumerate(self.dims, start=1):
            values = values.index_select(dim, torch.from_numpy(_middle(dimension)).to(maps.device))
        return values.flatten(1)


def centre_unit(sight: Sight | None, shape: Sequence[int], image: tuple[int, int]) -> CentreUnit:
    """Return the centre unit of a tensor of `shape` (of one image) that sees `image`, `(H, W)`, as `sight` says.

    A tensor of which that is not known is a map if its shape is `(1, C, H, W)`.

    Raises:
        ValueError: the tensor is no map.
    """
    if sight is None and len(shape) == MAP_RANK:
        dims: tuple[Dimension, ...] = ((), plain(shape[1]), (Part(shape[2], 0),), (Part(shape[3], 1),))
    else:
        dims = sight.dims if sight else ()
    lengths = [
        [part.size for dimension in dims for part in dimension if part.axis == axis] for axis in range(len(AXES))
    ]
    if [len(length) for length in lengths] != [1, 1]:
        raise ValueError(f"puts out {tuple(shape[1:])}, which is no map of units along y and x")
    units = (lengths[0][0], lengths[1][0])
    index = (units[0] // 2, units[1] // 2)
    reaches = sight.reaches if sight else (None, None)
    views = [_view(reach, *at) for reach, *at in zip(reaches, index, units, image, strict=True)]
    (y, rows), (x, columns) = views
    return CentreUnit(units, index, (y, x), (rows, columns) if rows and columns else None, dims)


def _view(reach: Reach | None, unit: int, units: int, size: int) -> tuple[float, tuple[int, int] | None]:
    """Return the point of an axis that a unit looks at, and its window if there is one that holds at any input size."""
    window = None if reach is None else reach.widest
    looks = window
    if reach is not None and reach.status is Status.WHOLE_IMAGE:
        looks = next((path for path in reach.shortest if path.shift), None)
    if looks is None:
        return (unit + 0.5) * size / units - 0.5, None
    first, last = (int(ends[0]) for ends in looks.at(np.array([unit])))
    return (first + last) / 2, (first, last) if window else None


def _middle(dimension: Dimension) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return the positions of a dimension that belong to the centre unit: of channels all, of units one."""
    sizes = [part.size for part in dimension]
    positions = np.arange(np.prod(sizes, dtype=np.int64)).reshape(sizes)
    return positions[tuple(slice(None) if part.axis == PLAIN else part.size // 2 for part in dimension)].ravel()
