"""The Inception modules of figure 2, with and without what they are compared by."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from torch import nn

from lightning_modules.networks.googlenet import Inception
from lightning_modules.networks.inception_stack import BRANCHES, InceptionModule, InceptionStack


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def module(in_channels: int = 192, width: int = 256, **options: object) -> InceptionModule:
    given: dict[str, object] = {
        "branches": list(BRANCHES),
        "reductions": True,
        "pool_projection": True,
        "rounded": round,
    }
    return InceptionModule(in_channels, width, **{**given, **options})  # type: ignore[arg-type]


def weights(network: nn.Module, branch: str) -> int:
    return sum(parameter.numel() for name, parameter in network.named_parameters() if branch in name and "conv" in name)


def test_a_module_of_256_channels_is_3a_of_table_1() -> None:
    torch.manual_seed(0)
    own = module().eval()
    papers = Inception(192, 64, 96, 128, 16, 32, 32, kernel_size_5x5=5, batch_norm=True).eval()
    assert own.out_channels == papers.out_channels == 256
    papers.load_state_dict(dict(zip(papers.state_dict(), own.state_dict().values(), strict=True)))
    maps = torch.randn(2, 192, 6, 6)
    torch.testing.assert_close(own(maps), papers(maps))


@pytest.mark.parametrize("reductions", [True, False])
def test_all_parameters(*, reductions: bool) -> None:
    w = 48
    network = InceptionStack(num_classes=10, in_channels=1, widths=(w, w, w), reductions=reductions)
    a, r3, b, r5, c, p = w // 4, 3 * w // 8, w // 2, w // 16, w // 8, w // 8
    kernels = w * (a + p)
    kernels += w * (r3 + r5) + 9 * r3 * b + 25 * r5 * c if reductions else w * (9 * b + 25 * c)
    norms = 2 * (w + (r3 + r5 if reductions else 0))
    assert parameters(network) == 9 * w + 2 * w + 3 * (kernels + norms) + 10 * w + 10


def test_reductions_leave_exact_shares_of_the_weights() -> None:
    with_them, without = (InceptionStack(num_classes=10, reductions=reductions) for reductions in (True, False))
    ratios = {name: Fraction(weights(with_them, name), weights(without, name)) for name in BRANCHES}
    assert ratios == {"1x1": 1, "3x3": Fraction(11, 24), "5x5": Fraction(33, 400), "pool": 1}


def test_without_projection_the_pool_hands_on_what_comes_in() -> None:
    naive = module(in_channels=5, width=16, reductions=False, pool_projection=False).eval()
    assert naive.out_channels == 4 + 8 + 2 + 5
    maps = torch.randn(1, 5, 6, 6)
    out = naive(maps)
    assert out.shape == (1, naive.out_channels, 6, 6)
    torch.testing.assert_close(out[:, 14:], nn.functional.max_pool2d(maps, 3, stride=1, padding=1))
    assert {name.split(".")[0] for name, _ in naive.named_parameters()} == {"1x1", "3x3", "5x5"}
    network = InceptionStack(num_classes=10, widths=(16, 16), reductions=False, pool_projection=False)
    # 16 of the stem, and 14 more from stage to stage.
    assert network.fc.in_features == 16 + 14 + 14


@pytest.mark.parametrize(
    ("branches", "channels"),
    [
        (["3x3"], {"3x3": 48}),
        (["5x5"], {"5x5": 48}),
        (["3x3", "1x1"], {"1x1": 16, "3x3": 32}),
        (["pool", "5x5"], {"5x5": 24, "pool": 24}),
        (["1x1", "3x3", "5x5"], {"1x1": 14, "3x3": 27, "5x5": 7}),
    ],
)
def test_branches_that_are_left_share_the_width(branches: list[str], channels: dict[str, int]) -> None:
    some = module(in_channels=48, width=48, branches=branches)
    out = torch.randn(1, 48, 4, 4)
    assert {name: branch(out).shape[1] for name, branch in some.items()} == channels
    assert list(some) == list(channels)
    assert some.out_channels == 48
    assert InceptionStack(num_classes=10, branches=branches)(torch.randn(2, 3, 9, 7)).shape == (2, 10)


def test_reductions_are_shares_of_their_own_branch() -> None:
    alone = module(in_channels=48, width=48, branches=["5x5"])
    reduce = alone["5x5"].get_submodule("reduce.conv")
    assert isinstance(reduce, nn.Conv2d)
    assert reduce.out_channels == 24


def convolutions(**options: object) -> list[int]:
    network = InceptionStack(num_classes=2, widths=(16, 16), **options)  # type: ignore[arg-type]
    return [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reductions": False},
        {"pool_projection": False},
        {"branches": ["1x1", "5x5", "pool"], "modules_per_stage": 3},
    ],
)
def test_layers_share_a_fraction_of_a_channel(options: dict[str, object]) -> None:
    assert convolutions(rounding="layer", **options) == convolutions(**options)
    layers = len(convolutions(**options))
    network = InceptionStack(num_classes=2, rounding="layer", widths=(16, 16), **options)  # type: ignore[arg-type]
    assert network.width_steps == layers
    # From 16 channels to 18 they widen one after the other, and none narrows.
    found = {}
    for rounding in ("layer", "stage"):
        multipliers = [1 + step / (16 * layers) for step in range(2 * layers + 1)]
        found[rounding] = [convolutions(rounding=rounding, width_multiplier=each, **options) for each in multipliers]
    for one, other in pairwise(found["layer"]):
        assert all(new >= old for old, new in zip(one, other, strict=True))
    distinct = {rounding: len(set(map(tuple, networks))) for rounding, networks in found.items()}
    assert distinct["layer"] > distinct["stage"]


def test_a_first_pool_and_every_stage_halve_the_map() -> None:
    network = InceptionStack(num_classes=10, widths=(16, 16), first_pool=True)
    sizes: list[torch.Size] = []
    for stage in network.stages:
        stage.register_forward_hook(lambda _module, _maps, out: sizes.append(out.shape[-2:]))
    network(torch.randn(2, 3, 33, 64))
    assert sizes == [(17, 32), (9, 16)]


@pytest.mark.parametrize("options", [{}, {"reductions": False, "pool_projection": False}, {"modules_per_stage": 2}])
def test_every_parameter_gets_a_gradient(options: dict[str, int]) -> None:
    torch.manual_seed(0)
    network = InceptionStack(num_classes=10, widths=(16, 32), **options)  # type: ignore[arg-type]
    network(torch.randn(2, 3, 16, 16)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("branches", ["7x7"], r"^branches\[0\]=7x7: must be one of 1x1, 3x3, 5x5, pool$"),
        ("branches", [], r"^branches=\[\]: must name one or more of 1x1, 3x3, 5x5, pool, each once$"),
        ("branches", ["3x3", "3x3"], r"^branches=\[3x3, 3x3\]: must name one or more of"),
        ("modules_per_stage", 0, r"^modules_per_stage=0: must be at least 1$"),
        ("widths", [], r"^widths=\[\]: must name the width of at least one stage$"),
        ("widths", [16, 0], r"^widths\[1\]=0: must be at least 1$"),
        ("rounding", "up", r"^rounding=up: must be one of stage, layer$"),
        ("width_multiplier", 0.0, r"^width_multiplier=0.0: must be above 0 and finite$"),
    ],
)
def test_a_bad_argument_is_named(argument: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InceptionStack(**{"num_classes": 10, argument: value})  # type: ignore[arg-type]


def test_a_pool_alone_needs_its_projection() -> None:
    assert InceptionStack(num_classes=2, branches=["pool"])(torch.randn(1, 3, 8, 8)).shape == (1, 2)
    with pytest.raises(ValueError, match=r"^branches=\[pool\]: has no weights with pool_projection=False$"):
        InceptionStack(num_classes=2, branches=["pool"], pool_projection=False)
