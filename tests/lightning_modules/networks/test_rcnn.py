"""R-CNN: from pictures and proposals to detections, in each of its arms."""

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.rcnn import RCNN
from lightning_modules.networks.resnet import CifarResNet
from lightning_modules.networks.vgg import VGG

CLASSES = 3


def rcnn(**settings: Any) -> RCNN:  # noqa: ANN401 - as the settings are
    torch.manual_seed(0)
    backbone = CifarResNet(num_classes=CLASSES + 1, depth=8, width_multiplier=0.25)
    return RCNN(backbone, num_classes=CLASSES, **({"warped_size": 16, "context": 1, "map_size": 2} | settings)).eval()


def filled(network: RCNN) -> RCNN:
    """Put weights into what is solved for, as if it had been."""
    for solved, deviation in ((network.svms, 0.3), (network.box_regressors, 0.02)):
        for buffer in solved.buffers() if solved is not None else ():
            buffer.normal_(std=deviation, generator=torch.Generator().manual_seed(1))
    return network


def picture(height: int = 40, width: int = 50, seed: int = 0) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))


BOXES = torch.tensor([[2.0, 3.0, 20.0, 30.0], [0.0, 0.0, 50.0, 40.0], [30.0, 10.0, 49.0, 20.0], [5.0, 5.0, 9.0, 9.0]])


def test_probabilities_are_the_softmax_of_the_backbone_on_warped_regions() -> None:
    network = rcnn(box_regression=False, score_threshold=0.0, nms_threshold=1.0)
    with torch.no_grad():
        found = network([picture()], [BOXES])[0]
        expected = network.backbone(network.warping(picture(), BOXES)).softmax(dim=1)[:, :CLASSES]
    assert len(found["scores"]) == len(BOXES) * CLASSES
    torch.testing.assert_close(found["scores"], expected.flatten().sort(descending=True).values)
    best = int(expected.amax(dim=1).argmax())
    assert torch.equal(found["boxes"][0], BOXES[best])
    assert int(found["labels"][0]) == int(expected[best].argmax())


def test_machines_read_what_the_backbones_head_reads() -> None:
    network = filled(rcnn(classifier="svm", box_regression=False, score_threshold=-1e9, nms_threshold=1.0))
    assert network.svms is not None
    with torch.no_grad():
        features = network.region_features(picture(), BOXES).features
        logits = network.region_logits(network.warping(picture(), BOXES))
        torch.testing.assert_close(network.backbone.get_submodule("fc")(features), logits)
        found = network([picture()], [BOXES])[0]
        torch.testing.assert_close(found["scores"], network.svms(features).flatten().sort(descending=True).values)


def test_mixed_precision_is_for_the_backbone() -> None:
    network = filled(rcnn(classifier="svm", score_threshold=-1e9, nms_threshold=1.0))
    assert network.svms is not None
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        found = network([picture()], [BOXES])[0]
        features = network.region_features(picture(), BOXES).features
    assert found["boxes"].dtype == found["scores"].dtype == features.dtype == torch.float32
    expected = network.svms(features).flatten().sort(descending=True).values
    torch.testing.assert_close(found["scores"], expected)


def test_each_class_has_its_own_regressed_boxes_within_the_picture() -> None:
    network = filled(rcnn(score_threshold=0.0, nms_threshold=1.0))
    assert network.box_regressors is not None
    with torch.no_grad():
        found = network([picture()], [BOXES])[0]
        maps = network.region_features(picture(), BOXES).maps
        moved = network.box_regressors(maps, BOXES).clamp(min=0)
    moved = torch.minimum(moved, torch.tensor([50.0, 40.0, 50.0, 40.0]))
    ours = {
        (label, *box) for label, box in zip(found["labels"].tolist(), map(tuple, found["boxes"].tolist()), strict=True)
    }
    theirs = {(label, *moved[region, label].tolist()) for region in range(len(BOXES)) for label in range(CLASSES)}
    assert len(ours) > CLASSES
    assert ours <= theirs


def test_regressors_that_were_never_fitted_leave_boxes_as_they_are() -> None:
    with torch.no_grad():
        found = rcnn(score_threshold=0.0, nms_threshold=1.0)([picture()], [BOXES])[0]
        plain = rcnn(score_threshold=0.0, nms_threshold=1.0, box_regression=False)([picture()], [BOXES])[0]
    torch.testing.assert_close(found["boxes"], plain["boxes"])


