"""From scored boxes to detections: clipping, a threshold, non-maximum suppression, the best of the picture."""

from dataclasses import dataclass

from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image

from lightning_modules.networks import arguments
from lightning_modules.networks.boxes import SIDES, Detections


@dataclass(frozen=True)
class PostProcessing:
    """Keeps, class by class, boxes that overlap no better one of their class by much.

    Args:
        score_threshold: a detection scores more than this.
        nms_threshold: IoU above which the box of lower score is left out (greedy non-maximum suppression); 0.3 in
            R-CNN (Girshick et al. 2014, section 2.2, and the authors' code).
        most_detections: in a picture, over all classes; those of the highest scores.

    Raises:
        ValueError: an argument out of its range.
    """

    score_threshold: float
    nms_threshold: float = 0.3
    most_detections: int = 100

    def __post_init__(self) -> None:
        arguments.probability(nms_threshold=self.nms_threshold)
        arguments.positive(most_detections=self.most_detections)

    def __call__(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> Detections:
        """Return the detections of one picture, by falling score.

        A box of which nothing lies in the picture is none, and neither is one whose sides or score are no numbers, as
        of a network that has diverged.

        Args:
            boxes: float `(N, 4)`, or `(N, K, 4)` where each class has boxes of its own; x1 y1 x2 y2 in pixels.
            scores: float `(N, K)`, one of each class, without the background.
            size: height and width of the picture, in pixels.

        Raises:
            ValueError: boxes or scores of another shape.
        """
        asked = [(*scores.shape[:1], SIDES), (*scores.shape, SIDES)]
        if scores.ndim != 2 or boxes.shape not in asked:  # noqa: PLR2004 - regions, classes
            raise ValueError(
                f"boxes of shape {tuple(boxes.shape)} with scores of shape {tuple(scores.shape)}: "
                "must be (N, 4) or (N, K, 4) with (N, K)"
            )
        per_class = boxes if boxes.ndim > 2 else boxes[:, None].expand(-1, scores.shape[1], -1)  # noqa: PLR2004
        inside = clip_boxes_to_image(per_class, size)
        valid = (inside[..., :2] < inside[..., 2:]).all(dim=-1) & scores.isfinite() & (scores > self.score_threshold)
        regions, labels = valid.nonzero(as_tuple=True)
        found, confidence = inside[regions, labels], scores[regions, labels]
        kept = batched_nms(found, confidence, labels, self.nms_threshold)[: self.most_detections]
        return {"boxes": found[kept], "scores": confidence[kept], "labels": labels[kept]}
