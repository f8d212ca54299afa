"""One picture: decoding a file, and bringing any picture to a network's size and channels."""

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from datamodules.errors import DataError

Picture = NDArray[np.uint8]

GREY, RGB, RGBA = 1, 3, 4
JPEG_BEGIN, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
PNG_BEGIN, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"
FILE_BEGINS = (
    JPEG_BEGIN,
    PNG_BEGIN,
    b"BM",
    b"GIF8",
    b"RIFF",  # WebP
    b"II*\0",  # TIFF
    b"MM\0*",
    *(b"P%d" % kind for kind in range(1, 7)),  # portable bitmap, greymap, pixmap
)


def read_picture(path: Path) -> Picture:
    """Read a picture file as it is meant to be seen: upright (EXIF), on white where it is transparent.

    Returns:
        `(H, W, 3)` in RGB; grey pictures repeat their channel, 16-bit ones keep their upper 8 bits.

    Raises:
        DataError: the file cannot be read or decoded.
    """
    if path.exists() and not path.is_file():
        # A pipe would be waited for.
        raise DataError(f"{path}: not a regular file; a picture must be one")
    try:
        content = path.read_bytes()
        picture = _decode_jpeg(content) if content.startswith(JPEG_BEGIN) else _decode_other(content)
    except UnidentifiedImageError as error:
        raise DataError(f"{path}: not a picture, or a broken one") from error
    except (OSError, ValueError, SyntaxError, cv2.error, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as a picture ({reason})") from error
    return picture


def check_ends(begin: bytes, end: bytes) -> str | None:
    """Say what is wrong with a picture file by its first and last bytes, without decoding it; `None`: nothing is.

    It finds empty and truncated files and what is no picture at all; damage in between shows when the file is decoded.
    """
    if not begin:
        return "the file is empty"
    if not begin.startswith(FILE_BEGINS):
        return "not a picture of a known format"
    if (begin.startswith(JPEG_BEGIN) and JPEG_END not in end) or (begin.startswith(PNG_BEGIN) and PNG_END not in end):
        return "the file is truncated"
    return None


def fit_square(picture: Picture, size: int) -> Picture:
    """Cut the largest centred square out of a picture and resize it.

    Args:
        picture: `(H, W, C)`.
        size: pixels a side of the result.

    Returns:
        `(size, size, C)`; the picture itself where it already has that size.
    """
    height, width, channels = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    if side == size:
        return square
    # Averaging areas keeps what is finer than the new pixels from turning into patterns.
    interpolation = cv2.INTER_AREA if size < side else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(square), (size, size), interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8).reshape(size, size, channels)


def fit_channels(picture: Picture, channels: int) -> Picture:
    """Bring a picture to 1 (grey) or 3 (RGB) channels; transparent parts turn white.

    Args:
        picture: `(H, W)` or `(H, W, C)` with 1, 3 or 4 channels.
        channels: of the result.

    Returns:
        `(H, W, channels)`.

    Raises:
        DataError: no such picture.
    """
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or 0 in picture.shape:
        raise DataError(f"picture of shape {picture.shape}, {picture.dtype}: must be uint8 (H, W) or (H, W, C)")
    if picture.ndim == 2:  # noqa: PLR2004 - no axis of channels
        picture = picture[:, :, None]
    given = picture.shape[2]
    if given not in (GREY, RGB, RGBA):
        raise DataError(f"picture of {given} channels: must have 1 (grey), 3 (RGB) or 4 (RGB and opacity)")
    if given == RGBA:
        opacity = picture[:, :, RGB:].astype(np.uint16)
        blended = picture[:, :, :RGB] * opacity + 255 * (255 - opacity)
        picture = ((blended + 127) // 255).astype(np.uint8)
        given = RGB
    if given == channels:
        return picture
    if channels == RGB:
        return np.repeat(picture, RGB, axis=2)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY), dtype=np.uint8)[:, :, None]


def _decode_jpeg(content: bytes) -> Picture:
    # OpenCV turns the picture upright, converts CMYK, and is 1.4 to 2.4 times faster than Pillow.
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if decoded is None:
        raise ValueError("broken or truncated JPEG")
    return np.asarray(decoded, dtype=np.uint8)


def _decode_other(content: bytes) -> Picture:
    with Image.open(io.BytesIO(content)) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):
            return fit_channels((np.asarray(image) >> 8).astype(np.uint8), RGB)
        if image.mode in ("I", "F"):
            raise ValueError(f"{image.mode}: 32 bits per pixel; at most 16 are supported")
        transparent = "A" in image.mode or "transparency" in image.info
        return fit_channels(np.asarray(image.convert("RGBA" if transparent else "RGB")), RGB)
