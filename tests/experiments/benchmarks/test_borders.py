"""Which units look beyond a border: of every operator that can, and of networks that crop."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.benchmarks.borders import look_beyond, see_anything
from experiments.benchmarks.oracle import positive_twin
from experiments.benchmarks.random_networks import Apply

SIDE = 12

# What a row or a column of 12 positions is put through, and the outputs that read something beyond them.
OPERATORS: list[tuple[str, nn.Module | Callable[[Tensor], Tensor], list[int]]] = [
    ("unpadded", nn.Conv2d(1, 1, 3), []),
    ("padded", nn.Conv2d(1, 1, 5, padding=2), [0, 1, 10, 11]),
    ("dilated", nn.Conv2d(1, 1, 3, padding=3, dilation=3), [0, 1, 2, 9, 10, 11]),
    ("of the same size", nn.Conv2d(1, 1, 4, padding="same"), [0, 10, 11]),
    ("strided", nn.Conv2d(1, 1, 3, stride=2, padding=1), [0]),
    ("mirrored", nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), [0, 11]),
    ("wrapped", nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), [0, 11]),
    ("transposed", nn.ConvTranspose2d(1, 1, 4, 2, 1), [0, 23]),
    ("transposed with more", nn.ConvTranspose2d(1, 1, 4, 2, 0, 1), [0, 1, 24, 25, 26]),
    ("largest", nn.MaxPool2d(3, 2, 1, ceil_mode=True), [0, 6]),
    ("average", nn.AvgPool2d(3, 2, ceil_mode=True), [5]),
    ("average, padded", nn.AvgPool2d(2, 2, 1, count_include_pad=False), [0, 6]),
    ("in bins", nn.AdaptiveAvgPool2d(5), []),
    ("zeros", nn.ZeroPad2d((2, -1, 2, -1)), [0, 1]),
    ("repeated", nn.ReplicationPad2d((0, 1, 0, 1)), [12]),
    ("cropped", lambda x: x[..., 2:-2, 2:-2], []),
    ("cropped, padded", lambda x: F.avg_pool2d(x[..., 2:-2, 2:-2], 3, 1, 1), [0, 7]),
    ("rolled", lambda x: x.roll((2, 2), (2, 3)), [0, 1]),
    ("rolled back", lambda x: torch.roll(x, (-1, -1), (-2, -1)), [11]),
    ("bilinear", nn.Upsample(scale_factor=2, mode="bilinear"), [0, 23]),
    ("bilinear between corners", nn.Upsample(size=5, mode="bilinear", align_corners=True), []),
    ("bicubic", nn.Upsample(scale_factor=2, mode="bicubic"), [0, 1, 2, 21, 22, 23]),
    ("nearest", nn.Upsample(scale_factor=2), []),
    ("resized after a crop", lambda x: F.interpolate(x[..., 3:, 3:], size=(18, 18), mode="bilinear"), [0, 17]),
    ("joined", lambda x: x * F.avg_pool2d(x, 3, 1, 1) + x, [0, 11]),
    ("in place", lambda x: x.clone().add_(F.avg_pool2d(x, 3, 1, 1)), [0, 11]),
    ("scaled by the mean of what looks beyond", lambda x: x * F.avg_pool2d(x, 3, 1, 1).mean(), list(range(12))),
    ("scaled by the mean", lambda x: x * x.mean(), []),
]


@pytest.mark.parametrize(("module", "near"), [case[1:] for case in OPERATORS], ids=[case[0] for case in OPERATORS])
def test_units_that_look_beyond_a_border(module: nn.Module | Callable[[Tensor], Tensor], near: list[int]) -> None:
    network = module if isinstance(module, nn.Module) else Apply(module)
    looks = look_beyond(positive_twin(network), (1, SIDE, SIDE))
    along = torch.zeros(len(looks), dtype=torch.bool)
    along[near] = True
    assert torch.equal(looks, along[:, None] | along)


def test_the_axes_are_told_apart() -> None:
    looks = look_beyond(positive_twin(nn.Conv2d(1, 1, (3, 1), padding=(1, 0))), (1, 6, 4))
    assert looks.all(1).tolist() == looks.any(1).tolist() == [True, False, False, False, False, True]


def test_holes_look_at_nothing() -> None:
    looks = look_beyond(positive_twin(nn.ConvTranspose2d(1, 1, 3, 2, dilation=2)), (1, 12, 12))
    assert looks.any(1).nonzero().flatten().tolist() == list(range(0, 27, 2))
    assert looks[4].nonzero().flatten().tolist() == [0, 2, 24, 26]


def test_holes_see_nothing() -> None:
    sees = see_anything(positive_twin(nn.ConvTranspose2d(1, 1, (3, 1), (2, 1), dilation=(2, 1))), (1, 12, 12))
    assert sees.any(1).nonzero().flatten().tolist() == list(range(0, 27, 2))
    assert torch.equal(sees.any(1), sees.all(1))


def test_one_channel_that_looks_beyond_is_enough() -> None:
    network = Apply(lambda x: torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1))
    assert look_beyond(positive_twin(network), (1, 4, 4))[0].all()


def test_an_output_without_a_map_is_one_unit() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    assert look_beyond(positive_twin(network), (1, 6, 6)).tolist() == [[True]]
