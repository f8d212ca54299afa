"""The colour spaces in which selective search looks at a picture (Uijlings et al. 2013, section 3.2)."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.pictures import Picture

ChannelArray = NDArray[np.uint8]


def _hsv(picture: Picture) -> ChannelArray:
    return _converted(picture, cv2.COLOR_RGB2HSV_FULL)


def _lab(picture: Picture) -> ChannelArray:
    return _converted(picture, cv2.COLOR_RGB2LAB)


def _intensity(picture: Picture) -> ChannelArray:
    return _converted(picture, cv2.COLOR_RGB2GRAY)


def _hue(picture: Picture) -> ChannelArray:
    return _hsv(picture)[:, :, :1]


def _rgi(picture: Picture) -> ChannelArray:
    """Return the shares of red and green of R + G + B, and the intensity; black has the shares of grey."""
    total = picture.sum(axis=2, dtype=np.uint16)[:, :, None]
    shares = 255 * picture[:, :, :2].astype(np.uint32) // np.maximum(total, 1)
    shares[total[:, :, 0] == 0] = 255 // 3
    return np.concatenate([shares.astype(np.uint8), _intensity(picture)], axis=2)


def _converted(picture: Picture, code: int) -> ChannelArray:
    channels = np.asarray(cv2.cvtColor(picture, code), dtype=np.uint8)
    return channels.reshape(*picture.shape[:2], -1)


COLOUR_SPACES: dict[str, Callable[[Picture], ChannelArray]] = {
    "HSV": _hsv,
    "Lab": _lab,
    "rgI": _rgi,
    "H": _hue,
    "I": _intensity,
}
"""From RGB `(H, W, 3)` to `(H, W, 1 or 3)`, uint8, contiguous or not."""
