"""One arm at the parameters or MACs of another."""

import math
import sys
from types import ModuleType
from typing import Literal

import pytest
from torch import nn

from experiments.errors import UserError
from experiments.measures.network import measure
from experiments.runs.architectures import architecture
from experiments.runs.matching import MatchedBudget, match_budget

CIFAR = (3, 32, 32)


def macs_of_plain56(multiplier: float) -> int:
    """Return the MACs at 32 pixels and 10 classes from the table of the paper (He et al. 2016, section 4.2)."""
    n = 9
    a, b, c = (max(1, math.floor(width * multiplier + 0.5)) for width in (16, 32, 64))
    first, second, third = 3 * a + 2 * n * a * a, a * b + (2 * n - 1) * b * b, b * c + (2 * n - 1) * c * c
    return 9 * (32**2 * first + 16**2 * second + 8**2 * third) + 10 * c


def built(matched: MatchedBudget, overrides: list[str]) -> nn.Module:
    return architecture([*overrides, *matched.overrides]).build(matched.num_classes, matched.input_shape[0])


def test_plain56_with_the_macs_of_resnet20() -> None:
    matched = match_budget(["model=plain56"], CIFAR, 10, quantity="macs", target="resnet20")
    assert matched.overrides == ("model.network.width_multiplier=0.5625",)
    assert (matched.key, matched.value) == ("model.network.width_multiplier", 36 / 64)
    assert matched.match.target == 40_551_040
    assert matched.match.cost == macs_of_plain56(36 / 64) == measure(built(matched, ["model=plain56"]), CIFAR).macs
    assert matched.within
    nearest = min(range(1, 129), key=lambda width: abs(macs_of_plain56(width / 64) - 40_551_040))
    assert nearest == 36
    assert matched.match.evaluations <= 8
    assert matched.sentence() == (
        "plain56 with width_multiplier=0.5625: 39,813,480 MACs at input 3x32x32; target resnet20: 40,551,040; "
        "residual -737,560 (-1.82 %), within the tolerance of 2 %"
    )
    found = matched.as_dict()
    assert found["overrides"] == ["model.network.width_multiplier=0.5625"]
    assert found["relative_residual"] == pytest.approx(-0.01819, abs=1e-5)
    assert (found["found"], found["target"], found["within"]) == (39_813_480, 40_551_040, True)


@pytest.mark.parametrize("target", [3_000_000, 47_000_000, 125_485_696, 1_000_000_000])
def test_no_multiplier_comes_nearer_where_the_tolerance_asks_for_it(target: int) -> None:
    matched = match_budget(["model=plain56"], CIFAR, 10, quantity="macs", target=target, tolerance=0)
    # All networks there are: the layers of 64, 32 and 16 channels change at odd multiples of 1/128, 1/64 and 1/32.
    best = min((abs(macs_of_plain56(step / 128) - target), step) for step in range(1, 64 * 128))
    assert abs(matched.match.residual) == best[0]
    assert matched.match.cost == macs_of_plain56(float(matched.value))


def test_half_steps_are_taken_only_where_whole_channels_miss_the_tolerance() -> None:
    target = macs_of_plain56(36.5 / 64)
    assert target not in (macs_of_plain56(36 / 64), macs_of_plain56(37 / 64))
    assert match_budget(["model=plain56"], CIFAR, 10, quantity="macs", target=target, tolerance=0.05).value in (
        36 / 64,
        37 / 64,
    )
    exact = match_budget(["model=plain56"], CIFAR, 10, quantity="macs", target=target, tolerance=0)
    assert exact.value == 36.5 / 64
    assert exact.match.residual == 0
    # Layers of one width have no half steps: of the same network under two multipliers, that of whole channels.
    equal = match_budget(["model=conv5x5"], CIFAR, 10, quantity="macs", target=40_000_000, tolerance=0)
    assert not equal.within
    assert equal.value == round(equal.value * 32) / 32


