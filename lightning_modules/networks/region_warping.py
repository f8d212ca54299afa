"""Regions of any shape, warped to the one size that a classifier sees (Girshick et al. 2014, section 2.2, appendix A).

Rich feature hierarchies for accurate object detection and semantic segmentation, arXiv 1311.2524.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from lightning_modules.networks import arguments
from lightning_modules.networks.boxes import check_boxes, of_corners

# Of mean colour, around the picture: roi_align takes what lies farther out for zero, and zero is the mean.
BORDER = 1


@dataclass(frozen=True)
class RegionWarping:
    """Scales what lies in a box, and some context around it, to `size` by `size` pixels, whatever its aspect ratio.

    In the warped picture the box reaches from `context` to `size - context` in both directions; around it is as much of
    the picture as fits there under the same scale. What lies outside the picture is the mean.

    Each warped pixel is one bilinear sample at its centre, without antialiasing, as in the authors' code; unlike there
    the context is not rounded to whole pixels of the picture, and its edge fades to the mean within one pixel.

    Args:
        size: pixels a side of the warped region; 227 in the paper.
        context: pixels around the box in the warped region, the paper's p; 16 there.

    Raises:
        ValueError: a size below 1, or a context below 0 or so large that nothing is left of the box.
    """

    size: int = 227
    context: int = 16

    def __post_init__(self) -> None:
        arguments.positive(size=self.size)
        if not 0 <= 2 * self.context < self.size:
            raise ValueError(f"context={self.context}: must be at least 0 and below half of size={self.size}")

    @property
    def _inner(self) -> int:
        return self.size - 2 * self.context

    def with_context(self, boxes: Tensor) -> Tensor:
        """Return, `(N, 4)`, what of the picture is warped for each of the boxes `(N, 4)`, in pixels of the picture.

        Raises:
            ValueError: as `check_boxes`.
        """
        check_boxes("boxes", boxes)
        around = (boxes[:, 2:] - boxes[:, :2]) * (self.context / self._inner)
        return of_corners(boxes[:, :2] - around, boxes[:, 2:] + around)

    def into(self, boxes: Tensor, coordinates: Tensor) -> Tensor:
        """Map points or boxes of the picture into the warped region of each box.

        Args:
            boxes: `(N, 4)`, in pixels of the picture.
            coordinates: of P points x y, `(N, P, 2)`, or P boxes x1 y1 x2 y2, `(N, P, 4)`, in pixels of the picture.

        Returns:
            The same in pixels of the warped regions; where they do not lie in the region, they lie outside of it.

        Raises:
            ValueError: as `check_boxes`; coordinates of another shape.
        """
        corner, scale = self._corner_and_scale(boxes, coordinates)
        return (coordinates - corner) * scale + self.context

    def out_of(self, boxes: Tensor, coordinates: Tensor) -> Tensor:
        """Map points or boxes of the warped region of each box back into the picture: the inverse of `into`.

        Args:
            boxes: `(N, 4)`, in pixels of the picture.
            coordinates: `(N, P, 2)` or `(N, P, 4)`, in pixels of the warped regions.

        Raises:
            ValueError: as `into`.
        """
        corner, scale = self._corner_and_scale(boxes, coordinates)
        return (coordinates - self.context) / scale + corner

    def __call__(self, picture: Tensor, boxes: Tensor) -> Tensor:
        """Return the warped regions of one picture, `(N, C, size, size)`.

        Args:
            picture: float `(C, H, W)`, its mean subtracted.
            boxes: `(N, 4)`, in pixels; they may reach beyond the picture.

        Raises:
            ValueError: as `check_boxes`; a picture of another shape.
        """
        if picture.ndim != 3:  # noqa: PLR2004 - channels, height, width
            raise ValueError(f"picture of shape {tuple(picture.shape)}: must be (C, H, W)")
        regions = self.with_context(boxes).to(picture)
        padded = F.pad(picture[None], (BORDER,) * 4)
        warped: Tensor = roi_align(padded, [regions + BORDER], self.size, sampling_ratio=1, aligned=True)
        return warped

    def _corner_and_scale(self, boxes: Tensor, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """Return each box's upper left corner and its scale, as often as there are points in a coordinate's row."""
        check_boxes("boxes", boxes)
        if coordinates.ndim != 3 or len(coordinates) != len(boxes) or coordinates.shape[-1] not in (2, 4):  # noqa: PLR2004
            raise ValueError(
                f"coordinates of shape {tuple(coordinates.shape)}: must be ({len(boxes)}, P, 2) or ({len(boxes)}, P, 4)"
            )
        scale = self._inner / (boxes[:, 2:] - boxes[:, :2])
        points = coordinates.shape[-1] // 2
        return boxes[:, None, :2].repeat(1, 1, points), scale[:, None].repeat(1, 1, points)
