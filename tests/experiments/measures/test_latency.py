"""Measured time and memory: what is stated beside the numbers, and the memory that can be worked out by hand."""

import pytest
import torch
from torch import Tensor, nn

from experiments.measures.latency import time_forward

FLOAT = 4  # bytes


def test_time_is_stated_with_device_threads_type_and_spread() -> None:
    latency = time_forward(nn.Conv2d(3, 8, 3, padding=1), (3, 16, 12), batch=2, seconds=0.05)
    assert latency.input_shape == (2, 3, 16, 12)
    assert latency.device
    assert latency.threads == torch.get_num_threads()
    assert latency.dtype == "float32"
    assert 0 < latency.quartiles[0] <= latency.median <= latency.quartiles[1]
    assert latency.passes >= 1


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
    with pytest.raises(ValueError, match="meta device"):
        time_forward(nn.Conv2d(3, 4, 3, device="meta"), (3, 8, 8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_named_and_its_memory_counted() -> None:
    latency = time_forward(nn.Conv2d(3, 64, 3, padding=1).cuda(), (3, 64, 64), batch=8, seconds=0.1)
    assert latency.device == torch.cuda.get_device_name()
    assert latency.peak_bytes >= FLOAT * 8 * 64 * 64 * 64
