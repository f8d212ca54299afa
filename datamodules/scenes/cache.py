"""Pictures of scenes that were drawn before: one file for each row of scenes, mapped into memory.

A file holds the pictures one after the other and ends with their SHA-256. It is written under another name and then
renamed, so that whoever looks sees all of it or nothing; two that write the same at once write the same bytes.
"""

import contextlib
import functools
import hashlib
import math
import os
import secrets
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datamodules.errors import DataError
from datamodules.scenes.composing import VERSION, Scenes
from datamodules.storage import Pictures

CHANNELS = 3
ABANDONED_SECONDS = 3600.0  # after which nobody writes a file any more that has not grown
DIGEST_BYTES = hashlib.sha256().digest_size


class Row(NamedTuple):
    """The first N scenes of a split.

    Attributes:
        pictures: uint8 `(N, 3, size, size)`, read-only, mapped from the file.
        digest: their SHA-256, in hexadecimal.
    """

    pictures: Pictures
    digest: str


def row(root: Path, scenes: Scenes, count: int, size: int) -> Row:
    """Return the first `count` scenes at `size` pixels a side; drawn if they are not in `root` whole and sound.

    Raises:
        DataError: they cannot be drawn, or cannot be kept: no space, no permission.
    """
    path = _path(root, scenes, count, size)
    found = _read(path, count, size)
    if found is None:
        try:
            _write(path, scenes, count, size)
        except OSError as error:
            needed = math.ceil(count * CHANNELS * size * size / 2**20)
            raise DataError(
                f"root={root}: {path.name} cannot be kept there, {needed} MiB ({error.strerror or error}); "
                "name a folder that has room"
            ) from error
        found = _read(path, count, size)
    if found is None:
        raise DataError(f"root={root}: {path.name} is not what was written there a moment ago; is the disk sound?")
    return found


def _path(root: Path, scenes: Scenes, count: int, size: int) -> Path:
    key = hashlib.sha256(f"{_code_digest()}/{scenes.key}/{count}/{size}".encode()).hexdigest()
    return root / "scenes" / f"v{VERSION}-{scenes.rule}-{scenes.split}-{count}x{size}-{key[:16]}.u8"


@functools.cache
def _code_digest() -> str:
    """Return the SHA-256 of what draws: whoever changes it and forgets `VERSION` must not be shown old pictures."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def _read(path: Path, count: int, size: int) -> Row | None:
    """Map a file; None where there is none, or its length or content is not as it was written."""
    shape = (count, CHANNELS, size, size)
    length = count * CHANNELS * size * size
    try:
        if path.stat().st_size != length + DIGEST_BYTES:
            return None
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except OSError:
        return None
    digest = hashlib.sha256(content[:length].data)
    if digest.digest() != content[length:].tobytes():
        return None
    return Row(np.asarray(content[:length]).reshape(shape), digest.hexdigest())


def _write(path: Path, scenes: Scenes, count: int, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _forget_drafts(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        digest = hashlib.sha256()
        # Written, not mapped: a full disk is then an error instead of the end of the process.
        with draft.open("xb") as file:
            for index in range(count):
                pixels = scenes.drawn(index, size)[1].picture.tobytes()
                digest.update(pixels)
                file.write(pixels)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _forget_drafts(path: Path) -> None:
    """Remove what processes that were killed have left of a file."""
    for draft in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(FileNotFoundError):
            if draft.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                draft.unlink()
