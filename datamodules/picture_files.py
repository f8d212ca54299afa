"""The picture files below a folder: found, each once, and looked at from outside, without decoding them."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.errors import DataError
from datamodules.pictures import check_ends

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
WHOLE_CONTENT_BYTES = 2**31
END_BYTES = 2**16


class PictureFinder:
    """Finds the pictures below several folders of one data set, links followed.

    What can be reached twice (a link to another class, a link that closes a circle, a hard link) would have its
    pictures trained on and tested, or under two classes: it is refused, not left out, because only the user knows
    which of both is meant.

    Args:
        root: of the data set.
        folders: in which pictures will be looked for, one for each part and class.

    Raises:
        DataError: two of `folders` are the same.
    """

    def __init__(self, root: Path, folders: Sequence[Path]) -> None:
        self._seen: dict[tuple[int, int], Path] = {}
        for folder in folders:
            self._see(folder)
        # A link to a folder above would bring back all of the data set, and what else lies there.
        for above in {
            parent for folder in (root, *folders) for parent in (folder.resolve(), *folder.resolve().parents)
        }:
            self._seen.setdefault(_identity(above.stat()), above)

    def pictures(self, folder: Path) -> list[Path]:
        """Return the pictures below one of the folders, by name.

        Raises:
            DataError: there are none, one is no regular file, or something is reached twice.
        """
        found = sorted(self._walk(folder))
        if not found:
            raise DataError(f"{folder}: holds no pictures ({', '.join(ENDINGS)})")
        return found

    def _walk(self, folder: Path) -> Iterator[Path]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                self._see(path)
                yield from self._walk(path)
            elif entry.name.lower().endswith(ENDINGS) and not entry.name.startswith("."):
                self._see(path)
                yield path

    def _see(self, path: Path) -> None:
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
        if kind == "file" and not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: not a regular file; a picture must be one")
        other = self._seen.setdefault(_identity(status), path)
        if other is not path:
            raise DataError(f"{path}: the same {kind} as {other}; each picture may be reached once")


def content_digest(files: Sequence[Path], root: Path) -> str:
    """Return the SHA-256 of the files' names and contents; look at the ends of each for signs of damage.

    Above 2 GiB in all, of each file its size and its first and last 64 KiB count.

    Raises:
        DataError: a file cannot be read, or is broken.
    """
    try:
        sizes = [path.stat().st_size for path in files]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error
    whole = sum(sizes) <= WHOLE_CONTENT_BYTES
    digest = hashlib.sha256()
    for path, size in zip(files, sizes, strict=True):
        try:
            with path.open("rb") as file:
                begin = file.read() if whole else file.read(END_BYTES)
                file.seek(max(size - END_BYTES, 0))
                end = begin[-END_BYTES:] if whole else file.read()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        if problem := check_ends(begin, end):
            raise DataError(f"{path}: {problem}")
        digest.update(f"{path.relative_to(root).as_posix()}\0{size}\0".encode())
        digest.update(begin if whole else begin + end)
    return digest.hexdigest()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
