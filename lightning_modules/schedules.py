"""Learning-rate schedules as factors of the base rate, stepped after every optimizer step."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def _check_warmup(warmup: float) -> None:
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup={warmup}: must be a fraction of the training, at least 0 and below 1")


def _ramp(step: int, total_steps: int, warmup: float) -> float:
    """Linear rise over the first `warmup` share of the steps; 1 afterwards (Goyal et al. 2017, section 2.2)."""
    rising = warmup * total_steps
    return min(1.0, (step + 1) / rising) if rising >= 1 else 1.0


def constant(optimizer: Optimizer, *, total_steps: int, warmup: float = 0.0) -> LambdaLR:
    """Keep the base rate, after a linear warm-up over the first `warmup` share of the steps.

    Raises:
        ValueError: `warmup` is not in [0, 1).
    """
    _check_warmup(warmup)
    return LambdaLR(optimizer, lambda step: _ramp(step, total_steps, warmup))


def cosine(optimizer: Optimizer, *, total_steps: int, warmup: float = 0.0) -> LambdaLR:
    """Fall along half a cosine to zero (Loshchilov & Hutter 2017, section 3, without restarts), after a warm-up.

    Raises:
        ValueError: `warmup` is not in [0, 1).
    """
    _check_warmup(warmup)
    start = warmup * total_steps

    def factor(step: int) -> float:
        progress = max(0.0, step - start) / max(1.0, total_steps - start)
        return _ramp(step, total_steps, warmup) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))

    return LambdaLR(optimizer, factor)


def step(
    optimizer: Optimizer,
    *,
    total_steps: int,
    warmup: float = 0.0,
    milestones: Sequence[float] = (0.5, 0.75),
    gamma: float = 0.1,
) -> LambdaLR:
    """Multiply the rate by `gamma` at each milestone, a fraction of the training (He et al. 2016, section 4.2).

    Raises:
        ValueError: `warmup` is not in [0, 1), a milestone is not strictly between 0 and 1, the milestones do not rise,
            or `gamma` is not positive.
    """
    _check_warmup(warmup)
    if not 0 < gamma < math.inf:
        raise ValueError(f"gamma={gamma}: must be a factor above 0")
    if not all(0 < milestone < 1 for milestone in milestones):
        raise ValueError(f"milestones={list(milestones)}: each must be a fraction of the training, between 0 and 1")

    if any(later <= earlier for earlier, later in pairwise(milestones)):
        raise ValueError(f"milestones={list(milestones)}: must rise, each one later than the one before")

    def factor(step: int) -> float:
        passed = sum(step >= milestone * total_steps for milestone in milestones)
        return _ramp(step, total_steps, warmup) * float(gamma**passed)

    return LambdaLR(optimizer, factor)
