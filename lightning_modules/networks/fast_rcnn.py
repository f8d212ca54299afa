"""Fast R-CNN: all regions of a picture from one pass (Girshick 2015, Fast R-CNN, arXiv 1504.08083)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align, roi_pool

from lightning_modules.networks import arguments
from lightning_modules.networks.backbone import check_head, map_shape, parts_of
from lightning_modules.networks.box_regression import decode, encode
from lightning_modules.networks.boxes import SIDES, Detections, check_boxes, full_precision
from lightning_modules.networks.post_processing import PostProcessing

POOLINGS = ("max", "align")

# Offsets are learnt in these units. The paper brings the targets of its training set to a variance of 1 (section 2.3);
# these are the deviations that its successors took for all data sets.
OFFSET_UNITS = (0.1, 0.1, 0.2, 0.2)


class RegionPredictions(NamedTuple):
    """What the network says of N regions.

    Attributes:
        logits: `(N, K + 1)`, the background's last.
        offsets: `(N, K, 4)`, of each class, in `OFFSET_UNITS`.
    """

    logits: Tensor
    offsets: Tensor


class OffsetLayer(nn.Linear):
    """A linear layer that begins by leaving boxes where they are: normal weights of deviation 0.001 (section 2.3)."""

    def reset_parameters(self) -> None:
        """Draw the weights."""
        nn.init.normal_(self.weight, std=0.001)
        nn.init.zeros_(self.bias)


class FastRCNN(nn.Module):
    """Makes one map of the whole picture, pools what lies in each proposed region from it, and scores that.

    Maps normalised pictures and proposals to detections. Where the backbone has a last max pool, that of the regions
    takes its place (section 2.2).

    Offsets are read, as the paper's, from the hidden fully connected layers; of a backbone that has none, but pools its
    maps globally, from the pooled regions themselves: their mean does not know where in a region something lies.

    Args:
        backbone: a classification network with K + 1 logits of which the last is the background's; see
            `backbone.parts_of`. Its head scores the regions.
        num_classes: K, without the background.
        pooling: of a region, "max" of rounded bins (the paper), or "align", two by two bilinear samples a bin (He et
            al. 2017, Mask R-CNN, section 3).
        pooled_size: bins a side; 7 in the paper, for VGG.
        score_threshold: a detection is more probable than this.
        nms_threshold: IoU with a better box of the class above which a box is left out.
        most_detections: in a picture, over all classes.

    Raises:
        ValueError: an argument out of its range, or a backbone that cannot be taken apart or has another number of
            logits.
    """

    units: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        pooling: str = "align",
        pooled_size: int = 7,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.3,
        most_detections: int = 100,
    ) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, pooled_size=pooled_size)
        arguments.one_of(POOLINGS, pooling=pooling)
        arguments.probability(score_threshold=score_threshold)
        parts = parts_of(backbone)
        check_head(parts, num_classes)
        shape = map_shape(_without_last_pool(parts.stages))
        self.num_classes = num_classes
        self.pooling = pooling
        self.pooled_size = pooled_size
        self.stride = shape.stride
        self.hidden = any(isinstance(module, nn.Linear) for module in parts.neck)
        self.post_processing = PostProcessing(score_threshold, nms_threshold, most_detections)
        self.backbone = backbone
        self.offsets = OffsetLayer(
            parts.head.in_features if self.hidden else shape.channels * pooled_size**2, SIDES * num_classes
        )
        self.register_buffer("units", torch.tensor(OFFSET_UNITS), persistent=False)

    def forward(self, pictures: Sequence[Tensor], proposals: Sequence[Tensor]) -> list[Detections]:
        """Return the detections in each of B pictures.

        Args:
            pictures: B, float `(C, H, W)`, normalised; smaller ones are filled up with the mean.
            proposals: B, float `(N, 4)`, x1 y1 x2 y2 in pixels, x2 and y2 exclusive.

        Raises:
            ValueError: not as many pictures as proposals, or a box without an area.
        """
        predicted = self.predict(pictures, proposals)
        counts = [len(boxes) for boxes in proposals]
        scores = torch.split(full_precision(predicted.logits).softmax(dim=1)[:, : self.num_classes], counts)
        offsets = torch.split(full_precision(predicted.offsets) * self.units, counts)
        return [
            self.post_processing(decode(boxes[:, None], own), probable, (picture.shape[1], picture.shape[2]))
            for picture, boxes, own, probable in zip(pictures, proposals, offsets, scores, strict=True)
        ]

    def predict(self, pictures: Sequence[Tensor], boxes: Sequence[Tensor]) -> RegionPredictions:
        """Return what is said of the regions of all pictures, one picture's after another's: what is trained.

        Args:
            pictures: as `forward`.
            boxes: as `forward`.

        Raises:
            ValueError: as `forward`.
        """
        if len(pictures) != len(boxes):
            raise ValueError(f"{len(pictures)} pictures, {len(boxes)} of boxes: must be as many")
        for number, own in enumerate(boxes):
            check_boxes(f"boxes of picture {number}", own)
        parts = parts_of(self.backbone)
        maps = full_precision(_without_last_pool(parts.stages)(_joined(pictures)))
        regions = self._pooled(maps, [own.to(maps) for own in boxes])
        features = parts.neck(regions)
        offsets = self.offsets(features if self.hidden else regions.flatten(1))
        return RegionPredictions(parts.head(features), offsets.unflatten(1, (self.num_classes, SIDES)))

    def targets(self, boxes: Tensor, truths: Tensor) -> Tensor:
        """Return the offsets from boxes `(N, 4)` to true ones `(N, 4)` in `OFFSET_UNITS`, `(N, 4)`."""
        return encode(boxes, truths) / self.units.to(boxes)

    def _pooled(self, maps: Tensor, boxes: list[Tensor]) -> Tensor:
        if self.pooling == "max":
            # It takes x2 and y2 for those of the last pixel, as the authors' code does.
            last = [own - own.new_tensor([0, 0, 1, 1]) for own in boxes]
            pooled: Tensor = roi_pool(maps, last, self.pooled_size, 1 / self.stride)
            return pooled
        aligned: Tensor = roi_align(maps, boxes, self.pooled_size, 1 / self.stride, sampling_ratio=2, aligned=True)
        return aligned


def _without_last_pool(stages: nn.Sequential) -> nn.Sequential:
    return stages[:-1] if isinstance(stages[-1], nn.MaxPool2d) else stages


def _joined(pictures: Sequence[Tensor]) -> Tensor:
    """Return pictures as one tensor `(B, C, H, W)`, filled up to the right and below with zero, the mean."""
    height, width = (max(picture.shape[side] for picture in pictures) for side in (1, 2))
    return torch.stack(
        [F.pad(picture, (0, width - picture.shape[2], 0, height - picture.shape[1])) for picture in pictures]
    )
