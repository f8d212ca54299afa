"""Fast R-CNN: regions of one map, their classes and their offsets."""

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.networks.box_regression import decode
from lightning_modules.networks.fast_rcnn import FastRCNN
from lightning_modules.networks.filter_stack import FilterStack
from lightning_modules.networks.resnet import CifarResNet
from lightning_modules.networks.vgg import VGG

CLASSES = 3
BOXES = torch.tensor([[2.0, 3.0, 20.0, 30.0], [0.0, 0.0, 50.0, 40.0], [30.0, 10.0, 49.0, 20.0]])


def backbone() -> nn.Module:
    torch.manual_seed(0)
    return CifarResNet(num_classes=CLASSES + 1, depth=8, width_multiplier=0.25)


def fast_rcnn(pooling: str = "align", **settings: float) -> FastRCNN:
    return FastRCNN(backbone(), num_classes=CLASSES, pooling=pooling, pooled_size=3, **settings).eval()  # type: ignore[arg-type]


def picture(height: int = 40, width: int = 52, seed: int = 0) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("pooling", ["max", "align"])
def test_regions_of_several_pictures_are_those_of_each(pooling: str) -> None:
    network = fast_rcnn(pooling)
    pictures, boxes = [picture(), picture(seed=1)], [BOXES, BOXES[:2]]
    with torch.no_grad():
        together = network.predict(pictures, boxes)
        alone = [network.predict([one], [own]) for one, own in zip(pictures, boxes, strict=True)]
    assert together.logits.shape == (5, CLASSES + 1)
    assert together.offsets.shape == (5, CLASSES, 4)
    assert together.logits.std() > 0
    torch.testing.assert_close(together.logits, torch.cat([each.logits for each in alone]))
    torch.testing.assert_close(together.offsets, torch.cat([each.offsets for each in alone]))


def test_max_pooling_of_the_whole_picture_is_that_of_its_map() -> None:
    # Stride 1 and one bin: the head sees the maximum of each channel.
    torch.manual_seed(0)
    stack = FilterStack(num_classes=CLASSES + 1, widths=(8,)).eval()
    network = FastRCNN(stack, num_classes=CLASSES, pooling="max", pooled_size=1).eval()
    with torch.no_grad():
        whole = network.predict([picture()], [torch.tensor([[0.0, 0.0, 52.0, 40.0]])])
        maps = stack.stages[0](stack.stem(picture()[None]))
        torch.testing.assert_close(whole.logits, stack.fc(maps.amax(dim=(2, 3))))


def test_max_pooling_ends_with_the_last_pixel_of_a_region() -> None:
    torch.manual_seed(0)
    stack = FilterStack(num_classes=CLASSES + 1, widths=(8,)).eval()
    network = FastRCNN(stack, num_classes=CLASSES, pooling="max", pooled_size=1).eval()
    with torch.no_grad():
        found = network.predict([picture()], [torch.tensor([[5.0, 7.0, 9.0, 8.0]])])
        maps = stack.stages[0](stack.stem(picture()[None]))
        torch.testing.assert_close(found.logits, stack.fc(maps[:, :, 7:8, 5:9].amax(dim=(2, 3))))


@pytest.mark.parametrize("pooling", ["max", "align"])
def test_mixed_precision_leaves_regions_where_they_are(pooling: str) -> None:
    # Of 16 bits, 514 is 512.
    boxes = torch.tensor([[514.0, 3.0, 540.0, 30.0]])
    there = picture(width=560)
    network = fast_rcnn(pooling, score_threshold=0.0)
    with torch.no_grad():
        whole = network.predict([there], [boxes])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = network.predict([there], [boxes])
            found = network([there], [boxes])[0]
        moved = network.predict([there], [boxes - torch.tensor([2.0, 0.0, 0.0, 0.0])])
    assert (mixed.offsets - whole.offsets).abs().max() < 0.5 * (moved.offsets - whole.offsets).abs().max()
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32


def test_the_regions_pool_takes_the_place_of_the_last_max_pool() -> None:
    vgg = VGG(num_classes=CLASSES + 1, depth=11, pooled_size=2, head_widths=(8,), width_multiplier=1 / 32)
    network = FastRCNN(vgg, num_classes=CLASSES)
    assert network.stride == 16
    # Hidden layers are there: offsets are read from them, as in the paper.
    assert network.offsets.in_features == vgg.classifier[-1].in_features
    assert fast_rcnn().stride == 4
    assert fast_rcnn().offsets.in_features == 16 * 3 * 3


def test_detections_are_decoded_in_the_units_of_the_targets() -> None:
    network = fast_rcnn(score_threshold=0.0, nms_threshold=1.0)
    nn.init.normal_(network.offsets.weight, std=0.02, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = network([picture()], [BOXES])[0]
        predicted = network.predict([picture()], [BOXES])
        scores = predicted.logits.softmax(dim=1)[:, :CLASSES]
        region, label = divmod(int(scores.argmax()), CLASSES)
        expected = decode(BOXES[region], predicted.offsets[region, label] * network.units)
    assert int(found["labels"][0]) == label
    expected = torch.minimum(expected.clamp(min=0), torch.tensor([52.0, 40.0, 52.0, 40.0]))
    torch.testing.assert_close(found["boxes"][0], expected)
    assert not torch.allclose(found["boxes"][0], BOXES[region], atol=0.1)
    truths = BOXES + torch.tensor([1.0, -2.0, 3.0, 1.0])
    torch.testing.assert_close(decode(BOXES, network.targets(BOXES, truths) * network.units), truths)


def test_smaller_pictures_and_no_proposals_come_together_with_others() -> None:
    network = fast_rcnn(score_threshold=0.0)
    with torch.no_grad():
        found = network([picture(), picture(24, 36, seed=1)], [BOXES[:0], BOXES[:1]])
        nothing = network([picture()], [BOXES[:0]])
    assert [len(own["boxes"]) > 0 for own in found] == [False, True]
    assert found[1]["boxes"][:, 2].max() <= 36
    assert len(nothing[0]["scores"]) == 0


def test_offsets_begin_at_nearly_nothing() -> None:
    with torch.no_grad():
        assert fast_rcnn().predict([picture()], [BOXES]).offsets.abs().max() < 0.1


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pooling=mean: must be one of max, align"):
        fast_rcnn("mean")
    with pytest.raises(ValueError, match=r"score_threshold=5\.0: must be from 0 to 1"):
        fast_rcnn(score_threshold=5.0)
    with pytest.raises(ValueError, match=r"backbone: num_classes=4: must be 3, of 2 classes and, last, the background"):
        FastRCNN(backbone(), num_classes=2)
    with pytest.raises(ValueError, match=r"boxes of picture 1\[0\]=\(3, 3, 3, 9\): must be x1 < x2"):
        fast_rcnn().predict([picture(), picture()], [BOXES, torch.tensor([[3.0, 3.0, 3.0, 9.0]])])
    with pytest.raises(ValueError, match=r"1 pictures, 2 of boxes: must be as many"):
        fast_rcnn().predict([picture()], [BOXES, BOXES])
