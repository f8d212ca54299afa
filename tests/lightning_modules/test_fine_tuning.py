"""Freezing and the trunk's learning rate, of any network."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from lightning_modules import schedules
from lightning_modules.classification import ClassificationModule
from lightning_modules.fine_tuning import FineTuning, check_rates, head_of, rates

SCHEDULES = [schedules.constant, partial(schedules.cosine, warmup=0.3), schedules.step]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


def module(optimizer: Any = SGD, **fine_tuning: Any) -> ClassificationModule:  # noqa: ANN401 - arguments
    made = partial(optimizer, lr=0.1, weight_decay=0.1)
    return ClassificationModule(network(), num_classes=2, optimizer=made, fine_tuning=FineTuning(**fine_tuning))


def step(of: ClassificationModule, optimizer: Optimizer) -> None:
    generator = torch.Generator().manual_seed(1)
    images, labels = torch.randn(8, 3, 6, 6, generator=generator), torch.arange(8) % 2
    optimizer.zero_grad()
    F.cross_entropy(of.network(images), labels).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def test_the_head_is_the_last_layer() -> None:
    assert head_of(network()) == {"5.weight", "5.bias"}


@pytest.mark.parametrize("optimizer", [SGD, AdamW])
def test_frozen_parameters_get_no_gradient_no_decay_and_no_state(optimizer: type[Optimizer]) -> None:
    frozen = frozenset({"0.weight", "0.bias"})
    of = module(optimizer, frozen=frozen)
    before = {name: value.clone() for name, value in of.network.state_dict().items()}
    made = of.make_optimizer()
    for _ in range(3):
        step(of, made)
    held = {id(parameter) for group in made.param_groups for parameter in group["params"]}
    for name, parameter in of.network.named_parameters():
        assert (name in frozen) == torch.equal(parameter, before[name]), name
        assert (name in frozen) == (parameter.grad is None)
        assert (name in frozen) == (id(parameter) not in held)
    assert set(map(id, made.state)) <= held


@pytest.mark.parametrize("optimizer", [SGD, AdamW])
def test_the_trunk_moves_by_its_factor(optimizer: type[Optimizer]) -> None:
    moved = []
    for factor in (1.0, 0.25):
        of = module(optimizer, trunk_lr_factor=factor)
        before = {name: value.clone() for name, value in of.network.named_parameters()}
        step(of, of.make_optimizer())
        moved.append({name: value.detach() - before[name] for name, value in of.network.named_parameters()})
    alike, slower = moved
    for name, value in alike.items():
        expected = value if name in head_of(network()) else 0.25 * value
        torch.testing.assert_close(slower[name], expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_keep_the_ratio(schedule: Callable[..., LRScheduler]) -> None:
    of = module(trunk_lr_factor=0.2)
    made = of.make_optimizer()
    assert rates(made) == pytest.approx({"lr/head": 0.1, "lr/trunk": 0.02})
    check_rates(made, schedule(made, total_steps=10), 0.2, steps=10)


def test_a_schedule_with_rates_of_its_own_is_refused() -> None:
    made = module(trunk_lr_factor=0.2).make_optimizer()
    with pytest.raises(ValueError, match=r"trunk_lr_factor=0.2: OneCycleLR sets rates of its own"):
        check_rates(made, OneCycleLR(made, max_lr=0.1, total_steps=10), 0.2, steps=10)


def test_without_a_factor_there_is_one_group() -> None:
    made = module().make_optimizer()
    assert len(made.param_groups) == 1
    assert rates(made) == {}


@pytest.mark.parametrize("part", ["trunk", "head"])
def test_a_factor_between_a_part_that_learns_and_one_that_does_not_is_refused(part: str) -> None:
    head = head_of(network())
    frozen = head if part == "head" else frozenset(network().state_dict()) - head
    with pytest.raises(ValueError, match=f"trunk_lr_factor=0.5: the {part} is frozen"):
        module(frozen=frozen, trunk_lr_factor=0.5).make_optimizer()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frozen": frozenset({"9.weight"})}, "no tensor '9.weight'"),
        ({"frozen": frozenset(network().state_dict())}, "leaves nothing to be trained"),
        ({"batch_norm": "learn"}, "frozen_batch_norm=learn: must be one of fixed, adapt"),
        ({"trunk_lr_factor": 0.0}, "trunk_lr_factor=0.0: must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module(**wrong)


def test_only_batch_norm_that_is_frozen_whole_is_fixed() -> None:
    norm = frozenset(f"1.{name}" for name in nn.BatchNorm2d(4).state_dict())
    assert FineTuning(frozen=norm).fixed_norms(network()) != []
    assert FineTuning(frozen=norm - {"1.bias"}).fixed_norms(network()) == []
    assert FineTuning(frozen=norm, batch_norm="adapt").fixed_norms(network()) == []
