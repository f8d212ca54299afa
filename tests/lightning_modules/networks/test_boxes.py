"""Boxes: what is refused, in one line that names the box."""

import pytest
import torch

from lightning_modules.networks.boxes import check_boxes


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ((5.0, 2.0, 5.0, 9.0), r"proposals\[1\]=\(5, 2, 5, 9\): must be x1 < x2 and y1 < y2, all finite"),
        ((5.0, 9.0, 7.0, 2.0), r"proposals\[1\]=\(5, 9, 7, 2\): must be"),
        ((0.0, float("nan"), 7.0, 9.0), r"proposals\[1\]=\(0, nan, 7, 9\): must be"),
        ((0.0, 0.0, float("inf"), 9.0), r"proposals\[1\]=\(0, 0, inf, 9\): must be"),
    ],
)
def test_a_box_without_an_area_is_named(box: tuple[float, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_boxes("proposals", torch.tensor([(0.0, 0.0, 1.0, 1.0), box, box]))


def test_what_are_no_boxes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"proposals of shape \(4,\): must be \(N, 4\)"):
        check_boxes("proposals", torch.tensor([0.0, 0.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match=r"proposals of torch\.int64: must be floats"):
        check_boxes("proposals", torch.tensor([[0, 0, 1, 1]]))


def test_no_boxes_are_boxes() -> None:
    check_boxes("proposals", torch.empty(0, 4))
