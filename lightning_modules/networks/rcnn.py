"""R-CNN: regions with CNN features (Girshick et al. 2014, Rich feature hierarchies, arXiv 1311.2524)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.networks import arguments
from lightning_modules.networks.backbone import Parts, check_head, map_shape, parts_of, probe
from lightning_modules.networks.box_regression import BoxRegressors
from lightning_modules.networks.boxes import Detections, full_precision
from lightning_modules.networks.linear_svms import LinearSVMs
from lightning_modules.networks.post_processing import PostProcessing
from lightning_modules.networks.region_warping import RegionWarping

# By classifier, where none is asked for. Average precision wants all that may be an object, however unlikely; margins
# have no lower end, and the authors' evaluation has none for them.
SCORE_THRESHOLDS = {"softmax": 0.01, "svm": -math.inf}


class RegionFeatures(NamedTuple):
    """What the network makes of N regions.

    Attributes:
        maps: `(N, D')`, of the last stage, pooled to a few places and flattened: the paper's pool5.
        features: `(N, D)`, what the network's head reads: fc7 in the paper.
    """

    maps: Tensor
    features: Tensor


class RCNN(nn.Module):
    """Warps each proposed region, computes its features with a classification network, and scores it for each class.

    Maps normalised pictures and proposals to detections. It is trained in the paper's three steps: the backbone is
    fine-tuned on warped regions (`region_logits`), then the support vector machines are fitted to its features, and the
    box regressors to its maps (`region_features`).

    Args:
        backbone: a classification network for `warped_size` pixels, with K + 1 logits of which the last is the
            background's; see `backbone.parts_of`.
        num_classes: K, without the background.
        classifier: what scores a region: the backbone's own "softmax", or one "svm" per class (section 2.3 and
            appendix B, where they are compared).
        box_regression: moves each box to where its class's regressor sees the object (appendix C).
        warped_size: pixels a side of a warped region; 227 in the paper.
        context: pixels of context around the region's box in it; 16 in the paper.
        map_size: places a side of the maps from which boxes are regressed; 6 in the paper (pool5).
        score_threshold: a detection scores more: a probability for "softmax", a margin for "svm"; `None` means 0.01, or
            none.
        nms_threshold: IoU with a better box of the class above which a box is left out; 0.3 in the paper.
        most_detections: in a picture, over all classes.
        regions_per_pass: how many go through the network at once, in evaluation: bounds its memory.

    Raises:
        ValueError: an argument out of its range, or a backbone that cannot be taken apart or has another number of
            logits.
    """

    def __init__(  # noqa: PLR0913 - each is a key of the configuration
        self,
        backbone: nn.Module,
        *,
        num_classes: int,
        classifier: str = "softmax",
        box_regression: bool = True,
        warped_size: int = 227,
        context: int = 16,
        map_size: int = 6,
        score_threshold: float | None = None,
        nms_threshold: float = 0.3,
        most_detections: int = 100,
        regions_per_pass: int = 256,
    ) -> None:
        super().__init__()
        arguments.positive(
            num_classes=num_classes, warped_size=warped_size, map_size=map_size, regions_per_pass=regions_per_pass
        )
        arguments.one_of(SCORE_THRESHOLDS, classifier=classifier)
        if classifier == "softmax" and score_threshold is not None:
            arguments.probability(score_threshold=score_threshold)
        parts = parts_of(backbone)
        check_head(parts, num_classes)
        maps = map_shape(parts.stages)
        try:
            probe(backbone, maps.in_channels, warped_size)
        # torch's own layers, as torchvision's networks have them, raise the latter.
        except (ValueError, RuntimeError) as error:
            said = str(error).splitlines()[0]
            raise ValueError(f"warped_size={warped_size}: too small for the backbone; {said}") from error
        self.num_classes = num_classes
        self.map_size = map_size
        self.regions_per_pass = regions_per_pass
        self.warping = RegionWarping(warped_size, context)
        self.post_processing = PostProcessing(
            SCORE_THRESHOLDS[classifier] if score_threshold is None else score_threshold,
            nms_threshold,
            most_detections,
        )
        self.backbone = backbone
        self.svms = LinearSVMs(num_classes, parts.head.in_features) if classifier == "svm" else None
        self.box_regressors = BoxRegressors(num_classes, maps.channels * map_size**2) if box_regression else None

    def forward(self, pictures: Sequence[Tensor], proposals: Sequence[Tensor]) -> list[Detections]:
        """Return the detections in each of B pictures.

        Args:
            pictures: B, float `(C, H, W)`, normalised; their sizes may differ.
            proposals: B, float `(N, 4)`, x1 y1 x2 y2 in pixels, x2 and y2 exclusive.

        Raises:
            ValueError: not as many pictures as proposals, or a box without an area.
        """
        return [self._detect(picture, boxes) for picture, boxes in zip(pictures, proposals, strict=True)]

    def region_logits(self, warped: Tensor) -> Tensor:
        """Map warped regions `(N, C, S, S)` to logits `(N, K + 1)`, the background's last: what is fine-tuned."""
        answers = self.backbone(warped)
        logits: Tensor = answers if isinstance(answers, Tensor) else answers[0]
        return logits

    def region_features(self, picture: Tensor, boxes: Tensor) -> RegionFeatures:
        """Return the features of regions of one picture, some at a time, in full precision.

        Args:
            picture: float `(C, H, W)`, normalised.
            boxes: `(N, 4)`, in pixels.

        Raises:
            ValueError: as `RegionWarping`.
        """
        parts = self._parts
        # Also of no boxes, whose features have a width.
        some = torch.split(boxes, self.regions_per_pass)
        passes = [self._features(parts, self.warping(picture, own)) for own in some]
        return RegionFeatures(*(full_precision(torch.cat(values)) for values in zip(*passes, strict=True)))

    def scores(self, features: Tensor) -> Tensor:
        """Map features `(N, D)` to the score of each class, `(N, K)`: probabilities, or margins of "svm"."""
        if self.svms is not None:
            scores: Tensor = self.svms(features)
            return scores
        logits: Tensor = self._parts.head(features)
        return logits.softmax(dim=1)[:, : self.num_classes]

    @property
    def _parts(self) -> Parts:
        # Each time anew: what surrounds a training may exchange modules of the backbone, as for batch norm over all
        # processes.
        return parts_of(self.backbone)

    def _features(self, parts: Parts, warped: Tensor) -> RegionFeatures:
        maps: Tensor = parts.stages(warped)
        return RegionFeatures(F.adaptive_avg_pool2d(maps, self.map_size).flatten(1), parts.neck(maps))

    def _detect(self, picture: Tensor, boxes: Tensor) -> Detections:
        found = self.region_features(picture, boxes)
        # Mixed precision is for the backbone: what was solved for is applied as it was solved.
        with torch.autocast(picture.device.type, enabled=False):
            if self.box_regressors is not None:
                boxes = self.box_regressors(found.maps, boxes)
            scores = self.scores(found.features)
        height, width = picture.shape[-2:]
        return self.post_processing(boxes, scores, (height, width))
