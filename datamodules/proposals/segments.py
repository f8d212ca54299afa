"""The segments from which selective search grows its regions, and what is measured of each.

Felzenszwalb & Huttenlocher 2004, "Efficient graph-based image segmentation", through scikit-image. What is measured is
that of Uijlings et al. 2013, section 3.2: histograms of colour and of texture, size and box.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.proposals.colours import ChannelArray

COLOUR_BINS = 25
TEXTURE_BINS = 10
AXES = 4  # each of two directions: eight, 45 degrees apart
SMOOTHING = 0.8  # sigma in pixels, before segmentation: Felzenszwalb's
TEXTURE_SIGMA = 1.0  # pixels
STRONGEST = 255 / math.sqrt(2 * math.pi)  # the derivative at a step from black to white
REFERENCE_PIXELS = 500 * 375  # of the photographs for which the paper's k were chosen

Labels = NDArray[np.int64]
Histograms = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """The n segments of a picture in one colour space of C channels.

    Attributes:
        pixels: of the picture.
        sizes: float32 `(n,)`, pixels.
        boxes: int32 `(n, 4)`, `(x1, y1, x2, y2)`, x2 and y2 exclusive.
        colour: float32 `(n, 25 C)`, each row's sum is 1.
        texture: float32 `(n, 80 C)`, each row's sum is 1.
        neighbours: int32 `(e, 2)`, the pairs that share a border, the smaller number first, each once.
    """

    pixels: int
    sizes: NDArray[np.float32]
    boxes: NDArray[np.int32]
    colour: Histograms
    texture: Histograms
    neighbours: NDArray[np.int32]


class Channels:
    """A picture in one colour space, ready to be segmented at several k.

    Args:
        channels: uint8 `(H, W, C)`.
    """

    def __init__(self, channels: ChannelArray) -> None:
        self._channels = channels
        self._colours = [
            channel.astype(np.int64) * COLOUR_BINS >> 8  # 0 … 24
            for channel in np.moveaxis(channels, 2, 0)
        ]
        self._derivatives = _signed_derivatives(channels)

    def segments(self, k: float) -> Segments:
        """Segment the picture.

        Args:
            k: Felzenszwalb's scale, and the least pixels of a segment in a photograph of 500 x 375 pixels. In another
                picture these are in proportion to its side.
        """
        labels = self._labels(k)
        count = int(labels.max()) + 1
        sizes = np.bincount(labels.ravel(), minlength=count)
        return Segments(
            pixels=labels.size,
            sizes=sizes.astype(np.float32),
            boxes=_boxes(labels, count),
            colour=self._colour(labels, sizes),
            texture=self._texture(labels, sizes),
            neighbours=_neighbours(labels, count),
        )

    def _labels(self, k: float) -> Labels:
        from skimage.segmentation import felzenszwalb  # noqa: PLC0415 - 0.6 s that only a search needs

        height, width, _ = self._channels.shape
        least = round(k * math.sqrt(height * width / REFERENCE_PIXELS))
        return np.asarray(felzenszwalb(self._channels, scale=k, sigma=SMOOTHING, min_size=least), dtype=np.int64)

    def _colour(self, labels: Labels, sizes: NDArray[np.int64]) -> Histograms:
        counts = [_counted(labels, bins, len(sizes), COLOUR_BINS) for bins in self._colours]
        return _normalised(counts, sizes)

    def _texture(self, labels: Labels, sizes: NDArray[np.int64]) -> Histograms:
        counts = []
        for signed in self._derivatives:
            both = _counted(labels, signed, len(sizes), 2 * TEXTURE_BINS - 1)
            forwards, backwards = both[:, TEXTURE_BINS:], both[:, TEXTURE_BINS - 2 :: -1]
            # Where the derivative points the other way, it is none in this direction.
            counts += [np.column_stack([sizes - ahead.sum(axis=1), ahead]) for ahead in (forwards, backwards)]
        return _normalised(counts, sizes)


def _signed_derivatives(channels: ChannelArray) -> list[NDArray[np.int64]]:
    """Return per channel and axis the bin of each pixel's derivative, 0 … 18; 9: near none; below: backwards."""
    radius = math.ceil(4 * TEXTURE_SIGMA)
    steps = np.arange(-radius, radius + 1)
    smooth = np.exp(-(steps**2) / (2 * TEXTURE_SIGMA**2))
    smooth /= smooth.sum()
    slope = steps / TEXTURE_SIGMA**2 * smooth
    found = []
    for channel in np.moveaxis(channels, 2, 0):
        plane = np.ascontiguousarray(channel)
        along_x, along_y = (
            cv2.sepFilter2D(plane, cv2.CV_32F, x, y, borderType=cv2.BORDER_REPLICATE)
            for x, y in ((slope, smooth), (smooth, slope))
        )
        for axis in range(AXES):
            angle = math.pi * axis / AXES
            derivative = math.cos(angle) * along_x + math.sin(angle) * along_y
            # Towards zero: below a tenth of the strongest either way is one bin.
            bins = (derivative * (TEXTURE_BINS / STRONGEST)).astype(np.int64)
            found.append(np.clip(bins, 1 - TEXTURE_BINS, TEXTURE_BINS - 1) + (TEXTURE_BINS - 1))
    return found


def _counted(labels: Labels, bins: NDArray[np.int64], segments: int, count: int) -> NDArray[np.int64]:
    """Return how many pixels of each segment are in each of `count` bins, `(segments, count)`."""
    joined = (labels * count + bins).ravel()
    return np.bincount(joined, minlength=segments * count).reshape(segments, count)


def _normalised(counts: list[NDArray[np.int64]], sizes: NDArray[np.int64]) -> Histograms:
    return (np.concatenate(counts, axis=1) / (len(counts) * sizes[:, None])).astype(np.float32)


def _boxes(labels: Labels, count: int) -> NDArray[np.int32]:
    from scipy.ndimage import find_objects  # noqa: PLC0415 - as scikit-image

    slices = find_objects(labels + 1, max_label=count)
    return np.array([(x.start, y.start, x.stop, y.stop) for y, x in slices], dtype=np.int32)


def _neighbours(labels: Labels, count: int) -> NDArray[np.int32]:
    pairs = []
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        border = one != other
        left, right = one[border], other[border]
        pairs.append(np.minimum(left, right) * count + np.maximum(left, right))
    both = np.unique(np.concatenate(pairs))
    return np.column_stack([both // count, both % count]).astype(np.int32)
