"""Proposals that were made before: one file for each picture, named by what they depend on.

A file holds the boxes one after the other and ends with a SHA-256 of them and of its name. It is written under another
name and then renamed, so that whoever looks sees all of it or nothing; two that write the same at once write the same
bytes. A search that is stopped continues with the pictures that are left.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import inspect
import secrets
import time
from pathlib import Path

import cv2
import numpy as np

from datamodules import pictures, randomness
from datamodules.errors import DataError
from datamodules.pictures import Picture
from datamodules.proposals import boxes, colours, draws, grouping, segments, selective_search
from datamodules.proposals.boxes import SIDES, Boxes
from datamodules.proposals.selective_search import SelectiveSearch, picture_digest

ABANDONED_SECONDS = 3600.0  # after which nobody writes a file any more
BOX = np.dtype("<f4")
# All code that decides which boxes a picture has.
PROPOSING = (boxes, colours, draws, grouping, segments, selective_search, pictures, randomness)
DIGEST_BYTES = hashlib.sha256().digest_size


class ProposalCache:
    """Searches a picture once.

    Args:
        root: the folder of the data; proposals lie in `root/proposals/`, which may be emptied at any time.
        search: what proposes. Other settings, other code and other versions of its libraries have files of their own.
    """

    def __init__(self, root: Path, search: SelectiveSearch) -> None:
        self._root = root
        self._search = search
        key = hashlib.sha256(f"{search}/{_code_digest()}/{_versions()}".encode()).hexdigest()
        self._folder = root / "proposals" / f"{search.mode}-{search.side}-{search.seed}-{key[:16]}"

    def boxes(self, picture: Picture) -> Boxes:
        """Return the proposals of a picture, `(N, 4)`; made if they are not there whole and sound.

        Args:
            picture: as `SelectiveSearch.boxes`.

        Raises:
            DataError: as `SelectiveSearch.boxes`, or they cannot be kept: no space, no permission.
        """
        digest = picture_digest(picture)
        # Few file systems are quick in a folder of 100,000 files.
        path = self._folder / digest[:2] / f"{digest}.f32"
        found = _read(path)
        if found is None:
            found = self._search.boxes(picture)
            try:
                _write(path, found)
            except OSError as error:
                raise DataError(
                    f"root={self._root}: proposals/{self._folder.name}/{path.name} cannot be kept there, "
                    f"{found.nbytes // 2**10 + 1} KiB ({error.strerror or error}); name a folder that has room"
                ) from error
        return found


@functools.cache
def _code_digest() -> str:
    """Return the SHA-256 of what proposes: whoever changes it must not be shown old boxes."""
    sources = (inspect.getsource(module) for module in PROPOSING)
    return hashlib.sha256("".join(sources).encode()).hexdigest()


@functools.cache
def _versions() -> str:
    kept = (importlib.metadata.version(name) for name in ("scikit-image", "scipy"))
    return "/".join((*kept, cv2.__version__, np.__version__))


def _seal(path: Path, content: bytes) -> bytes:
    return hashlib.sha256(path.name.encode() + content).digest()


def _read(path: Path) -> Boxes | None:
    """Return the boxes of a file; None where there is none, or its content is not as it was written."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    content, seal = whole[:-DIGEST_BYTES], whole[-DIGEST_BYTES:]
    if seal != _seal(path, content):
        return None
    return np.frombuffer(content, dtype=BOX).reshape(-1, SIDES).astype(np.float32)


def _write(path: Path, found: Boxes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _forget_drafts(path)
    content = found.astype(BOX).tobytes()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        # Not synchronised: what a power failure leaves of it does not fit its seal.
        draft.write_bytes(content + _seal(path, content))
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
