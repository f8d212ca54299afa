"""Box regression: offsets and boxes invert each other exactly."""

import math

import torch
from torch import Tensor

from lightning_modules.networks.box_regression import BoxRegressors, decode, encode

DRAWS = 100


def random_boxes(count: int, generator: torch.Generator) -> Tensor:
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 200
    size = 200 ** torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return torch.cat([corner, corner + size], dim=1)


def test_decoding_the_offsets_to_a_box_gives_the_box() -> None:
    for seed in range(DRAWS):
        generator = torch.Generator().manual_seed(seed)
        boxes, truths = random_boxes(50, generator), random_boxes(50, generator)
        torch.testing.assert_close(decode(boxes, encode(boxes, truths)), truths, rtol=1e-12, atol=1e-12)


def test_encoding_the_box_of_offsets_gives_the_offsets() -> None:
    for seed in range(DRAWS):
        generator = torch.Generator().manual_seed(seed)
        # Of a box some hundred times narrower than it is far away, its rounding is seen in the offsets: keep to the
        # offsets of regions that overlap their object.
        boxes = random_boxes(50, generator)
        boxes = torch.cat([boxes[:, :2], boxes[:, :2] + 20 + boxes[:, 2:]], dim=1)
        offsets = torch.rand(50, 4, generator=generator, dtype=torch.float64) * 2 - 1
        torch.testing.assert_close(encode(boxes, decode(boxes, offsets)), offsets, rtol=1e-12, atol=1e-12)


def test_offsets_are_the_papers() -> None:
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]], dtype=torch.float64)
    true = torch.tensor([[20.0, 20.0, 60.0, 40.0]], dtype=torch.float64)
    # Centre (20, 40) to (40, 30), of 20 by 40; 20 to 40 wide, 40 to 20 high.
    expected = torch.tensor([[1.0, -0.25, math.log(2), -math.log(2)]], dtype=torch.float64)
    torch.testing.assert_close(encode(box, true), expected, rtol=1e-15, atol=0)


def test_each_class_moves_the_box_by_its_own_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    regressors = BoxRegressors(num_classes=3, features=5).double()
    boxes, features = random_boxes(4, generator), torch.randn(4, 5, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(regressors(features, boxes), boxes[:, None].expand(4, 3, 4))
    regressors.weight.copy_(torch.randn(3, 5, 4, generator=generator, dtype=torch.float64))
    regressors.bias.copy_(torch.randn(3, 4, generator=generator, dtype=torch.float64))
    found = regressors(features, boxes)
    for label in range(3):
        offsets = features @ regressors.weight[label] + regressors.bias[label]
        torch.testing.assert_close(found[:, label], decode(boxes, offsets))
    assert regressors(features[:0], boxes[:0]).shape == (0, 3, 4)


def test_what_was_solved_is_saved_and_is_not_trained() -> None:
    regressors = BoxRegressors(num_classes=2, features=3)
    regressors.weight.fill_(0.5)
    other = BoxRegressors(num_classes=2, features=3)
    other.load_state_dict(regressors.state_dict())
    assert torch.equal(other.weight, regressors.weight)
    assert not list(regressors.parameters())
