"""Faster R-CNN: torchvision's, on our backbones, our labels and pictures as they come."""

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.initialisation import initialise
from lightning_modules.networks.faster_rcnn import FasterRCNN
from lightning_modules.networks.resnet import CifarResNet

CLASSES = 3


def faster_rcnn(**settings: float) -> FasterRCNN:
    torch.manual_seed(0)
    backbone = CifarResNet(num_classes=CLASSES + 1, depth=8, width_multiplier=0.25)
    return FasterRCNN(backbone, num_classes=CLASSES, head_width=8, anchor_sizes=(8, 16), **settings)  # type: ignore[arg-type]


def picture(height: int = 40, width: int = 52, seed: int = 0) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_pictures_are_not_resized_and_not_normalised_again() -> None:
    batch, _ = faster_rcnn().eval().detector.transform([picture(), picture(24, 36)], None)
    assert batch.image_sizes == [(40, 52), (24, 36)]
    assert torch.equal(batch.tensors[0, :, :40, :52], picture())
    assert torch.equal(batch.tensors[1, :, :24, :36], picture(24, 36))


def test_detections_have_our_labels_and_lie_in_their_picture() -> None:
    network = faster_rcnn(score_threshold=0.0).eval()
    with torch.no_grad():
        # Equally likely classes, so that each of them is found.
        nn.init.zeros_(network.detector.roi_heads.box_predictor.cls_score.weight)
        nn.init.zeros_(network.detector.roi_heads.box_predictor.cls_score.bias)
        found = network([picture(), picture(24, 36)])
    for own, (height, width) in zip(found, [(40, 52), (24, 36)], strict=True):
        assert set(own["labels"].tolist()) <= set(range(CLASSES))
        assert 0 in own["labels"]
        assert (own["boxes"][:, 2:] <= torch.tensor([width, height])).all()
        torch.testing.assert_close(own["scores"], torch.full_like(own["scores"], 1 / (CLASSES + 1)))


def test_mixed_precision_leaves_boxes_where_they_are() -> None:
    network = faster_rcnn(score_threshold=0.0).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = network([picture(width=300)])[0]
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    far = found["boxes"][found["boxes"][:, 0] > 256, 0]
    # Of 16 bits, all of them would be even numbers.
    assert len(far)
    assert (far % 2 != 0).any()


def test_losses_train_all_of_it_and_pictures_may_be_empty() -> None:
    network = faster_rcnn().train()
    boxes = [torch.tensor([[4.0, 4.0, 20.0, 20.0]]), torch.empty(0, 4)]
    losses = network.losses([picture(), picture(seed=1)], boxes, [torch.tensor([2]), torch.empty(0, dtype=torch.int64)])
    assert len(losses) == 4
    torch.autograd.backward(list(losses.values()))
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_what_proposes_begins_as_in_the_paper_and_the_backbone_as_ever() -> None:
    network = faster_rcnn()
    initialise(network, seed=3)
    for module in network.detector.rpn.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1000:
            assert module.weight.std().item() == pytest.approx(0.01, rel=0.1)
    first = network.backbone.get_parameter("conv1.weight")
    assert first.std().item() == pytest.approx((2 / 27) ** 0.5, rel=0.3)


def test_each_mode_has_one_answer() -> None:
    with pytest.raises(ValueError, match=r"Faster R-CNN detects in evaluation mode"):
        faster_rcnn().train()([picture()])
    with pytest.raises(ValueError, match=r"Faster R-CNN has losses in training mode"):
        faster_rcnn().eval().losses([picture()], [torch.empty(0, 4)], [torch.empty(0, dtype=torch.int64)])


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"anchor_sizes\[1\]=0: must be at least 1"):
        FasterRCNN(CifarResNet(num_classes=4, depth=8), num_classes=3, anchor_sizes=(8, 0))
    with pytest.raises(ValueError, match=r"aspect_ratios\[0\]=-1: must be above 0 and finite"):
        FasterRCNN(CifarResNet(num_classes=4, depth=8), num_classes=3, aspect_ratios=(-1,))
    for label in (-1, CLASSES):
        with pytest.raises(ValueError, match=rf"objects of picture 0: label {label}: must be from 0 to 2"):
            faster_rcnn().train().losses([picture()], [torch.tensor([[1.0, 1.0, 9.0, 9.0]])], [torch.tensor([label])])
    with pytest.raises(ValueError, match=r"objects of picture 0\[0\]=\(9, 9, 3, 12\): must be x1 < x2"):
        faster_rcnn().train().losses([picture()], [torch.tensor([[9.0, 9.0, 3.0, 12.0]])], [torch.tensor([0])])
