"""Networks of several outputs: which of them depth and receptive field are those of, and that this is said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
import torchvision
from torch import Tensor, nn

from experiments.measures.effective import effective_field
from experiments.measures.network import measure
from experiments.measures.table import totals


@dataclass
class Answer:
    """Two outputs by name."""

    early: Tensor
    late: Tensor


class Pair(NamedTuple):
    """Two outputs by name and place."""

    early: Tensor
    late: Tensor


class Branching(nn.Module):
    """One convolution, then another."""

    def __init__(self, put_together: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.put_together = put_together
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 5, padding=2)

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401 - of any type
        """(N, 3, H, W) → whatever is made of the maps of both convolutions."""
        early = self.first(x)
        return self.put_together(early, self.second(early))


LATE: dict[str, tuple[Callable[[Tensor, Tensor], Any], str]] = {
    "one tensor": (lambda _, late: late, ""),
    "out, beside an auxiliary one": (lambda early, late: {"aux": early, "out": late}, "out"),
    "out comes first": (lambda early, late: {"out": late, "aux": early}, "out"),
    "the deepest of a tuple": (lambda early, late: (early.mean(), late), "1"),
    "the deepest of what is nested": (lambda early, late: [early, {"maps": (late, early)}], "1.maps.0"),
    "the first of those as deep": (lambda _, late: (late, late.mean()), "0"),
    "a dataclass": (Answer, "late"),
    "a named tuple": (Pair, "late"),
    "beside a constant": (lambda _, late: (torch.zeros(3), late), ""),
}


@pytest.mark.parametrize("name", LATE)
def test_depth_and_field_are_those_of_one_output_that_is_named(name: str) -> None:
    function, output = LATE[name]
    measures = measure(Branching(function), (3, 32, 32))
    assert (measures.output, measures.depth, measures.receptive_field) == (output, 2, (7, 7))
    said = [line for line in totals(measures, "network") if "outputs" in line]
    assert said == ([f"of several outputs, depth and receptive field are those of {output}"] if output else [])


def test_out_counts_even_if_another_is_deeper() -> None:
    measures = measure(Branching(lambda early, late: {"features": late, "out": early}), (3, 32, 32))
    assert (measures.output, measures.depth, measures.receptive_field) == ("out", 1, (3, 3))


@pytest.mark.parametrize("name", ["out, beside an auxiliary one", "the deepest of a tuple", "a dataclass"])
def test_the_effective_field_is_that_of_the_same_output(name: str) -> None:
    torch.manual_seed(0)
    network = Branching(LATE[name][0])
    seen = effective_field(network, torch.randn(2, 3, 15, 15), draws=4)
    rows, columns = (torch.from_numpy(seen.energy).sum(axis).nonzero().flatten() for axis in (1, 0))
    assert (len(rows), len(columns)) == seen.theoretical.size == (7, 7)


def test_segmentation_in_training_mode_is_measured_by_its_main_output() -> None:
    with torch.device("meta"):
        network = torchvision.models.get_model(
            "fcn_resnet50", weights=None, weights_backbone=None, aux_loss=True, num_classes=21
        )
    measures = measure(network, (3, 64, 64))
    assert (measures.output, measures.receptive_field) == ("out", (451, 451))
