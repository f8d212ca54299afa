"""What one forward pass takes on this machine: seconds and peak memory, measured, not derived."""

import gc
import platform
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from experiments.measures.weightless import mode_set

CPUINFO = Path("/proc/cpuinfo")
# Of fewer passes the quartiles are not told from the fastest and the slowest one.
FEWEST = 5


@dataclass(frozen=True)
class Latency:
    """Time and memory of forward passes in evaluation mode, without gradients.

    Attributes:
        input_shape: `(N, C, H, W)` of the batch.
        device: what it ran on, by the name of its maker.
        threads: that torch may use on the CPU.
        dtype: of the weights and the images.
        median: seconds of a pass.
        quartiles: seconds that a quarter and three quarters of the passes took at most; None where fewer than five
            were timed.
        passes: how many were timed one by one, after a warm-up.
        peak_bytes: memory of the largest set of tensors alive at once, the network and the images aside; on a GPU
            with the workspace of its kernels, on a CPU without.
    """

    input_shape: tuple[int, int, int, int]
    device: str
    threads: int
    dtype: str
    median: float
    quartiles: tuple[float, float] | None
    passes: int
    peak_bytes: int


def time_forward(
    network: nn.Module, input_shape: tuple[int, int, int], *, batch: int = 1, seconds: float = 2.0, fewest: int = 1
) -> Latency:
    """Time forward passes of `network` over `batch` images `(C, H, W)` of random numbers, where its weights are.

    Each pass is timed by itself, until the device has ended it. The network and the random state are left as they are.

    Args:
        network: with weights, on any device but meta.
        input_shape: `(C, H, W)` of an image, in pixels.
        batch: images a pass, N.
        seconds: for how long to repeat.
        fewest: passes that are timed at least, whatever they take; `FEWEST` have quartiles.

    Raises:
        ValueError: `batch` or `fewest` below 1, or weights without numbers.
    """
    if batch < 1:
        raise ValueError(f"batch={batch}: must be at least 1")
    if fewest < 1:
        raise ValueError(f"fewest={fewest}: must be at least 1")
    weight = next((item for item in network.parameters() if item.is_floating_point()), torch.empty(0))
    if weight.is_meta:
        raise ValueError("a network without numbers (on the meta device) cannot be timed")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, *input_shape, generator=generator).to(weight.device, weight.dtype)
    with mode_set(network, training=False), torch.random.fork_rng(devices=[]), torch.no_grad():
        network(images)  # memory is reserved and kernels are chosen in the first pass
        peak = _peak_bytes(network, images)
        _wait_for(images.device)
        times = _timed_passes(network, images, seconds, fewest)
    first, median, third = (float(value) for value in np.quantile(times, (0.25, 0.5, 0.75)))
    return Latency(
        input_shape=(batch, *input_shape),
        device=_device_name(weight.device),
        threads=torch.get_num_threads(),
        dtype=str(weight.dtype).removeprefix("torch."),
        median=median,
        quartiles=(first, third) if len(times) >= FEWEST else None,
        passes=len(times),
        peak_bytes=peak,
    )


def _timed_passes(network: nn.Module, images: Tensor, seconds: float, fewest: int) -> list[float]:
    """Return what each of as many passes took as fill `seconds`, and `fewest`; memory is not tidied up meanwhile."""
    collecting = gc.isenabled()
    gc.disable()
    times: list[float] = []
    try:
        while len(times) < fewest or sum(times) < seconds:
            began = perf_counter()
            network(images)
            _wait_for(images.device)
            times.append(perf_counter() - began)
    finally:
        if collecting:
            gc.enable()
    return times


def _wait_for(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the memory of the tensors that operators make, until nobody holds it any more."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._now = 0
        self._known = weakref.WeakSet([images.untyped_storage()])

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        """Run one operator and note the memory that is new."""
        given = {tensor.untyped_storage()._cdata for tensor in args if isinstance(tensor, Tensor)}  # noqa: SLF001
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage in self._known or storage._cdata in given:  # noqa: SLF001
                continue
            self._known.add(storage)
            self._now += storage.nbytes()
            weakref.finalize(storage, self._release, storage.nbytes())
        self.peak = max(self.peak, self._now)
        return out

    def _release(self, size: int) -> None:
        self._now -= size


def _peak_bytes(network: nn.Module, images: Tensor) -> int:
    if images.device.type == "cuda":
        _wait_for(images.device)
        torch.cuda.reset_peak_memory_stats(images.device)
        before = torch.cuda.memory_allocated(images.device)
        network(images)
        return int(torch.cuda.max_memory_allocated(images.device)) - int(before)
    live = _LiveTensors(images)
    with live:
        network(images)
    return live.peak


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
