"""The objects of drawn scenes: what was drawn once, and where. They are kept, as their pictures are."""

import contextlib
import functools
import hashlib
import io
import itertools
import secrets
from pathlib import Path

import numpy as np

from datamodules import scenes as scene_files
from datamodules.detection.objects import ObjectRows
from datamodules.errors import DataError
from datamodules.scenes.composing import Scenes
from datamodules.scenes.scene import SHAPES

DIGEST_BYTES = hashlib.sha256().digest_size


def scene_objects(root: Path, scenes: Scenes, count: int, size: int, *, pictures: str) -> list[ObjectRows]:
    """Return the objects of the first `count` scenes at `size` pixels a side: every thing of which something is seen.

    Labels are places in `SHAPES`; a box is around what is seen of its thing, and its area that many pixels.

    Args:
        root: folder of the data; they are kept in `root/scenes/`, which may be emptied at any time.
        scenes: of one split.
        count: of them.
        size: in pixels.
        pictures: digest of the same scenes' pictures, so that whoever has other pictures has other objects.

    Raises:
        DataError: they cannot be drawn, or cannot be kept: no space, no permission.
    """
    key = hashlib.sha256(f"{_code_digest()}/{scenes.key}/{count}/{size}/{pictures}".encode()).hexdigest()
    path = root / "scenes" / f"objects-{scenes.rule}-{scenes.split}-{count}x{size}-{key[:16]}.npz"
    if (found := _read(path)) is not None:
        return found
    drawn = [_drawn(scenes, index, size) for index in range(count)]
    try:
        _write(path, drawn)
    except OSError as error:
        raise DataError(
            f"root={root}: {path.name} cannot be kept there ({error.strerror or error}); name a folder that has room"
        ) from error
    return drawn


def _drawn(scenes: Scenes, index: int, size: int) -> ObjectRows:
    scene, drawing = scenes.drawn(index, size)
    pixels = np.bincount(drawing.instances.ravel(), minlength=len(scene.things) + 1)[1:]
    seen = np.flatnonzero(pixels)
    labels = np.array([SHAPES.index(thing.shape) for thing in scene.things], dtype=np.int64)
    return ObjectRows.of(drawing.boxes[seen], labels[seen], area=pixels[seen])


@functools.cache
def _code_digest() -> str:
    """Return the SHA-256 of what draws scenes and their objects: whoever changes it must not be shown old ones."""
    folder = Path(str(scene_files.__file__)).parent
    sources = (*sorted(folder.glob("*.py")), Path(__file__))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def _read(path: Path) -> list[ObjectRows] | None:
    """Return the objects of a file; None where there is none, or its content is not as it was written."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    content, seal = whole[:-DIGEST_BYTES], whole[-DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != seal:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        rows = ObjectRows.of(kept["boxes"], kept["labels"], area=kept["area"])
        ends = np.cumsum([0, *kept["counts"]])
    return [rows.at(slice(begin, end)) for begin, end in itertools.pairwise(ends)]


def _write(path: Path, drawn: list[ObjectRows]) -> None:
    whole, buffer = ObjectRows.joined(drawn), io.BytesIO()
    np.savez(buffer, boxes=whole.boxes, labels=whole.labels, area=whole.area, counts=[len(rows) for rows in drawn])
    content = buffer.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        # Under another name first: who looks sees all of it or nothing.
        draft.write_bytes(content + hashlib.sha256(content).digest())
        draft.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
