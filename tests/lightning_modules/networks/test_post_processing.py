"""From scored boxes to detections, against non-maximum suppression written out."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from lightning_modules.networks.boxes import Detections
from lightning_modules.networks.post_processing import PostProcessing


def written_out(boxes: Tensor, scores: Tensor, threshold: float) -> list[tuple[float, int, int]]:
    """Return score, label and region of what is kept of boxes `(N, K, 4)`, by falling score."""
    kept: list[tuple[float, int, int]] = []
    for label in range(scores.shape[1]):
        chosen: list[int] = []
        for region in scores[:, label].argsort(descending=True).tolist():
            others = boxes[chosen, label]
            if scores[region, label] > 0 and not (box_iou(boxes[region, label][None], others) > threshold).any():
                chosen.append(region)
        kept += [(float(scores[region, label]), label, region) for region in chosen]
    return sorted(kept, reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_detections_are_those_of_the_greedy_algorithm_per_class(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(40, 3, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + 5 + 30 * torch.rand(40, 3, 2, generator=generator)], dim=2)
    scores = torch.randn(40, 3, generator=generator)
    found = PostProcessing(score_threshold=0.0)(boxes, scores, (200, 200))
    expected = written_out(boxes, scores, 0.3)
    assert 0 < len(expected) < (scores > 0).sum()
    assert found["scores"].tolist() == [score for score, _, _ in expected]
    assert found["labels"].tolist() == [label for _, label, _ in expected]
    assert torch.equal(found["boxes"], torch.stack([boxes[region, label] for _, label, region in expected]))


def one(box: tuple[float, ...], score: float = 0.5, **settings: float) -> Detections:
    return PostProcessing(**({"score_threshold": 0.1} | settings))(  # type: ignore[arg-type]
        torch.tensor([box]), torch.tensor([[score]]), (30, 50)
    )


def test_boxes_end_where_the_picture_ends() -> None:
    assert one((-3.0, 10.0, 80.0, 80.0))["boxes"].tolist() == [[0.0, 10.0, 50.0, 30.0]]


@pytest.mark.parametrize(
    ("box", "score"),
    [
        ((60.0, 0.0, 70.0, 10.0), 0.5),  # outside
        ((0.0, 0.0, float("nan"), 10.0), 0.5),
        ((0.0, 0.0, 10.0, 10.0), float("nan")),
        ((0.0, 0.0, 10.0, 10.0), 0.1),  # not above the threshold
    ],
)
def test_what_is_no_detection_is_left_out(box: tuple[float, ...], score: float) -> None:
    assert {name: len(values) for name, values in one(box, score).items() if isinstance(values, Tensor)} == {
        "boxes": 0,
        "scores": 0,
        "labels": 0,
    }


def test_an_endless_box_is_the_picture() -> None:
    assert one((-float("inf"), -float("inf"), float("inf"), float("inf")))["boxes"].tolist() == [[0.0, 0.0, 50.0, 30.0]]


def test_classes_share_their_regions_boxes_and_do_not_suppress_each_other() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0]])
    found = PostProcessing(0.0)(boxes, torch.tensor([[0.9, 0.3], [0.8, 0.4]]), (20, 20))
    assert list(zip(found["scores"].tolist(), found["labels"].tolist(), strict=True)) == [
        (pytest.approx(0.9), 0),
        (pytest.approx(0.4), 1),
    ]


def test_only_the_best_of_a_picture_are_kept() -> None:
    boxes = torch.tensor([[20.0 * place, 0.0, 20.0 * place + 10, 10.0] for place in range(5)])
    scores = torch.tensor([[0.2], [0.9], [0.4], [0.7], [0.1]])
    found = PostProcessing(0.0, most_detections=2)(boxes, scores, (20, 200))
    assert found["boxes"][:, 0].tolist() == [20.0, 60.0]


def test_nothing_proposed_is_nothing_found() -> None:
    found = PostProcessing(0.0)(torch.empty(0, 4), torch.empty(0, 3), (20, 20))
    assert found["boxes"].shape == (0, 4)
    assert found["labels"].dtype is torch.int64


def test_settings_and_shapes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"nms_threshold=1\.5: must be from 0 to 1"):
        PostProcessing(0.0, nms_threshold=1.5)
    with pytest.raises(ValueError, match=r"most_detections=0: must be at least 1"):
        PostProcessing(0.0, most_detections=0)
    with pytest.raises(ValueError, match=r"boxes of shape \(2, 4\) with scores of shape \(3, 1\)"):
        PostProcessing(0.0)(torch.zeros(2, 4), torch.zeros(3, 1), (5, 5))
