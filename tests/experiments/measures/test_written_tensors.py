"""Tensors that a network writes to: in place, into parts, by `out=`, into tensors that it makes on the CPU."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, cat, nn

from experiments.benchmarks.comparison import compare_seen
from experiments.measures.network import measure
from experiments.measures.reach import Status


class Writing(nn.Module):
    """A network of one function that writes, with two convolutions to use in it."""

    def __init__(self, function: Callable[[Tensor, "Writing"], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.wide = nn.Conv2d(1, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 1, H, W)."""
        return self.function(x, self)


def _into_cpu_tensor(x: Tensor, net: Writing) -> Tensor:
    total = torch.zeros(x.shape, dtype=x.dtype)
    total += net.conv(x)
    total.add_(net.wide(x))
    return total


def _copied_over(x: Tensor, net: Writing) -> Tensor:
    buffer = torch.empty(x.shape, dtype=x.dtype)
    buffer.copy_(net.wide(x))
    out: Tensor = net.conv(buffer)
    return out


def _out_argument(x: Tensor, net: Writing) -> Tensor:
    buffer = torch.empty_like(x)
    torch.add(net.conv(x), net.wide(x), out=buffer)
    return buffer * 2


def _assigned_data(x: Tensor, net: Writing) -> Tensor:
    y: Tensor = net.conv(x)
    y.data = net.wide(y.data)
    return y


def _activation_in_place(x: Tensor, net: Writing) -> Tensor:
    y: Tensor = net.wide(x)
    torch.relu_(y[:, :, 2:])
    return y


def _half_in_place(x: Tensor, net: Writing) -> Tensor:
    y = cat([net.conv(x), net.wide(x)], 1)
    left, right = y[:, :1], y[:, 1:]
    left += right
    return left * x


def _other_half(x: Tensor, net: Writing) -> Tensor:
    y = cat([net.wide(x), net.conv(x)], 1)
    left, right = y[:, :1], y[:, 1:]
    left += net.wide(x)
    return right + x


def _interleaved(x: Tensor, net: Writing) -> Tensor:
    y: Tensor = net.conv(x)
    even, odd = y[..., ::2], y[..., 1::2]
    even += odd
    return odd + x[..., 1::2]


EXACT = {
    "a half in place": _half_in_place,
    "the half that was not written to": _other_half,
    "columns between those that were": _interleaved,
    "added to a tensor on the CPU": _into_cpu_tensor,
    "copied into a tensor on the CPU": _copied_over,
    "an activation of a part": _activation_in_place,
}


@pytest.mark.parametrize("name", EXACT)
def test_what_was_written_is_seen(name: str) -> None:
    comparison = compare_seen(Writing(EXACT[name]), (1, 12, 10))
    assert not comparison.mismatches
    assert comparison.status is Status.EXACT
    assert comparison.units >= 60


@pytest.mark.parametrize(("function", "size"), [(_out_argument, 7), (_assigned_data, 9)])
def test_what_autograd_does_not_follow_is_seen(function: Callable[[Tensor, Writing], Tensor], size: int) -> None:
    measures = measure(Writing(function), (1, 12, 10))
    assert (measures.status, measures.receptive_field) == (Status.EXACT, (size, size))


def _into_part_of_cpu_tensor(x: Tensor, net: Writing) -> Tensor:
    canvas = torch.zeros(x.shape, dtype=x.dtype)
    canvas[:, :, 1:] = net.wide(x)[:, :, :-1]
    return x + canvas


def _out_argument_of_a_part(x: Tensor, net: Writing) -> Tensor:
    buffer = x.new_zeros(1, 1, x.shape[2], 2 * x.shape[3])
    torch.add(x, net.wide(x), out=buffer[..., : x.shape[3]])
    return x + buffer[..., ::2]


def _into_an_earlier_view(x: Tensor, net: Writing) -> Tensor:
    canvas = torch.zeros(x.shape, dtype=x.dtype)
    part = canvas[:, :, 3:]
    part += net.wide(x)[:, :, 3:]
    return x + canvas


def _into_a_list(x: Tensor, net: Writing) -> Tensor:
    y: Tensor = net.conv(x)
    torch._foreach_add_([y], [net.wide(x)])
    return y


def _whole_of_halves(x: Tensor, net: Writing) -> Tensor:
    y = cat([x, net.conv(x)], 1)
    y.chunk(2, 1)[0].add_(net.wide(x))
    return y


def _overlapping(x: Tensor, net: Writing) -> Tensor:
    y: Tensor = net.conv(x)
    upper, lower = y[:, :, :8], y[:, :, 4:]
    upper += net.wide(x)[:, :, :8]
    return lower


UNKNOWN = {
    "a whole of which half was written to": (_whole_of_halves, "add_ into a part"),
    "a part that overlaps one": (_overlapping, "add_ into a part"),
    "a part of a tensor on the CPU": (_into_part_of_cpu_tensor, "copy_ into a part"),
    "out= of a part": (_out_argument_of_a_part, "add into a part"),
    "a view from before": (_into_an_earlier_view, "add_ into a part"),
    "a list of tensors": (_into_a_list, "foreach_add"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_was_written_into_a_part_is_unknown(name: str) -> None:
    function, reason = UNKNOWN[name]
    measures = measure(Writing(function), (1, 12, 10))
    assert measures.status is Status.UNSUPPORTED
    assert reason in str(measures.reason)


READING: dict[str, Callable[[Tensor], object]] = {
    "item": lambda tensor: tensor.sum().item(),
    "equal": lambda tensor: torch.equal(tensor, tensor + 1),
    "mask": lambda tensor: tensor[tensor > 0],
    "unique": torch.unique,
    "truth": lambda tensor: bool((tensor > 0).all()),
}


@pytest.mark.parametrize("on_cpu", [False, True])
@pytest.mark.parametrize("name", READING)
def test_numbers_that_come_from_the_image_are_not_to_be_had(name: str, on_cpu: bool) -> None:
    def function(x: Tensor, net: Writing) -> Tensor:
        written = torch.zeros(x.shape, dtype=x.dtype) if on_cpu else torch.zeros_like(x)
        written += net.conv(x)
        READING[name](written)
        return x

    with pytest.raises(ValueError, match="nothing more can be known without numbers"):
        measure(Writing(function), (1, 12, 10))


def test_numbers_that_do_not_come_from_the_image_are() -> None:
    def function(x: Tensor, net: Writing) -> Tensor:
        steps = torch.arange(3)
        steps += 1
        out: Tensor = net.conv(x)[:, :, :: int(steps.sum())]
        return out

    assert measure(Writing(function), (1, 12, 10)).stride == (Fraction(6), Fraction(1))
