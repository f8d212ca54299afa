"""Receptive fields of random networks against what the gradient of single units touches."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from torch import nn

from experiments.benchmarks import receptive_field
from experiments.benchmarks.comparison import compare_seen, compare_windows, output_of
from experiments.benchmarks.oracle import extents, positive_twin
from experiments.benchmarks.random_networks import CHANNELS, drawn, routes
from experiments.errors import UserError
from experiments.measures.layers import field_of
from experiments.measures.reach import Status
from experiments.measures.sampling import IntArray, Resampled, Strided, Transposed

NETWORKS = 50
WIDER = 40
UNITS_COMPARED = 24
# More ways through a network than this are not worth their time.
MOST_ROUTES = 64


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_units_see_what_their_gradient_touches(seed: int) -> None:
    network, shape = drawn(seed)
    seen, windows = compare_seen(network, shape, UNITS_COMPARED), compare_windows(network, shape)
    assert (*seen.mismatches, *windows.mismatches) == ()
    assert seen.units >= min(UNITS_COMPARED, 4)
    assert windows.units >= 2
    assert seen.status in (Status.EXACT, Status.BOUND)


def test_units_see_what_their_gradient_touches_also_where_the_size_of_the_input_decides() -> None:
    seen_as: Counter[Status] = Counter()
    for seed in range(WIDER):
        network, shape = drawn(seed, wider=True)
        seen = compare_seen(network, shape, UNITS_COMPARED)
        assert seen.mismatches == (), seed
        seen_as[seen.status] += 1
    assert min(seen_as[status] for status in (Status.EXACT, Status.WHOLE_IMAGE)) >= WIDER // 5
    assert seen_as[Status.UNSUPPORTED] == 0


def test_few_random_networks_are_only_bounded() -> None:
    statuses = [field_of(output_of(*drawn(seed))).status for seed in range(0, NETWORKS, 2)]
    assert statuses.count(Status.EXACT) > 0.8 * len(statuses)


# In network 394 it depends on the unit which branch is the shortest, and on the next layers, which way is.
@pytest.mark.parametrize("seed", [*range(0, NETWORKS, 4), 394])
def test_the_shortest_path_is_the_smallest_field_of_all_ways_through(seed: int) -> None:
    network, shape = drawn(seed)
    ways = routes(network)
    if len(ways) > MOST_ROUTES:
        pytest.skip(f"{len(ways)} ways through the network")
    sizes = [field_of(output_of(way, shape)).shortest_path for way in ways]
    found = field_of(output_of(network, shape)).shortest_path
    assert found == (min(y for y, _ in sizes if y is not None), min(x for _, x in sizes if x is not None))


def _off_by_one(self: Strided, units: IntArray) -> IntArray:
    return self.start + 1 + units[:, None] * self.stride + np.arange(self.taps) * self.step


def _without_dilation(self: Strided, units: IntArray) -> IntArray:
    return self.start + units[:, None] * self.stride + np.arange(self.taps)


def _without_padding(self: Transposed, units: IntArray) -> IntArray:
    positions: IntArray = units[:, None] - np.arange(self.kernel) * self.dilation
    return np.where(positions % self.stride == 0, positions // self.stride, np.iinfo(np.int64).min)


@pytest.mark.parametrize(
    ("sampling", "wrong"), [(Strided, _off_by_one), (Strided, _without_dilation), (Transposed, _without_padding)]
)
def test_a_wrong_rule_is_found(monkeypatch: pytest.MonkeyPatch, sampling: type, wrong: object) -> None:
    monkeypatch.setattr(sampling, "reads", wrong)
    comparisons = [compare_windows(*drawn(seed)) for seed in range(4)]
    assert any(comparison.mismatches for comparison in comparisons)


def test_a_wrong_border_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Resampled, "reads_inside", lambda self, units, size: np.clip(self.reads(units), 0, size - 2))
    network = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3), nn.Upsample(scale_factor=2, mode="bilinear"))
    assert compare_seen(network, (CHANNELS, 8, 8)).mismatches


def test_a_stride_is_what_neighbours_lie_apart() -> None:
    network = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 4, stride=4), nn.Upsample(scale_factor=(2, 0.5)))
    assert field_of(output_of(network, (CHANNELS, 32, 32))).stride == (Fraction(2), Fraction(8))
    assert compare_windows(network, (CHANNELS, 32, 32)).mismatches == ()


def test_the_oracle_of_one_convolution() -> None:
    found = extents(positive_twin(nn.Conv2d(1, 1, (3, 5), padding=(1, 0))), (1, 6, 8), [(0, 0), (3, 2), (5, 3)])
    assert found.tolist() == [[[0, 1], [0, 4]], [[2, 4], [2, 6]], [[4, 5], [3, 7]]]


def test_the_oracle_is_not_led_astray() -> None:
    # A residual branch that starts as nothing, weights that cancel, maxima, rectified negatives.
    conv, norm = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2)
    nn.init.zeros_(norm.weight)
    nn.init.constant_(conv.weight, -1.0)
    network = nn.Sequential(conv, norm, nn.ReLU(), nn.MaxPool2d(3, 1, 1))
    assert extents(positive_twin(network), (1, 9, 9), [(4, 4)]).tolist() == [[[2, 6], [2, 6]]]


def test_the_benchmark_counts_and_can_fail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert receptive_field.main(["networks=3", "units=9", "seed=4"]) == 0
    assert "3 networks, " in capsys.readouterr().out
    monkeypatch.setattr(Strided, "reads", _off_by_one)
    assert receptive_field.main(["networks=3", "units=9", "seed=4"]) == 1
    assert "after layer 1: unit (0, 0), y: said [" in capsys.readouterr().out


def test_every_second_network_of_the_benchmark_is_drawn_of_the_wider_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    wider_ones = []

    def noted(seed: int, *, wider: bool) -> tuple[nn.Module, tuple[int, int, int]]:
        wider_ones.append(wider)
        return drawn(seed, wider=wider)

    monkeypatch.setattr(receptive_field, "drawn", noted)
    assert receptive_field.main(["networks=3", "units=4"]) == 0
    assert wider_ones == [False, True, False]


@pytest.mark.parametrize("argument", ["nets=3", "networks=many"])
def test_the_benchmark_refuses_what_it_does_not_know(argument: str) -> None:
    with pytest.raises(UserError, match=argument):
        receptive_field.main([argument])
