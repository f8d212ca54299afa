"""Learning-rate schedules as factors of the base rate."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightning_modules import schedules


def rates(schedule: Callable[[Optimizer], LambdaLR], steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedule(optimizer)
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used


def test_constant_keeps_the_rate() -> None:
    assert rates(lambda optimizer: schedules.constant(optimizer, total_steps=4), 4) == [2.0] * 4


def test_warmup_rises_linearly() -> None:
    used = rates(lambda optimizer: schedules.constant(optimizer, total_steps=8, warmup=0.5), 8)
    assert used == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0])


def test_cosine_falls_along_half_a_cosine() -> None:
    used = rates(lambda optimizer: schedules.cosine(optimizer, total_steps=10), 10)
    assert used == pytest.approx([1 + math.cos(math.pi * step / 10) for step in range(10)])


def test_step_falls_at_each_milestone() -> None:
    used = rates(lambda optimizer: schedules.step(optimizer, total_steps=8, milestones=[0.5, 0.75], gamma=0.1), 8)
    assert used == pytest.approx([2.0] * 4 + [0.2] * 2 + [0.02] * 2)


@pytest.mark.parametrize("warmup", [-0.1, 1.0])
def test_a_warmup_beyond_the_training_is_refused(warmup: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match=f"warmup={warmup}"):
        schedules.cosine(optimizer, total_steps=10, warmup=warmup)


def test_a_milestone_beyond_the_training_is_refused() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match="milestones="):
        schedules.step(optimizer, total_steps=10, milestones=[30.0])


@pytest.mark.parametrize("gamma", [-1.0, 0.0, math.inf, math.nan])
def test_a_factor_that_is_not_positive_is_refused(gamma: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(ValueError, match=f"gamma={gamma}"):
        schedules.step(optimizer, total_steps=10, gamma=gamma)
