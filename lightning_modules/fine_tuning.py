"""Which tensors of a network learn, and how fast: freezing, and discriminative learning rates."""

import math
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

TRUNK, HEAD = "trunk", "head"
# What a frozen batch norm may do: normalise by the statistics that it came with, or by each batch, and go on to
# collect them.
BATCH_NORM = ("fixed", "adapt")


@dataclass(frozen=True)
class FineTuning:
    """How a network that has learnt before is trained on.

    Attributes:
        frozen: names of the network's tensors that stay as they are, as in its state dict.
        batch_norm: what batch norm does whose weights are all frozen. "fixed" is evaluation mode: it computes what it
            computed before, to the bit. "adapt" is training mode: only its scale and shift stay, the layers behind it
            see other numbers than before (Li et al. 2017, Revisiting Batch Normalization, section 3).
        trunk_lr_factor: the learning rate of all but the last layer, as a factor of the last layer's (Howard & Ruder
            2018, section 3.2, with two groups).

    Raises:
        ValueError: a value out of its range.
    """

    frozen: frozenset[str] = frozenset()
    batch_norm: str = "fixed"
    trunk_lr_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.batch_norm not in BATCH_NORM:
            raise ValueError(f"frozen_batch_norm={self.batch_norm}: must be one of {', '.join(BATCH_NORM)}")
        if not 0 < self.trunk_lr_factor < math.inf:
            raise ValueError(f"trunk_lr_factor={self.trunk_lr_factor}: must be above 0; freeze=trunk keeps the trunk")

    def freeze(self, network: nn.Module) -> None:
        """Let the frozen parameters of `network` take no gradients.

        Raises:
            ValueError: a name that the network has not, or nothing is left to be trained.
        """
        for name in sorted(self.frozen - network.state_dict().keys()):
            raise ValueError(f"freeze: the network has no tensor '{name}'")
        for name, parameter in network.named_parameters():
            if name in self.frozen:
                parameter.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ValueError("freeze: leaves nothing to be trained")

    def fixed_norms(self, network: nn.Module) -> list[nn.Module]:
        """Return the normalising layers of `network` that are to stay in evaluation mode in training."""
        if self.batch_norm != "fixed":
            return []
        return [
            module
            for name, module in network.named_modules()
            if isinstance(module, _NormBase)
            and (own := {f"{name}.{tensor}" for tensor in module.state_dict()})
            and own <= self.frozen
        ]

    def groups(self, module: nn.Module, network: nn.Module) -> list[dict[str, Any]]:
        """Return the trainable parameters of `module` in two groups for an optimizer: the head's, then the others.

        Args:
            module: holds `network`, and maybe more.
            network: whose last layer is the head.

        Raises:
            ValueError: one of the two has no trainable parameters.
        """
        last = head_of(network)
        head = {id(parameter) for name, parameter in network.named_parameters() if name in last}
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        groups = [
            {"params": [parameter for parameter in trained if id(parameter) in head], "name": HEAD},
            {"params": [parameter for parameter in trained if id(parameter) not in head], "name": TRUNK},
        ]
        for group in groups:
            if not group["params"]:
                raise ValueError(f"trunk_lr_factor={self.trunk_lr_factor}: the {group['name']} is frozen")
        return groups


def head_of(network: nn.Module) -> frozenset[str]:
    """Return the names of the tensors of the last layer, which is new for another number of classes."""
    names = list(network.state_dict())
    last = names[-1].rpartition(".")[0]
    return frozenset(name for name in names if name.rpartition(".")[0] == last)


def rates(optimizer: Optimizer) -> dict[str, float]:
    """Return the learning rates of two groups, as `lr/trunk` and `lr/head`; nothing where there is one group."""
    return {f"lr/{group['name']}": float(group["lr"]) for group in optimizer.param_groups if "name" in group}


def check_rates(optimizer: Optimizer, schedule: LRScheduler | None, factor: float, *, steps: int) -> None:
    """See that a schedule keeps the ratio of the two rates, by going through it; `optimizer` is used up.

    Raises:
        ValueError: it does not, as one that sets rates of its own.
    """
    if schedule is None:
        return
    for _ in range(steps):
        now = rates(optimizer)
        if not math.isclose(now[f"lr/{TRUNK}"], factor * now[f"lr/{HEAD}"], rel_tol=1e-6, abs_tol=1e-12):
            raise ValueError(
                f"trunk_lr_factor={factor}: {type(schedule).__name__} sets rates of its own and does not keep the "
                "ratio; constant, cosine and step do"
            )
        optimizer.step()
        schedule.step()
