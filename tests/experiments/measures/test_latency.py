"""Measured time and memory: what is stated beside the numbers, and the memory that can be worked out by hand."""

import gc
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from experiments.measures import latency as measured
from experiments.measures.latency import Latency, time_forward
from experiments.measures.table import latency_line

FLOAT = 4  # bytes


def test_time_is_stated_with_device_threads_type_and_spread() -> None:
    latency = time_forward(nn.Conv2d(3, 8, 3, padding=1), (3, 16, 12), batch=2, seconds=0.05)
    assert latency.input_shape == (2, 3, 16, 12)
    assert latency.device
    assert latency.threads == torch.get_num_threads()
    assert latency.dtype == "float32"
    assert latency.median > 0


def test_passes_are_timed_one_by_one_for_as_long_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return x

    def clock(durations: list[float]) -> Iterator[float]:
        now = 0.0
        for duration in durations:
            yield now
            now += duration
            yield now

    def timed(durations: list[float], seconds: float, fewest: int = 1) -> Latency:
        nonlocal calls
        readings = clock(durations)
        monkeypatch.setattr(measured, "perf_counter", lambda: next(readings))
        calls = 0
        latency = time_forward(Counting(), (3, 4, 4), seconds=seconds, fewest=fewest)
        # One to warm up and one to weigh the tensors.
        assert calls == latency.passes + 2
        return latency

    durations = [9.0, 1.0, 2.0, 100.0, 3.0, 1.0, 4.0]
    latency = timed(durations, 110)
    assert (latency.passes, latency.median, latency.quartiles) == (4, 5.5, None)
    latency = timed(durations, 113)
    assert (latency.passes, latency.median, latency.quartiles) == (5, 3.0, (2.0, 9.0))
    assert timed(durations, 0.5).passes == 1
    latency = timed(durations, 0.5, fewest=5)
    assert (latency.passes, latency.quartiles) == (5, (2.0, 9.0))
    assert timed(durations, 113, fewest=2).passes == 5
    assert gc.isenabled()


def test_the_sentence_states_the_median_the_quartiles_and_of_what() -> None:
    latency = Latency((2, 3, 32, 32), "Some CPU", 4, "float32", 0.005, (0.004, 0.0075), 90, 3 << 20)
    assert latency_line(latency) == (
        "forward pass of 2x3x32x32 on Some CPU, 4 threads, float32: median 5 ms of 90 passes "
        "(quartiles 4 and 7.5 ms), at most 3 MiB of tensors at once"
    )
    slow = Latency((2, 3, 32, 32), "Some CPU", 1, "float32", 5.0, None, 1, 3 << 20)
    assert latency_line(slow) == (
        "forward pass of 2x3x32x32 on Some CPU, 1 thread, float32: median 5,000 ms of 1 pass "
        "(too few for quartiles), at most 3 MiB of tensors at once"
    )


class Skip(nn.Module):
    """The block's input waits until the sum, and lives beside two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4, H, W) → (N, 4, H, W)."""
        total: Tensor = self.other(self.one(x)) + x
        return total


def test_peak_memory_counts_what_lives_at_once() -> None:
    stem, last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 8)
    a_map = FLOAT * 2 * 4 * 16 * 16
    chain = nn.Sequential(stem, nn.ReLU(), nn.ReLU(), nn.Flatten())
    assert time_forward(chain, (3, 16, 16), batch=2, seconds=0.01).peak_bytes == 2 * a_map
    in_place = nn.Sequential(stem, nn.ReLU(inplace=True), last)
    assert time_forward(in_place, (3, 16, 16), batch=2, seconds=0.01).peak_bytes == a_map + FLOAT * 2 * 9 * 9
    # The stem's map, the second convolution's, and their sum; the first convolution's is gone by then.
    assert time_forward(nn.Sequential(stem, Skip()), (3, 16, 16), batch=2, seconds=0.01).peak_bytes == 3 * a_map


def test_the_network_and_the_random_state_are_left_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    time_forward(network, (3, 8, 8), seconds=0.01)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_what_cannot_be_timed_is_said() -> None:
    with pytest.raises(ValueError, match="batch=0: must be at least 1"):
        time_forward(nn.Conv2d(3, 4, 3), (3, 8, 8), batch=0)
    with pytest.raises(ValueError, match="fewest=0: must be at least 1"):
        time_forward(nn.Conv2d(3, 4, 3), (3, 8, 8), fewest=0)
    with pytest.raises(ValueError, match="meta device"):
        time_forward(nn.Conv2d(3, 4, 3, device="meta"), (3, 8, 8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_named_and_its_memory_counted() -> None:
    latency = time_forward(nn.Conv2d(3, 64, 3, padding=1).cuda(), (3, 64, 64), batch=8, seconds=0.1)
    assert latency.device == torch.cuda.get_device_name()
    assert latency.peak_bytes >= FLOAT * 8 * 64 * 64 * 64
