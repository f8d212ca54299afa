"""What is said of a network without training it, in sentences and in numbers."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from experiments.measures import table
from experiments.measures.effective import EffectiveField, effective_field
from experiments.measures.gradient_flow import GradientFlowRecord, initial_gradient_flow
from experiments.measures.latency import Latency, time_forward
from experiments.measures.network import NetworkMeasures
from experiments.measures.outputs import tensors_of
from experiments.measures.parameters import Parameters
from experiments.measures.reach import Status
from experiments.runs.architectures import Architecture

SEED = 0  # of the weights, where numbers are needed
# What a group of processes may take, where a container sets it: versions 2 and 1 of Linux's control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Description:
    """What is known of a network at one input size.

    Attributes:
        title: the network and what was changed of it.
        measures: what can be known without numbers.
        latency: of a forward pass, if it was asked for.
        effective: the effective receptive field at initialisation, if it was asked for.
        gradients: the gradient flow at initialisation, if it was asked for.
        remarks: sentences on how the network was chosen and what was assumed.
    """

    title: str
    measures: NetworkMeasures
    latency: Latency | None = None
    effective: EffectiveField | None = None
    gradients: GradientFlowRecord | None = None
    remarks: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What stands below the table of the layers."""
        lines = table.totals(self.measures, self.title)
        if self.latency is not None:
            lines.append(table.latency_line(self.latency))
        if self.effective is not None:
            lines.append(table.effective_line(self.effective))
        if self.gradients is not None:
            lines.append(table.gradients_line(self.gradients))
        return [*lines, *self.remarks]

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON takes them."""
        content = self.measures.as_dict()
        if self.latency is not None:
            content["latency"] = asdict(self.latency)
        if self.effective is not None:
            content["effective"] = {"seed": SEED, **self.effective.totals()}
        if self.gradients is not None:
            content["gradient_flow"] = {"seed": SEED, **self.gradients.as_dict()}
        return content


@dataclass(frozen=True)
class ParametersAlone:
    """What is known of a network that does not run without numbers.

    Attributes:
        title: the network and what was changed of it.
        parameters: how many it has.
        reason: where and by what it needs numbers.
        remarks: as of a `Description`.
    """

    title: str
    parameters: Parameters
    reason: str
    remarks: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What is said of it."""
        first = f"{self.title}: {table.parameters_of(self.parameters)}"
        return [first, f"status unsupported: {self.reason}", *self.remarks]

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON takes them, by the names of `NetworkMeasures`."""
        return {
            "parameters": self.parameters.total,
            "trainable_parameters": self.parameters.trainable,
            "weight_bytes": self.parameters.size,
            "field": {"status": Status.UNSUPPORTED.value, "reason": self.reason},
        }


def timed(
    described: Architecture, shape: tuple[int, int, int], num_classes: int, *, seconds: float, batch: int, device: str
) -> Latency:
    """Time forward passes of a network with fresh weights over `batch` images `(C, H, W)` on `device`."""
    network = described.initialised(num_classes, shape[0], SEED).to(device)
    return time_forward(network, shape, batch=batch, seconds=seconds)


def check_memory(measures: NetworkMeasures, key: str, images: int) -> None:
    """Refuse gradients of more images at once than this machine's memory holds, before anything is computed.

    Raises:
        ValueError: what the network keeps for its backward pass, and its weights, are more than that.
    """
    if measures.saved_bytes is None:
        return
    needed = measures.weight_bytes + images * measures.saved_bytes
    if needed > (there := memory_of_machine()):
        raise ValueError(
            f"{key}={images} takes about {table.memory(needed)} of memory, of which this machine has "
            f"{table.memory(there)}: take a smaller input{' or fewer images' if images > 1 else ''}"
        )


def memory_of_machine() -> int:
    """Return the bytes of memory that this process may take."""
    limits = [Path(file).read_text(encoding="ascii").strip() for file in _LIMITS if Path(file).is_file()]
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(int(limit) for limit in limits if limit.isdecimal())])


def seen_at_initialisation(
    described: Architecture, shape: tuple[int, int, int], num_classes: int, images: int
) -> EffectiveField:
    """Measure the effective receptive field of a network with fresh weights, over `images` of noise `(C, H, W)`.

    Raises:
        ValueError: as `effective_field`.
    """
    return effective_field(described.initialised(num_classes, shape[0], SEED), _noise(images, shape))


def gradients_at_initialisation(
    described: Architecture, shape: tuple[int, int, int], num_classes: int, images: int
) -> GradientFlowRecord:
    """Measure the gradient norms of a network with fresh weights, over one batch of noise `(C, H, W)`.

    The loss is the cross-entropy of the output, of several the first, against classes drawn at random: per image, or
    per position of a map of classes.

    Raises:
        ValueError: as `initial_gradient_flow`, or an output that is none of `num_classes` classes.
    """

    def loss(output: object) -> Tensor:
        scores = next(iter(tensors_of(output)), torch.empty(0))
        if scores.ndim < 2 or scores.shape[1] != num_classes:  # noqa: PLR2004 - (N, classes, …)
            raise ValueError(f"puts out {tuple(scores.shape)}, no scores of {num_classes} classes")
        labels = torch.randint(num_classes, (len(scores), *scores.shape[2:]), generator=_generator())
        return functional.cross_entropy(scores, labels)

    network = described.initialised(num_classes, shape[0], SEED)
    return initial_gradient_flow(network, _noise(images, shape), loss, seed=SEED)


def _noise(images: int, shape: tuple[int, int, int]) -> Tensor:
    return torch.randn(images, *shape, generator=_generator())


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)
