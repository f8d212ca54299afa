"""Faster R-CNN: the network proposes its regions itself (Ren et al. 2015, Faster R-CNN, arXiv 1506.01497)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from lightning_modules.networks import arguments
from lightning_modules.networks.backbone import keep_stages, map_shape, stages_of
from lightning_modules.networks.boxes import Detections, check_boxes, check_labels, full_precision

POOLED_SIZE = 7


class FasterRCNN(nn.Module):
    """torchvision's Faster R-CNN over the stages of a classification network, on pictures as they come.

    Maps normalised pictures to detections; the proposals of others are not asked for. torchvision's would resize
    pictures to 800 pixels and normalise them again.

    Args:
        backbone: a classification network, as in `backbone.stages_of`; what it has behind its stages is left out, in
            place.
        num_classes: K, without the background.
        anchor_sizes: side in pixels of the square anchors; 128, 256 and 512 in the paper, for pictures of 600 pixels.
        aspect_ratios: height by width of the anchors of each size.
        head_width: units of the two hidden layers on the pooled regions; 4096 in the paper's VGG.
        score_threshold: a detection is more probable than this.
        nms_threshold: IoU with a better box of the class above which a box is left out.
        most_detections: in a picture, over all classes.

    Raises:
        ValueError: an argument out of its range, or a backbone that cannot be taken apart.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        anchor_sizes: Sequence[int] = (16, 32, 64),
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        head_width: int = 1024,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.3,
        most_detections: int = 100,
    ) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, head_width=head_width, most_detections=most_detections)
        arguments.positive(**{f"anchor_sizes[{index}]": size for index, size in enumerate(anchor_sizes)})
        arguments.probability(score_threshold=score_threshold, nms_threshold=nms_threshold)
        if not anchor_sizes or not aspect_ratios:
            raise ValueError("anchor_sizes and aspect_ratios: must name at least one each")
        for index, ratio in enumerate(aspect_ratios):
            if not 0 < ratio < math.inf:
                raise ValueError(f"aspect_ratios[{index}]={ratio}: must be above 0 and finite")
        shape = map_shape(stages_of(backbone))
        keep_stages(backbone)
        self.num_classes = num_classes
        self.detector = detection.FasterRCNN(
            _Maps(backbone, shape.channels),
            rpn_anchor_generator=AnchorGenerator((tuple(anchor_sizes),), (tuple(aspect_ratios),)),
            box_roi_pool=MultiScaleRoIAlign(["0"], POOLED_SIZE, sampling_ratio=2),
            box_head=TwoMLPHead(shape.channels * POOLED_SIZE**2, head_width),
            box_predictor=FastRCNNPredictor(head_width, num_classes + 1),
            box_score_thresh=score_threshold,
            box_nms_thresh=nms_threshold,
            box_detections_per_img=most_detections,
        )
        self.detector.transform = _AsTheyCome(shape.stride)

    @property
    def backbone(self) -> nn.Module:
        """The classification network, without what it had behind its stages."""
        network: nn.Module = self.detector.backbone.network
        return network

    def initialise(self, module: nn.Module) -> None:
        """Initialise one module in place: what proposes as in the paper (section 3.1.3), the rest as the backbone."""
        if any(module is own for own in self.detector.rpn.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            return
        scheme = getattr(self.backbone, "initialise", None)
        if scheme is not None:
            scheme(module)

    def forward(self, pictures: Sequence[Tensor], proposals: Sequence[Tensor] = ()) -> list[Detections]:  # noqa: ARG002
        """Return the detections in each of B pictures, in evaluation mode.

        Args:
            pictures: B, float `(C, H, W)`, normalised; their sizes may differ.
            proposals: not looked at, so that all detectors are called alike.

        Raises:
            ValueError: in training mode, where there are `losses` only.
        """
        if self.training:
            raise ValueError("Faster R-CNN detects in evaluation mode; in training mode it has losses only")
        return [
            # Its class 0 is the background.
            {"boxes": found["boxes"], "scores": found["scores"], "labels": found["labels"] - 1}
            for found in self._answers(pictures, None)[0]
        ]

    def losses(
        self, pictures: Sequence[Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Return the four losses of B pictures, whose sum is trained, in training mode.

        Draws of regions are torch's, from its generator.

        Args:
            pictures: as `forward`.
            boxes: of the objects, B times float `(M, 4)`; none are legal.
            labels: B times int64 `(M,)`, in `0 … num_classes - 1`.

        Raises:
            ValueError: in evaluation mode, not B of each, a box without an area, or a label that is no class.
        """
        if not self.training:
            raise ValueError("Faster R-CNN has losses in training mode; in evaluation mode it detects")
        for number, (own, kinds) in enumerate(zip(boxes, labels, strict=True)):
            check_boxes(f"objects of picture {number}", own)
            check_labels(f"objects of picture {number}", kinds, self.num_classes)
        targets = [{"boxes": own, "labels": kinds + 1} for own, kinds in zip(boxes, labels, strict=True)]
        return self._answers(pictures, targets)[1]

    def _answers(
        self, pictures: Sequence[Tensor], targets: list[dict[str, Tensor]] | None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return detections, of evaluation mode, and losses, of training mode: as torchvision's `forward`."""
        images, _ = self.detector.transform(list(pictures))
        maps = {"0": full_precision(self.detector.backbone(images.tensors))}
        # Mixed precision is for the backbone: torchvision places anchors and moves boxes in the type of the maps.
        with torch.autocast(images.tensors.device.type, enabled=False):
            proposals, losses = self.detector.rpn(images, maps, targets)
            found, own = self.detector.roi_heads(maps, proposals, images.image_sizes, targets)
        return found, own | losses


class _Maps(nn.Module):
    """The stages of a network as torchvision wants a backbone: images to maps, with the number of their channels."""

    def __init__(self, network: nn.Module, out_channels: int) -> None:
        super().__init__()
        self.network = network
        self.out_channels = out_channels

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, C, H, W)` to maps `(N, out_channels, H / stride, W / stride)`."""
        maps: Tensor = stages_of(self.network)(images)
        return maps


class _AsTheyCome(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Batches pictures as they are: torchvision's resizes them first, and small ones to several times their size."""

    def __init__(self, stride: int) -> None:
        # Sizes that are not used; a mean of 0 and a deviation of 1 leave normalised pictures as they are.
        super().__init__(1, 1, [0.0], [1.0], size_divisible=stride)

    def resize(self, image: Tensor, target: Any = None) -> tuple[Tensor, Any]:  # noqa: ANN401 - torchvision's
        """Return both as they are."""
        return image, target
