"""What is installed fits together."""

import torch
import torchvision


def test_torchvisions_compiled_operators_load() -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.5, 0.9, 0.1]), iou_threshold=0.5)
    assert kept.tolist() == [1, 2]
