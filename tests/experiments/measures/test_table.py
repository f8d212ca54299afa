"""The table of a network's layers: what its columns say, and which have room."""

import io

import pytest
from rich.console import Console
from torch import Tensor, nn

from experiments.measures.network import NetworkMeasures, measure
from experiments.measures.table import layer_table, totals
from lightning_modules.networks.resnet import CifarResNet
from tests.experiments.measures.small import Small


def test_the_table_has_a_row_per_layer_and_no_macs_without_their_input_size() -> None:
    measures = measure(Small(), (3, 33, 17))
    assert layer_table(measures, "small").row_count == len(measures.layers)
    lines = totals(measures, "small")
    assert "MACs and" in lines[0]
    assert "input 3x33x17" in lines[0]
    assert "11 x 27 pixels, stride 2, padding 4 x 12; shortest path 3" in lines[1]
    assert lines[2] == "at this input size its centre unit sees the pixels 12-22 x 0-16"
    assert lines[3].startswith("56 parameters")
    assert lines[4].startswith("training keeps 22.6 KiB per image")


class Sloped(nn.Module):
    """Every number of the receptive field is another one, and the paths are centred differently."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(1, 2, (9, 7), 2, padding=(3, 1)), nn.Conv2d(1, 2, (4, 3), 2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) → (N, 2, H', W')."""
        wide = self.wide(x)
        total: Tensor = wide + self.narrow(x)[..., : wide.shape[-2], : wide.shape[-1]]
        return total


def columns(measures: NetworkMeasures, width: int) -> dict[str, str]:
    """Return the last row of the table by its heads."""
    table = layer_table(measures, "-", width)
    return {" ".join(str(column.header).split()): list(column._cells)[-1] for column in table.columns}  # type: ignore[misc]


def test_the_columns_of_the_table_say_what_their_heads_say() -> None:
    measures = measure(Sloped(), (1, 8, 9))
    numbers = {
        "receptive field": "9 x 7",
        "shortest path": "4 x 3",
        "pixels seen": "0-7 x 1-7",
        "stride": "2",
        "padding": "3 x 1",
        "start": "1 x 2",
        "paths centred": "differently",
        "known": "exact",
    }
    shown = columns(measures, 120)
    assert {name: shown[name] for name in numbers} == numbers


def test_columns_that_say_nothing_and_those_without_room_are_left_out() -> None:
    plain = measure(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()), (1, 16, 16))
    assert list(columns(plain, 150)) == [
        *("layer", "kind", "output", "parameters", "MACs", "receptive field", "stride", "padding", "known")
    ]
    sloped = measure(Sloped(), (1, 12, 13))
    assert "start" not in columns(sloped, 100)
    assert columns(sloped, 100)["shortest path"] == "4 x 3"
    assert "shortest path" not in columns(sloped, 80)


@pytest.mark.parametrize("width", [80, 100, 120, 150])
def test_no_line_of_the_table_is_longer_than_the_terminal(width: int) -> None:
    measures = measure(CifarResNet(num_classes=10), (3, 32, 32))
    console = Console(width=width, file=io.StringIO())
    with console.capture() as capture:
        console.print(layer_table(measures, "resnet20", width))
    assert max(map(len, capture.get().splitlines())) <= width
    assert "whole image: avgpool: mean over the whole map" in capture.get()