def test_pictures_of_any_size_and_without_proposals_come_together() -> None:
    network = filled(rcnn(score_threshold=0.0))
    pictures = [picture(), picture(23, 61, seed=1), picture()]
    proposals = [BOXES, torch.empty(0, 4), BOXES[:2]]
    with torch.no_grad():
        found = network(pictures, proposals)
        alone = [network([one], [boxes])[0] for one, boxes in zip(pictures, proposals, strict=True)]
    assert [len(own["boxes"]) > 0 for own in found] == [True, False, True]
    for together, own in zip(found, alone, strict=True):
        assert together.keys() == {"boxes", "scores", "labels"}
        assert torch.equal(together["boxes"], own["boxes"])
        assert torch.equal(together["scores"], own["scores"])


def test_some_regions_at_a_time_are_all_of_them() -> None:
    with torch.no_grad():
        whole = rcnn().region_features(picture(), BOXES)
        parts = rcnn(regions_per_pass=3).region_features(picture(), BOXES)
    torch.testing.assert_close(parts.features, whole.features)
    torch.testing.assert_close(parts.maps, whole.maps)


def test_what_was_solved_is_in_the_state_and_the_backbone_keeps_its_names() -> None:
    network = filled(rcnn(classifier="svm"))
    state = network.state_dict()
    assert {"svms.weight", "svms.bias", "box_regressors.weight", "box_regressors.bias"} <= state.keys()
    assert {name.removeprefix("backbone.") for name in state if name.startswith("backbone.")} == set(
        CifarResNet(num_classes=CLASSES + 1, depth=8, width_multiplier=0.25).state_dict()
    )
    other = rcnn(classifier="svm")
    other.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(other([picture()], [BOXES])[0]["scores"], network([picture()], [BOXES])[0]["scores"])


@pytest.mark.parametrize(
    "backbone",
    [
        VGG(num_classes=CLASSES + 1, depth=11, pooled_size=1, head_widths=(8,), width_multiplier=1 / 32),
        GoogLeNet(num_classes=CLASSES + 1, aux_heads=True, small_images=True, width_multiplier=1 / 16),
    ],
)
def test_logits_of_warped_regions_train_any_backbone(backbone: nn.Module) -> None:
    network = RCNN(backbone, num_classes=CLASSES, warped_size=32, context=2, classifier="svm")
    logits = network.region_logits(network.warping(picture(), BOXES))
    assert logits.shape == (4, CLASSES + 1)
    torch.autograd.backward(logits.logsumexp(dim=1).sum())
    assert next(backbone.parameters()).grad is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"classifier": "tree"}, r"classifier=tree: must be one of softmax, svm"),
        ({"context": 8}, r"context=8: must be at least 0 and below half of size=16"),
        ({"map_size": 0}, r"map_size=0: must be at least 1"),
        ({"warped_size": 0}, r"warped_size=0: must be at least 1"),
        ({"score_threshold": 5.0}, r"score_threshold=5\.0: must be from 0 to 1"),
        ({"num_classes": 5}, r"backbone: num_classes=4: must be 6, of 5 classes and, last, the background"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    backbone = CifarResNet(num_classes=CLASSES + 1, depth=8, width_multiplier=0.25)
    with pytest.raises(ValueError, match=said):
        RCNN(backbone, **({"num_classes": CLASSES, "warped_size": 16, "context": 1} | settings))


def test_regions_too_small_for_the_backbone_are_refused() -> None:
    backbone = VGG(num_classes=CLASSES + 1, depth=11, pooled_size=1, head_widths=(), width_multiplier=1 / 32)
    with pytest.raises(ValueError, match=r"warped_size=24: too small for the backbone; image_size=24x24"):
        RCNN(backbone, num_classes=CLASSES, warped_size=24, context=2)
    with torch.device("meta"):
        theirs = torchvision.models.alexnet(num_classes=CLASSES + 1)
    with pytest.raises(ValueError, match=r"^warped_size=32: too small for the backbone; .*$"):
        RCNN(theirs, num_classes=CLASSES, warped_size=32, context=2)


def test_a_proposal_without_an_area_is_refused() -> None:
    with pytest.raises(ValueError, match=r"boxes\[1\]=\(3, 3, 3, 9\): must be x1 < x2"):
        rcnn()([picture()], [torch.tensor([[0.0, 0.0, 9.0, 9.0], [3.0, 3.0, 3.0, 9.0]])])
