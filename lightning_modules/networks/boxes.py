"""Boxes in a picture: which are valid, and what a detector says of them; at which precision it says it."""

from typing import TypedDict

import torch
from torch import Tensor

SIDES = 4
FULL_BITS = 32


class Detections(TypedDict):
    """What a detector says of one picture.

    `boxes`: float `(N, 4)`, x1 y1 x2 y2 in pixels, x2 and y2 exclusive. `scores`: float `(N,)`, the surer the higher.
    `labels`: int64 `(N,)`, in `0 … num_classes - 1`; the background is no class.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def check_boxes(name: str, boxes: Tensor) -> None:
    """See that `boxes` are boxes with an area.

    Args:
        name: begins the error.
        boxes: float `(N, 4)`, x1 y1 x2 y2 in pixels, x2 and y2 exclusive; N may be 0.

    Raises:
        ValueError: another shape; not floats; a side that is no finite number; or a box without an area.
    """
    if boxes.shape != (len(boxes) if boxes.ndim else 0, SIDES):
        raise ValueError(f"{name} of shape {tuple(boxes.shape)}: must be (N, 4), x1 y1 x2 y2")
    if not boxes.is_floating_point():
        raise ValueError(f"{name} of {boxes.dtype}: must be floats")
    # Also where a side is no number: it is not less than anything.
    sound = (boxes[:, :2] < boxes[:, 2:]).all(dim=1) & boxes.isfinite().all(dim=1)
    if not sound.all():
        number = int((~sound).int().argmax())
        said = ", ".join(f"{side:g}" for side in boxes[number].tolist())
        raise ValueError(f"{name}[{number}]=({said}): must be x1 < x2 and y1 < y2, all finite")


def check_labels(name: str, labels: Tensor, num_classes: int) -> None:
    """See that int64 `labels` `(N,)` are in `0 … num_classes - 1`; `name` begins the error.

    Raises:
        ValueError: one is not.
    """
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise ValueError(f"{name}: label {int(wrong[0])}: must be from 0 to {num_classes - 1}")


def full_precision(tensor: Tensor) -> Tensor:
    """Return a float tensor of 16 bits, as mixed precision makes them, in 32 bits; any other as it is.

    Of 16 bits a box of some hundred pixels is off by pixels, and scores that differ are tied.
    """
    return tensor.float() if torch.finfo(tensor.dtype).bits < FULL_BITS else tensor


def centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centres x y and the sizes width height of boxes `(…, 4)`, `(…, 2)` each, in pixels."""
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size


def of_corners(upper_left: Tensor, lower_right: Tensor) -> Tensor:
    """Return boxes `(…, 4)` of their corners x y, `(…, 2)` each."""
    return torch.cat([upper_left, lower_right], dim=-1)