@pytest.mark.parametrize("quantity", ["parameters", "macs"])
@pytest.mark.parametrize(
    ("overrides", "by"),
    [
        (["model=resnet18_small", "model.network.shortcut=A"], "width"),
        (["model=resnet50"], "width"),
        (["model=vgg11_small_bn"], "width"),
        (["model=googlenet_small", "model.network.aux_heads=true"], "width"),
        (["model=two_conv3x3"], "width"),
        (["model=plain20"], "depth"),
        (["model=vgg16_small"], "depth"),
        (["model=two_conv3x3", "datamodule=cifar100"], "depth"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else value,
)
def test_what_is_found_is_what_measure_counts(overrides: list[str], by: str, quantity: str) -> None:
    matched = match_budget(overrides, CIFAR, 7, quantity=quantity, target=2_500_000, by=by, tolerance=0.3)  # type: ignore[arg-type]
    measures = measure(built(matched, overrides), CIFAR)
    assert matched.match.cost == (measures.parameters if quantity == "parameters" else measures.macs)
    assert matched.by == by


def test_depths() -> None:
    matched = match_budget(["model=plain20"], CIFAR, 10, quantity="parameters", target="plain56", by="depth")
    assert matched.overrides == ("model.network.depth=56",)
    assert matched.match.residual == 0
    assert "residual 0, within" in matched.sentence()
    stack = match_budget(["model=conv5x5"], CIFAR, 10, quantity="parameters", target=130_000, by="depth")
    # 51,392 for each further layer of 32 channels in the three stages: 78,250 with one, 155,242 with two.
    assert stack.overrides == ("model.network.convs_per_stage=2",)
    assert stack.match.cost == 155_242
    assert not stack.within
    assert stack.sentence().endswith(
        "residual +25,242 (+19.42 %), outside the tolerance of 2 %: the nearest depth is this far off"
    )


def test_plain_resnets_whose_parameters_fall_with_depth() -> None:
    arm = ["model=resnet18", "model.network.residual=false"]
    fifty = measure(architecture([*arm, "model.network.depth=50"]).build(10, 3), CIFAR).parameters
    thirty_four = measure(architecture([*arm, "model.network.depth=34"]).build(10, 3), CIFAR).parameters
    assert fifty < thirty_four
    matched = match_budget(arm, CIFAR, 10, quantity="parameters", target=fifty, by="depth")
    assert (matched.value, matched.match.residual) == (50, 0)


def test_targets() -> None:
    def value(target: int | str | list[str]) -> tuple[float, str | None]:
        matched = match_budget(["model=plain56"], CIFAR, 10, quantity="parameters", target=target)
        return matched.value, matched.target_title

    assert value(269_722) == (36 / 64, None)
    assert value("resnet20") == (36 / 64, "resnet20")
    other = ["model=resnet56", "model.network.depth=20", "optimizer.lr=0.1", "seed=3"]
    assert value(other) == (36 / 64, "resnet56 with depth=20")
    assert value("torchvision:squeezenet1_1")[1] == "torchvision:squeezenet1_1"


@pytest.mark.parametrize(("target", "limit"), [(1, "smaller"), (10**15, "larger")])
def test_a_target_out_of_reach(target: int, limit: str) -> None:
    matched = match_budget(["model=plain20"], CIFAR, 10, quantity="macs", target=target)
    assert not matched.within
    assert matched.sentence().endswith(f"outside the tolerance of 2 %: nothing {limit} is possible")


def test_an_argument_that_the_configuration_leaves_out_is_added() -> None:
    arm = ["model=plain20", "~model.network.width_multiplier"]
    matched = match_budget(arm, CIFAR, 10, quantity="macs", target="plain56")
    assert matched.overrides == (f"+model.network.width_multiplier={matched.value}",)
    assert measure(built(matched, arm), CIFAR).macs == matched.match.cost


class Silent(nn.Module):
    """Takes a multiplier and does not say how wide it is."""

    def __init__(self, *, num_classes: int, in_channels: int, width_multiplier: float = 1.0, **_: object) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, num_classes * round(width_multiplier))


@pytest.mark.parametrize(
    ("arm", "options", "message"),
    [
        (["model=torchvision:vgg16"], {}, "model=torchvision:vgg16: match.by=width varies networks of conf/model"),
        (["model=plan56"], {}, "model=plan56: no such option; did you mean 'plain56'"),
        (["model=plain56"], {"by": "size"}, "match.by=size: allowed: depth, width"),
        (["model=plain56"], {"by": "dept"}, "match.by=dept: did you mean 'depth'"),
        (["model=plain56"], {"quantity": "mac"}, "match.mac: did you mean 'match.macs'"),
        (["model=plain56"], {"tolerance": 1.0}, "match.tolerance=1.0: must be from 0 to below 1"),
        (["model=plain56"], {"tolerance": -0.1}, "match.tolerance=-0.1: must be"),
        (["model=plain56"], {"target": 0}, "match.macs=0: must be at least 1"),
        (["model=plain56"], {"target": "resnett20"}, "match.macs=resnett20: no such network; did you mean 'resnet20'"),
        (["model=plain56"], {"target": ["model=resnet22"]}, "model=resnet22: no such option"),
        (["model=plain56"], {"target": "vgg11"}, "match.macs=vgg11: .* at least 32x32"),
        (["model=plain56"], {"target": ["model=vgg11"]}, "model=vgg11: .* at least 32x32"),
        (["model=vgg11"], {}, "model=vgg11: .* at least 32x32"),
        (["model=googlenet"], {"by": "depth"}, r"model=googlenet \(GoogLeNet\) lists no depths .* allowed: width"),
        (["model=plain56", "model.network._target_=torch.nn.Identity"], {}, r"\(Identity\) takes no width_multiplier"),
        (["model=plain56", "model.network._target_=silent.Silent"], {}, r"\(Silent\) does not say how wide it is"),
        (["model=plain56", "model.network.width_multiplier=0.5"], {}, "match.by=width decides it; leave it out"),
        (["model=resnet20", "model.network.depth=56"], {"by": "depth"}, "model.network.depth: match.by=depth decides"),
    ],
)
def test_a_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch, arm: list[str], options: dict[str, object], message: str
) -> None:
    module = ModuleType("silent")
    module.Silent = Silent  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "silent", module)
    with pytest.raises(UserError, match=message) as caught:
        match_budget(arm, (3, 16, 16), 10, **{"quantity": "macs", "target": "resnet20", **options})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("quantity", ["parameters", "macs"])
