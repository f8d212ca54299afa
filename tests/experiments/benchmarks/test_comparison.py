"""Which units are compared far from every border, and that what is said wrongly of them is found."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from experiments.benchmarks import comparison, receptive_field
from experiments.benchmarks.borders import look_beyond, see_anything
from experiments.benchmarks.comparison import (
    ALL_NEAR_A_BORDER,
    NO_WINDOW,
    UNSUPPORTED,
    compare_seen,
    compare_windows,
    far_from_borders,
    output_of,
)
from experiments.benchmarks.oracle import positive_twin
from experiments.benchmarks.random_networks import CHANNELS, Apply, drawn
from experiments.measures.layers import Field, field_of
from experiments.measures.propagation import Known
from experiments.measures.reach import Status, Window
from experiments.measures.sight import AXES

SHAPE = (CHANNELS, 40, 36)
CROP = Apply(lambda x: x[:, :, 3:-2, 2:])


def _conv(kernel: int, stride: int, padding: int) -> nn.Module:
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding)


NETWORKS: dict[str, nn.Module] = {
    "ordinary": nn.Sequential(
        _conv(3, 1, 1), nn.MaxPool2d(2), _conv(5, 2, 2), nn.ConvTranspose2d(CHANNELS, 2, 4, 2, 1)
    ),
    "with crops": nn.Sequential(CROP, nn.Upsample(scale_factor=1.5, mode="bilinear"), _conv(3, 2, 1), CROP),
    "with a crop, to a fixed size": nn.Sequential(CROP, _conv(3, 1, 1), nn.AdaptiveAvgPool2d((9, 12))),
}
# The last has no two units a period apart, from which a stride would follow.
OF_ANY_SIZE = list(NETWORKS)[:2]


@pytest.mark.parametrize("name", NETWORKS)
def test_units_far_from_every_border_are_as_said(name: str) -> None:
    found = compare_windows(NETWORKS[name], SHAPE)
    assert (found.status, found.mismatches, found.why_none) == (Status.EXACT, (), "")
    assert found.units >= 3
    assert found.numbers_along == (len(AXES) if name in OF_ANY_SIZE else 0)


WRONG_WINDOWS: dict[str, Callable[[Window], Window]] = {
    "size": lambda window: Window(window.first, window.last + 1, window.shift),
    "smaller": lambda window: Window(window.first + 1, window.last, window.shift),
    "padding": lambda window: Window(window.first - 1, window.last - 1, window.shift),
    "beyond the image": lambda window: Window(window.first - 300, window.last, window.shift),
    "stride": lambda window: Window(window.first, window.last, window.shift + 1),
}


def _say_wrongly(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """Let the windows along y be said wrongly."""

    def said(network: nn.Module, shape: tuple[int, int, int]) -> Known:
        known = output_of(network, shape)
        assert known.sight is not None
        y, x = known.sight.reaches
        assert y.widest is not None
        y = replace(y, widest=WRONG_WINDOWS[wrong](y.widest))
        return replace(known, sight=replace(known.sight, reaches=(y, x)))

    monkeypatch.setattr(comparison, "output_of", said)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [(name, wrong) for name in NETWORKS for wrong in WRONG_WINDOWS if wrong != "stride" or name in OF_ANY_SIZE],
)
def test_a_wrong_window_is_found(monkeypatch: pytest.MonkeyPatch, name: str, wrong: str) -> None:
    _say_wrongly(monkeypatch, wrong)
    mismatches = compare_windows(NETWORKS[name], SHAPE).mismatches
    assert mismatches
    assert not any(", x: " in text or text.startswith("x: ") for text in mismatches)


WRONG_NUMBERS: dict[str, Callable[[Field], Field]] = {
    "size": lambda field: replace(field, size=(field.size[0], (field.size[1] or 0) + 1)),
    "stride": lambda field: replace(field, stride=(field.stride[0], Fraction(7, 3))),
    "padding": lambda field: replace(field, padding=(field.padding[0], (field.padding[1] or 0) + 1)),
}


@pytest.mark.parametrize("wrong", WRONG_NUMBERS)
@pytest.mark.parametrize("name", OF_ANY_SIZE)
def test_a_wrong_number_is_found(monkeypatch: pytest.MonkeyPatch, name: str, wrong: str) -> None:
    monkeypatch.setattr(comparison, "field_of", lambda known: WRONG_NUMBERS[wrong](field_of(known)))
    (mismatch,) = compare_windows(NETWORKS[name], SHAPE).mismatches
    assert mismatch.startswith("x: size, stride, padding said (")


def test_the_end_of_a_map_inside_the_image_is_a_border() -> None:
    # It leaves two pixels out, resizes the rest and takes bins of it: the first sees no further than what is left.
    network, shape = drawn(379, wider=True)
    assert isinstance(network, nn.Sequential)
    for depth in (3, 4):
        found = compare_windows(network[:depth], shape)
        assert found.mismatches == ()
        assert found.units >= 3


def test_holes_are_not_all_that_is_compared() -> None:
    # Of a transposed convolution every second unit reads nothing and looks beyond no border, wherever it is.
    network = nn.Sequential(nn.AdaptiveAvgPool2d(6), nn.ConvTranspose2d(CHANNELS, CHANNELS, 3, 2, dilation=2))
    twin = positive_twin(network)
    far, seeing = ~look_beyond(twin, SHAPE).numpy(), see_anything(twin, SHAPE).numpy()
    sight = output_of(network, SHAPE).sight
    assert sight is not None
    units = far_from_borders(far, seeing, sight)
    assert sum(row % 2 == column % 2 == 0 for row, column in units) >= 2
    found = compare_windows(network, SHAPE)
    assert (found.mismatches, found.why_none) == ((), "")


# Holes along both axes; of the first and the second, units next to each other diagonally may all be holes.
HOLES: dict[str, nn.Module] = {
    "of both axes": nn.ConvTranspose2d(CHANNELS, CHANNELS, (4, 1), 2, (2, 0), dilation=(2, 1)),
    "of other periods": nn.ConvTranspose2d(CHANNELS, CHANNELS, (1, 4), (3, 2), dilation=(1, 2)),
    "of one unit": nn.ConvTranspose2d(CHANNELS, CHANNELS, 1, 2),
}


@pytest.mark.parametrize("wrong", WRONG_WINDOWS)
@pytest.mark.parametrize("name", HOLES)
def test_a_wrong_window_is_found_between_holes(monkeypatch: pytest.MonkeyPatch, name: str, wrong: str) -> None:
    found = compare_windows(HOLES[name], SHAPE)
    assert (found.mismatches, found.why_none, found.numbers_along) == ((), "", 0)
    _say_wrongly(monkeypatch, wrong)
    assert compare_windows(HOLES[name], SHAPE).mismatches


def test_a_window_of_a_hole_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every second row reads nothing; those between are said rightly.
    network = nn.ConvTranspose2d(CHANNELS, CHANNELS, 1, (2, 1))
    assert compare_windows(network, SHAPE).mismatches == ()

    def filled(window: Window) -> Window:
        return Window(np.minimum(window.first, 0), np.maximum(window.last, 0), window.shift)

    monkeypatch.setitem(WRONG_WINDOWS, "of holes", filled)
    _say_wrongly(monkeypatch, "of holes")
    assert compare_windows(network, SHAPE).mismatches


@pytest.mark.parametrize(("narrower", "is_found"), [(-1, False), (1, True)])
def test_what_exceeds_a_bound_is_found(monkeypatch: pytest.MonkeyPatch, narrower: int, is_found: bool) -> None:
    def said(network: nn.Module, shape: tuple[int, int, int]) -> Known:
        known = output_of(network, shape)
        assert known.sight is not None
        y, x = known.sight.reaches
        first, last = y.seen
        y = replace(y, status=Status.BOUND, seen=(first + narrower, last))
        return replace(known, sight=replace(known.sight, reaches=(y, x)))

    monkeypatch.setattr(comparison, "output_of", said)
    assert bool(compare_seen(_conv(3, 1, 1), (CHANNELS, 8, 8)).mismatches) == is_found


def test_holes_that_alone_are_far_from_borders_are_not_compared() -> None:
    # Their rows are as long as the map, and what sees anything is near a border.
    network = nn.Sequential(
        nn.AdaptiveAvgPool2d(2), _conv(3, 1, 1), nn.ConvTranspose2d(CHANNELS, CHANNELS, 1, 2, output_padding=1)
    )
    found = compare_windows(network, SHAPE)
    assert (found.units, found.why_none) == (0, ALL_NEAR_A_BORDER)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (nn.Sequential(CROP, nn.AdaptiveAvgPool2d(3), _conv(3, 1, 1), _conv(3, 1, 1)), ALL_NEAR_A_BORDER),
        (nn.AdaptiveAvgPool2d(1), NO_WINDOW),
        (Apply(torch.linalg.pinv), UNSUPPORTED),
    ],
    ids=["small map", "global", "unsupported"],
)
def test_why_nothing_is_compared_is_said(network: nn.Module, why: str) -> None:
    found = compare_windows(network, SHAPE)
    assert (found.units, found.mismatches, found.why_none) == (0, (), why)


def test_the_benchmark_tells_after_how_many_layers_no_windows_were_compared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_map = nn.Sequential(nn.AdaptiveAvgPool2d(3), _conv(3, 1, 1), _conv(3, 1, 1))
    monkeypatch.setattr(receptive_field, "drawn", lambda *_, **__: (small_map, SHAPE))
    assert receptive_field.main(["networks=1", "units=4"]) == 0
    out = capsys.readouterr().out
    assert "compared after 2 layers, 1 not (no unit far from every border)" in out
    assert "of these, size, stride and padding along both axes: compared after 0 layers" in out
