"""What is said of a network without training it, in sentences and in numbers."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.measures import table
from experiments.measures.effective import EffectiveField, effective_field
from experiments.measures.latency import Latency, time_forward
from experiments.measures.network import NetworkMeasures
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
        remarks: sentences on how the network was chosen and what was assumed.
    """

    title: str
    measures: NetworkMeasures
    latency: Latency | None = None
    effective: EffectiveField | None = None
    remarks: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What stands below the table of the layers."""
        lines = table.totals(self.measures, self.title)
        if self.latency is not None:
            lines.append(table.latency_line(self.latency))
        if self.effective is not None:
            lines.append(table.effective_line(self.effective))
        return [*lines, *self.remarks]

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON takes them."""
        content = self.measures.as_dict()
        if self.latency is not None:
            content["latency"] = asdict(self.latency)
        if self.effective is not None:
            content["effective"] = {"seed": SEED, **self.effective.totals()}
        return content


def timed(
    described: Architecture, shape: tuple[int, int, int], num_classes: int, *, seconds: float, batch: int, device: str
) -> Latency:
    """Time forward passes of a network with fresh weights over `batch` images `(C, H, W)` on `device`."""
    network = described.initialised(num_classes, shape[0], SEED).to(device)
    return time_forward(network, shape, batch=batch, seconds=seconds)


def check_memory(measures: NetworkMeasures, images: int) -> None:
    """Refuse gradients of more images at once than this machine's memory holds, before anything is computed.

    Raises:
        ValueError: what the network keeps for its backward pass, and its weights, are more than that.
    """
    if measures.saved_bytes is None:
        return
    needed = measures.weight_bytes + images * measures.saved_bytes
    if needed > (there := memory_of_machine()):
        raise ValueError(
            f"effective={images} takes about {table.memory(needed)} of memory, of which this machine has "
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
    noise = torch.randn(images, *shape, generator=torch.Generator().manual_seed(SEED))
    return effective_field(described.initialised(num_classes, shape[0], SEED), noise)