def test_deep_and_shallow_stacks_meet_a_budget_by_layers_and_not_by_stages(
    quantity: Literal["parameters", "macs"],
) -> None:
    """Of 4, 12 and 20 layers, at what 8 layers cost: 12 channels more or less are too coarse a step."""
    target = ["model=filter_stack", "model.network.widths=[20,20]", "model.network.convs_per_stage=3"]

    def matched(convolutions: int, rounding: str) -> MatchedBudget:
        arm = [*target[:2], f"model.network.convs_per_stage={convolutions}", f"model.network.rounding={rounding}"]
        return match_budget(arm, CIFAR, 10, quantity=quantity, target=target)

    for convolutions in (1, 5, 9):
        found = matched(convolutions, "layer")
        assert found.within
        assert found.match.evaluations < 20
        network = found.architecture.build(10, 3)
        measures = measure(network, CIFAR)
        assert measures.depth == 2 + 2 * convolutions
        assert found.match.cost == getattr(measures, quantity)
    assert not matched(9, "stage").within


@pytest.mark.parametrize(
    "changes",
    [
        *([f"model.network.branches=[{branch}]"] for branch in ("1x1", "3x3", "5x5", "pool")),
        ["model.network.reductions=false"],
        ["model.network.reductions=false", "model.network.branches=[5x5]"],
        ["model.network.reductions=false", "model.network.pool_projection=false"],
    ],
)
def test_modules_of_other_branches_meet_the_macs_of_the_whole_module(changes: list[str]) -> None:
    arm = ["model=inception_small", "model.network.rounding=layer", *changes]
    matched = match_budget(arm, CIFAR, 10, quantity="macs", target="inception_small")
    assert matched.within
    assert measure(built(matched, arm), CIFAR).macs == matched.match.cost
