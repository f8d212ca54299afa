"""Single pictures: formats, orientation, transparency, damage, sizes and channels."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DataError
from datamodules.pictures import Picture, check_ends, fit_channels, fit_square, read_picture

COLOURS: Picture = np.kron(
    np.asarray([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 0], [0, 0, 0], [255, 255, 255]]], dtype=np.uint8),
    np.ones((8, 8, 1), dtype=np.uint8),
).astype(np.uint8)
EXIF_ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def written(folder: Path, content: bytes) -> Path:
    path = folder / "picture"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats_come_back_exactly_in_rgb(tmp_path: Path, kind: str) -> None:
    assert np.array_equal(read_picture(written(tmp_path, encoded(Image.fromarray(COLOURS), kind))), COLOURS)


@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK")])
def test_lossy_formats_come_back_nearly_in_rgb(tmp_path: Path, kind: str, mode: str) -> None:
    content = encoded(Image.fromarray(COLOURS).convert(mode), kind, quality=95)
    picture = read_picture(written(tmp_path, content))
    assert picture.shape == COLOURS.shape
    middle = (slice(4, None, 8), slice(4, None, 8))
    assert np.abs(picture[middle].astype(int) - COLOURS[middle]).max() < 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_turns_the_picture_upright(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6  # to be turned by 90 degrees to the right
    content = encoded(Image.fromarray(COLOURS), kind, exif=exif.tobytes())
    picture = read_picture(written(tmp_path, content))
    assert picture.shape == (24, 16, 3)
    upright = np.rot90(COLOURS, -1)
    assert np.abs(picture[4::8, 4::8].astype(int) - upright[4::8, 4::8]).max() < 80


def test_grey_palette_and_16_bits_become_rgb(tmp_path: Path) -> None:
    grey = COLOURS[:, :, 1]
    assert np.array_equal(read_picture(written(tmp_path, encoded(Image.fromarray(grey), "PNG")))[:, :, 2], grey)
    assert read_picture(written(tmp_path, encoded(Image.fromarray(grey), "JPEG"))).shape == (16, 24, 3)
    palette = Image.fromarray(COLOURS).quantize(8)
    assert np.abs(read_picture(written(tmp_path, encoded(palette, "PNG"))).astype(int) - COLOURS).max() < 3
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(read_picture(written(tmp_path, encoded(deep, "PNG")))[:, :, 0], grey)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_turn_white_and_opaque_ones_stay(tmp_path: Path, mode: str) -> None:
    opacity = np.full(COLOURS.shape[:2], 255, dtype=np.uint8)
    opacity[:8] = 0
    image = Image.fromarray(np.dstack([COLOURS, opacity])).convert(mode)
    options = {"transparency": image.getpixel((0, 0))} if mode == "P" else {}
    picture = read_picture(written(tmp_path, encoded(image, "PNG", **options)))
    assert (picture[0, 0] == 255).all()
    assert (picture[12, 12] == 0).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_broken_files_are_named_in_one_line(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    for broken in (content[: len(content) // 2], b"", b"hello", content[:20]):
        with pytest.raises(DataError) as caught:
            read_picture(written(tmp_path, broken))
        assert str(caught.value).startswith(f"{tmp_path / 'picture'}: ")
        assert "\n" not in str(caught.value)


def test_missing_files_and_floating_point_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_picture(tmp_path / "absent.png")
    floats = Image.fromarray(np.zeros((4, 4), dtype=np.float32))
    with pytest.raises(DataError, match="32 bits per pixel"):
        read_picture(written(tmp_path, encoded(floats, "TIFF")))


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: content, None),
        (lambda content: content + b"\0" * 100, None),
        (lambda content: content[:-40], "the file is truncated"),
        (lambda _: b"", "the file is empty"),
        (lambda _: b"<html>not found</html>", "not a picture of a known format"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_ends_betray_truncated_and_foreign_files(
    kind: str, damage: Callable[[bytes], bytes], problem: str | None
) -> None:
    content = damage(encoded(Image.fromarray(COLOURS), kind))
    assert check_ends(content, content[-1000:]) == problem


def test_square_is_the_centre() -> None:
    wide = np.zeros((10, 30, 3), dtype=np.uint8)
    wide[:, 10:20] = 200
    assert (fit_square(wide, 10) == 200).all()
    assert fit_square(wide, 10).shape == (10, 10, 3)
    assert (fit_square(wide.transpose(1, 0, 2), 5) == 200).all()
    assert fit_square(wide[:, :, :1], 20).shape == (20, 20, 1)
    same = wide[:, :10]
    assert fit_square(same, 10).base is not None


def test_shrinking_averages_areas() -> None:
    board = np.indices((8, 8)).sum(axis=0) % 2 * 200
    assert (fit_square(board[:, :, None].astype(np.uint8), 4) == 100).all()


def test_channels_are_converted() -> None:
    assert fit_channels(COLOURS, 3) is COLOURS
    assert fit_channels(COLOURS, 1).shape == (16, 24, 1)
    assert fit_channels(COLOURS, 1)[0, :, 0].tolist() == [76] * 8 + [150] * 8 + [29] * 8
    assert fit_channels(COLOURS[:, :, 0], 3).shape == (16, 24, 3)
    half = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 128, dtype=np.uint8)])
    assert fit_channels(half, 3)[0, 0].tolist() == [255, 127, 127]


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4, 2), dtype=np.uint8),
        np.zeros((4, 4, 3), dtype=np.float32),
        np.zeros((0, 4, 3), dtype=np.uint8),
        np.zeros(4, dtype=np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"^picture of "):
        fit_channels(picture, 3)
