"""One scene annotated for every task, consistently: class, boxes, pixels and captions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datamodules.scenes.captions import captions
from datamodules.scenes.composing import Scenes
from datamodules.scenes.scene import SHAPES, Scene

PIXEL_CLASSES = ("background", *SHAPES)


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedScene:
    """A picture of S pixels a side, of n things of which something is seen, and what is true of it.

    Attributes:
        scene: the factors it was drawn from; its things may be more than n where things may be hidden.
        picture: uint8 `(3, S, S)`, RGB.
        label: the class under the rule, of its class names.
        boxes: float32 `(n, 4)`, `(x1, y1, x2, y2)` in pixels, x2 and y2 exclusive, around what is seen of each thing.
        classes: int64 `(n,)`, of `PIXEL_CLASSES`: never 0.
        pixels: uint8 `(S, S)`, the class of each pixel, of `PIXEL_CLASSES`.
        instances: uint8 `(S, S)`, 0 background, `i + 1` where the thing of `boxes[i]` is seen.
        captions: five sentences.
    """

    scene: Scene
    picture: NDArray[np.uint8]
    label: int
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    captions: tuple[str, ...]


def annotate(scenes: Scenes, index: int, size: int) -> AnnotatedScene:
    """Draw and annotate a scene at `size` pixels a side.

    Raises:
        DataError: as `Scenes.scene`.
    """
    scene, drawing = scenes.drawn(index, size)
    kinds = np.array([PIXEL_CLASSES.index(thing.shape) for thing in scene.things], dtype=np.int64)
    seen = drawing.visible > 0
    renumbered = np.concatenate([[0], np.cumsum(seen) * seen]).astype(np.uint8)
    return AnnotatedScene(
        scene=scene,
        picture=drawing.picture,
        label=scenes.label(index),
        boxes=drawing.boxes[seen],
        classes=kinds[seen],
        pixels=np.concatenate([[0], kinds]).astype(np.uint8)[drawing.instances],
        instances=renumbered[drawing.instances],
        captions=captions(scene, scenes.stream(index, "captions")),
    )
