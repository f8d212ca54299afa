"""Which class a region is an example of, as detectors are trained (Girshick et al. 2014, section 2.3, appendix B)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

from lightning_modules.detections import Objects
from lightning_modules.networks.boxes import check_boxes, check_labels

IGNORED = -1
"""The label of a region that is no example of anything."""

IN_CROWD = 0.5
"""The share of a region that lies in a crowd from which on it is no example of the background, as COCO evaluates."""


@dataclass(frozen=True, eq=False)
class LabelledRegions:
    """The objects of one picture and its N proposals, R boxes in all, the objects first.

    Attributes:
        boxes: `(R, 4)`, x1 y1 x2 y2 in pixels.
        labels: int64 `(R,)`, the class; K for the background; `IGNORED`.
        overlaps: float `(R, M)`, IoU with each of the M objects, without crowds.
        truths: `(M, 4)`, their boxes: the first M of `boxes`.
        classes: int64 `(M,)`.
    """

    boxes: Tensor
    labels: Tensor
    overlaps: Tensor
    truths: Tensor
    classes: Tensor

    def nearest(self) -> tuple[Tensor, Tensor]:
        """Return, `(R,)` each, the largest overlap of each region with an object, and which: 0 and 0 without any."""
        if not self.overlaps.shape[1]:
            none = torch.zeros(len(self.boxes), dtype=torch.int64, device=self.boxes.device)
            return none.to(self.overlaps), none
        overlap, object_number = self.overlaps.max(dim=1)
        return overlap, object_number

    def class_overlaps(self, label: int) -> Tensor:
        """Return, `(R,)`, the largest overlap of each region with an object of one class; 0 without any."""
        own = self.overlaps[:, self.classes == label]
        return own.amax(dim=1) if own.shape[1] else self.overlaps.new_zeros(len(self.boxes))


def label_regions(
    proposals: Tensor, objects: Objects, num_classes: int, *, foreground: float = 0.5, background: float = 0.0
) -> LabelledRegions:
    """Give each region the class of the object that it overlaps most, or the background.

    The objects are regions, too, the surest examples. Difficult objects are objects as any, as in the authors' code.
    Crowds, which VOC has not, are none: a region of which half lies in one is ignored where it would be background.

    Args:
        proposals: float `(N, 4)`, x1 y1 x2 y2 in pixels.
        objects: of the picture.
        num_classes: K.
        foreground: IoU from which on a region has its object's class; 0.5 in the paper.
        background: IoU from which on a region below `foreground` is background, below it is ignored: 0 in R-CNN, 0.1 in
            Fast R-CNN (Girshick 2015, section 2.3).

    Raises:
        ValueError: as `check_boxes`; a label outside `0 … num_classes - 1`; not 0 ≤ background ≤ foreground ≤ 1.
    """
    if not 0 <= background <= foreground <= 1 or foreground == 0:
        raise ValueError(
            f"foreground={foreground}, background={background}: must be 0 ≤ background ≤ foreground ≤ 1, foreground > 0"
        )
    check_boxes("proposals", proposals)
    given, labels = objects["boxes"].to(proposals), objects["labels"].to(proposals.device)
    check_boxes("objects", given)
    check_labels("objects", labels, num_classes)
    crowd = objects.get("crowd", torch.zeros(len(labels), dtype=torch.bool)).to(proposals.device, torch.bool)
    truths, classes = given[~crowd], labels[~crowd]
    boxes = torch.cat([truths, proposals])
    # In 64 bits: an overlap of exactly one half must not depend on rounding.
    regions = LabelledRegions(boxes, classes, box_iou(boxes.double(), truths.double()), truths, classes)
    overlap, number = regions.nearest()
    found = torch.full((len(boxes),), num_classes, dtype=torch.int64, device=boxes.device)
    found[(overlap < background) | _mostly_in(boxes, given[crowd])] = IGNORED
    positive = overlap >= foreground
    found[positive] = classes[number[positive]]
    return LabelledRegions(boxes, found, regions.overlaps, truths, classes)


def _mostly_in(boxes: Tensor, crowds: Tensor) -> Tensor:
    """Return, `(R,)`, whether half of each box lies in one of the crowds."""
    corner = torch.maximum(boxes[:, None, :2], crowds[None, :, :2])
    both = (torch.minimum(boxes[:, None, 2:], crowds[None, :, 2:]) - corner).clamp(min=0).prod(dim=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return (both >= IN_CROWD * area[:, None]).any(dim=1)
