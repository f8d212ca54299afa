"""What a step of each detector trains: the regions that are drawn, as the networks see them."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_modules.detections import Objects
from lightning_modules.detector_losses import DetectorLosses, FasterRCNNLosses, FastRCNNLosses, RCNNLosses
from lightning_modules.networks.fast_rcnn import FastRCNN
from lightning_modules.networks.faster_rcnn import FasterRCNN
from lightning_modules.networks.rcnn import RCNN
from lightning_modules.networks.resnet import CifarResNet
from lightning_modules.region_labels import label_regions

CLASSES = 2
Batch = tuple[list[Tensor], list[Tensor], list[Objects]]


def backbone() -> CifarResNet:
    torch.manual_seed(0)
    return CifarResNet(num_classes=CLASSES + 1, depth=8, width_multiplier=0.25)


def rcnn() -> RCNN:
    return RCNN(backbone(), num_classes=CLASSES, warped_size=12, context=1).eval()


def fast_rcnn() -> FastRCNN:
    return FastRCNN(backbone(), num_classes=CLASSES, pooled_size=2).eval()


def batch() -> Batch:
    """Make three pictures: two objects, none, and one; twenty proposals each, half of them near the objects."""
    generator = torch.Generator().manual_seed(0)
    counts = (2, 0, 1)
    truths = [torch.tensor([[4.0, 6.0, 18.0, 22.0], [20.0, 20.0, 38.0, 34.0]])[:count] for count in counts]
    elsewhere = torch.rand(3, 20, 2, generator=generator) * 25
    proposals = [torch.cat([corner, corner + 12], dim=1) for corner in elsewhere]
    for own, boxes in zip(truths, proposals, strict=True):
        boxes[: 5 * len(own)] = own.repeat(5, 1) + torch.rand(5 * len(own), 4, generator=generator)
    objects: list[Objects] = [
        {"boxes": own, "labels": torch.arange(count)} for own, count in zip(truths, counts, strict=True)
    ]
    return [torch.randn(3, 40, 40, generator=generator) for _ in counts], proposals, objects


def test_rcnn_is_trained_on_warped_regions_of_the_right_class() -> None:
    network = rcnn()
    pictures, proposals, objects = batch()
    # All are drawn, and often: the loss is that of the mean object and the mean background, a quarter of it the first.
    losses = RCNNLosses(network, positives=1000, backgrounds=3000)(pictures, proposals, objects, step=0)
    wrong: list[list[Tensor]] = [[], []]
    with torch.no_grad():
        for picture, boxes, true in zip(pictures, proposals, objects, strict=True):
            regions = label_regions(boxes, true, CLASSES)
            logits = network.region_logits(network.warping(picture, regions.boxes))
            loss = F.cross_entropy(logits, regions.labels, reduction="none")
            wrong[0].append(loss[regions.labels < CLASSES])
            wrong[1].append(loss[regions.labels == CLASSES])
    expected = 0.25 * torch.cat(wrong[0]).mean() + 0.75 * torch.cat(wrong[1]).mean()
    assert losses.keys() == {"classification"}
    assert losses["classification"].item() == pytest.approx(expected.item(), rel=0.03)


def test_fast_rcnn_is_trained_on_offsets_to_the_nearest_object() -> None:
    network = fast_rcnn()
    pictures, proposals, objects = batch()
    # More than there are: every region that is not ignored.
    losses = FastRCNNLosses(network, regions=1000, positives=1000)(pictures, proposals, objects, step=0)
    classification = localisation = 0.0
    count = 0
    with torch.no_grad():
        for picture, boxes, true in zip(pictures, proposals, objects, strict=True):
            regions = label_regions(boxes, true, CLASSES, background=0.1 if len(true["boxes"]) else 0.0)
            predicted = network.predict([picture], [regions.boxes])
            for region, label in enumerate(regions.labels.tolist()):
                if label < 0:
                    continue
                count += 1
                classification -= predicted.logits[region].log_softmax(dim=0)[label].item()
                if label < CLASSES:
                    truth = true["boxes"][regions.overlaps[region].argmax()]
                    target = network.targets(regions.boxes[region], truth)
                    localisation += F.smooth_l1_loss(predicted.offsets[region, label], target, reduction="sum").item()
    assert count < sum(map(len, proposals)) + 3
    assert losses["classification"].item() == pytest.approx(classification / count, rel=1e-4)
    assert losses["localisation"].item() == pytest.approx(localisation / count, rel=1e-4)


@pytest.mark.parametrize("losses", [RCNNLosses(rcnn(), 4, 12), FastRCNNLosses(fast_rcnn(), 8, 2)])
def test_a_step_is_repeated_and_another_draws_other_regions(losses: DetectorLosses) -> None:
    first, again, other = (losses(*batch(), step=step)["classification"].item() for step in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("losses", [RCNNLosses(rcnn()), FastRCNNLosses(fast_rcnn())])
def test_empty_pictures_train_the_background_and_nothing_at_all_is_refused(losses: DetectorLosses) -> None:
    pictures, proposals, objects = batch()
    alone = losses(pictures[1:2], proposals[1:2], objects[1:2], step=0)
    assert alone["classification"].isfinite()
    with pytest.raises(ValueError, match=r"1 pictures: none has a region of an object or of background"):
        losses(pictures[1:2], [torch.empty(0, 4)], objects[1:2], step=0)


def test_faster_rcnn_is_trained_without_proposals_and_without_crowds() -> None:
    network = FasterRCNN(backbone(), num_classes=CLASSES, head_width=8, anchor_sizes=(8, 16)).train()
    pictures, proposals, objects = batch()
    crowded: Sequence[Objects] = [{**own, "crowd": torch.arange(len(own["labels"])) > 0} for own in objects]

    def total(true: Sequence[Objects]) -> float:
        torch.manual_seed(0)
        return sum(loss.item() for loss in FasterRCNNLosses(network)(pictures, proposals, true, step=0).values())

    first: Sequence[Objects] = [{"boxes": own["boxes"][:1], "labels": own["labels"][:1]} for own in objects]
    assert total(crowded) == total(first)
    assert total(objects) != total(first)
