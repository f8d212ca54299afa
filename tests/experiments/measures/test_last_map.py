"""Which map of units a network's own receptive field is that of, when maps are pooled in several places."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from experiments.measures.network import measure
from experiments.measures.reach import Status


class Pooling(nn.Module):
    """A network of one function, with two convolutions, which see 3 and 7 pixels, and a pooling of the whole map."""

    def __init__(self, function: Callable[[Tensor, "Pooling"], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.first = nn.Conv2d(2, 2, 3, padding=1)
        self.second = nn.Conv2d(2, 2, 5, padding=2)
        self.pool = nn.AvgPool2d(8)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2, 8, 8) → (N, classes)."""
        return self.function(x, self)

    def deep(self, x: Tensor) -> Tensor:
        """(N, 2, H, W) → (N, 2, H, W), of 7 pixels."""
        out: Tensor = self.second(self.first(x))
        return out


SEVEN: dict[str, Callable[[Tensor, Pooling], Tensor]] = {
    "shallow first": lambda x, net: net.fc(torch.cat([x.mean((2, 3)), net.deep(x).mean((2, 3))], 1)),
    "shallow last": lambda x, net: net.fc(torch.cat([net.deep(x).mean((2, 3)), net.first(x).mean((2, 3))], 1)),
    "normalised by the image": lambda x, net: net.deep(x).mean((2, 3)) / x.mean(),
    "two poolings by windows": lambda x, net: net.fc(
        torch.cat([net.pool(net.deep(x)).flatten(1), net.pool(x).flatten(1)], 1)
    ),
    "one axis after the other": lambda x, net: net.deep(x).mean(3).amax(2),
    "a pooling by windows at the end": lambda x, net: net.pool(net.deep(x)),
    "the same, flattened": lambda x, net: net.pool(net.deep(x)).flatten(1),
}


@pytest.mark.parametrize("name", SEVEN)
def test_of_several_pooled_maps_the_deepest_counts(name: str) -> None:
    measures = measure(Pooling(SEVEN[name]), (2, 8, 8))
    assert (measures.status, measures.receptive_field) == (Status.EXACT, (7, 7))


def test_a_recurrent_network_picks_positions_and_pools_nothing() -> None:
    # Its steps write to parts of their gates, and see the positions before.
    class Recurrent(nn.Module):
        def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, stride=2, padding=1)
            self.rows = kind(4, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            rows = self.conv(x).amax(2).transpose(1, 2)
            out: Tensor = self.rows(rows)[0]
            return out

    for kind in (nn.LSTM, nn.GRU):
        measures = measure(Recurrent(kind), (2, 8, 20))
        assert measures.status is Status.BOUND
        assert measures.receptive_field == (8, 21)


def test_a_sequence_that_is_made_of_a_map_is_the_last_map() -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, padding=1)
            self.along = nn.Conv1d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.along(self.conv(x).amax(2)).mean(2)
            return out

    measures = measure(Sequence(), (2, 8, 20))
    assert (measures.status, measures.receptive_field) == (Status.WHOLE_IMAGE, (8, 5))


def test_a_lost_position_loses_the_network() -> None:
    def function(x: Tensor, net: Pooling) -> Tensor:
        row = net.deep(x)[:, :, 0]
        row[:, :1] += 1
        return row * 2

    measures = measure(Pooling(function), (2, 8, 8))
    assert measures.status is Status.UNSUPPORTED
    assert "into a part of a tensor" in str(measures.reason)


def test_a_squeezed_map_is_not_the_last() -> None:
    def function(x: Tensor, net: Pooling) -> Tensor:
        y = net.first(x)
        out: Tensor = net.second(y * y.mean((2, 3), keepdim=True))
        return out

    measures = measure(Pooling(function), (2, 8, 8))
    assert (measures.status, measures.field.shortest_path) == (Status.WHOLE_IMAGE, (7, 7))
