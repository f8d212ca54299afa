"""From a scene to its picture, with what can be seen of every thing in it.

The same scene and grain give the same bytes with every version of NumPy and on every processor: only operations are
used that IEEE 754 rounds alike everywhere (+ − × ÷, square roots, comparisons, rounding), each of them on its own, and
no float is ever summed along an axis.
"""

import numpy as np
from numpy.typing import NDArray

from datamodules.scenes import backgrounds, things
from datamodules.scenes.scene import Drawing, FloatArray, Scene
from datamodules.scenes.stream import Stream


def draw(scene: Scene, size: int, grain: Stream) -> Drawing:
    """Draw `scene` at `size` pixels a side; `grain` decides where its specks lie, and its noise.

    At another size it is the same scene, but for the noise. A pixel belongs to the thing on top there whose outline
    holds the pixel's centre; in the picture edges are soft.
    """
    picture = backgrounds.ground(scene.background, size)
    if scene.background.specks:
        backgrounds.scatter(picture, scene.background.specks, grain)
    instances = np.zeros((size, size), dtype=np.uint8)
    windows = []
    alone = []
    for label, thing in enumerate(scene.things, start=1):
        placed = things.place(thing, size)
        window = picture[:, placed.rows, placed.columns]
        window += things.cover(placed) * (things.ink(thing, placed, size) - window)
        inside = placed.depth > 0
        np.copyto(instances[placed.rows, placed.columns], label, where=inside)
        windows.append((placed.rows, placed.columns))
        alone.append(np.count_nonzero(inside))
    if scene.noise:
        _add_noise(picture, scene.noise, grain)
    seen = [instances[window] == label for label, window in enumerate(windows, start=1)]
    counts = [np.count_nonzero(mask) for mask in seen]
    boxes = [_box(*found) if count else (0, 0, 0, 0) for *found, count in zip(seen, windows, counts, strict=True)]
    visible = [count / whole if count else 0.0 for count, whole in zip(counts, alone, strict=True)]
    return Drawing(
        picture=_rounded(picture),
        instances=instances,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        visible=np.array(visible, dtype=np.float32),
    )


def _add_noise(picture: FloatArray, amplitude: float, grain: Stream) -> None:
    """Add to every value of `picture`, whose white is 255, what is off by `amplitude` of white at most."""
    # A byte each; the order of bytes in a word must not depend on the processor.
    words = grain.words(-(-picture.size // 8)).astype("<u8")
    noise = words.view(np.uint8)[: picture.size].reshape(picture.shape).astype(np.float32)
    noise -= 127.5
    noise *= amplitude * 2
    picture += noise


def _rounded(picture: FloatArray) -> NDArray[np.uint8]:
    picture += 0.5
    picture.clip(0.0, 255.0, out=picture)
    return picture.astype(np.uint8)


def _box(seen: NDArray[np.bool_], window: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """Return the smallest box around what is `seen` in `window`, which holds a pixel of it at least."""
    # Bytes are searched faster than small arrays.
    rows, columns = (seen.any(axis=axis).tobytes() for axis in (1, 0))
    top, left = window[0].start, window[1].start
    return left + columns.find(1), top + rows.find(1), left + columns.rfind(1) + 1, top + rows.rfind(1) + 1
