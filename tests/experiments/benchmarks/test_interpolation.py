"""The oracle's interpolation against torch's own, and where its weights are zero."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from experiments.benchmarks.interpolation import Asked, beyond, interpolated, matrix, taps_along
from experiments.benchmarks.oracle import NothingCut

ASKED: list[dict[str, Any]] = [
    {"scale_factor": 2},
    {"scale_factor": 1.5},
    {"scale_factor": 0.5},
    {"scale_factor": (2.0, 0.7)},
    {"scale_factor": 0.3, "recompute_scale_factor": True},
    {"scale_factor": 1.04},
    {"size": 1},
    {"size": (9, 20)},
    {"size": (14, 19)},
    {"size": (31, 13)},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_matrices_are_torch_s_own_interpolation(asked: dict[str, Any], mode: str, align_corners: bool) -> None:
    for size in ((12, 13), (31, 40), (1, 2)):
        image = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        keys = {**asked, "mode": mode, "align_corners": align_corners}
        if min(int(side * scale) for side, scale in zip(size, _scales(asked), strict=True)) == 0:
            continue
        torch.testing.assert_close(
            interpolated(Asked(image, **keys), positive=False), F.interpolate(image, **keys), rtol=0, atol=1e-12
        )


def _scales(asked: dict[str, Any]) -> tuple[float, float]:
    scale = asked.get("scale_factor", 1)
    return scale if isinstance(scale, tuple) else (scale, scale)


def test_positions_follow_the_scale_factor_that_was_given_unless_it_is_recomputed() -> None:
    image = torch.arange(5, dtype=torch.float64).expand(1, 1, 5, 5)
    ratio = interpolated(Asked(image, size=(7, 7), mode="bilinear"), positive=False)
    given = Asked(image, scale_factor=1.5, mode="bilinear")
    assert not torch.allclose(interpolated(given, positive=False), ratio)
    recomputed = given._replace(recompute_scale_factor=True)
    assert torch.allclose(interpolated(recomputed, positive=False), ratio)


def test_a_neighbour_of_weight_zero_is_not_read_though_torch_s_rounding_gives_it_a_share() -> None:
    # Network 257 of the benchmark: the last output of 14 lies at the last of 128 rows, 13 · (127 / 13), which is less
    # than 127 in float64.
    size, target, output, position = 128, 14, 13, 127
    image = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    keys: dict[str, Any] = {"size": (target, target), "mode": "bicubic", "align_corners": True}
    rounded = F.interpolate(image, **keys)[0, 0, output].sum()
    (gradient,) = torch.autograd.grad(rounded, image)
    shares = gradient[0, 0].abs().sum(1)
    assert shares.nonzero().flatten().tolist() == [position - 1, position]
    assert 0 < shares[position - 1] / shares[position] < 1e-13
    with NothingCut():
        (gradient,) = torch.autograd.grad(F.interpolate(image, **keys)[0, 0, output].sum(), image)
    assert gradient[0, 0].sum(1).nonzero().flatten().tolist() == [position]


def test_positive_weights_are_zero_where_the_true_ones_are() -> None:
    for size, target in ((7, 20), (20, 7), (2, 5), (1, 3)):
        for cubic in (False, True):
            taps = taps_along(size, target, None, cubic=cubic, corners=False)
            positive = matrix(taps, size, positive=True)
            assert (positive >= 0).all()
            assert torch.equal(positive != 0, matrix(taps, size) != 0)


def test_what_lies_beyond_a_border_is_told_apart() -> None:
    # Outputs of 4 inputs doubled lie at -1/4, 1/4, 3/4 … 13/4.
    assert beyond(taps_along(4, 8, 2.0, cubic=False, corners=False), 4).tolist() == [0.25, *[0] * 6, 0.25]
    cubic = beyond(taps_along(4, 8, 2.0, cubic=True, corners=False), 4)
    assert (cubic != 0).tolist() == [True, True, True, False, False, True, True, True]
    assert not beyond(taps_along(4, 7, None, cubic=False, corners=True), 4).any()
