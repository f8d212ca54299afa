"""The summary of a record says where labels are told; its picture shows every number, and the missing ones as such."""

import json
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from experiments.measures.layer_record import LayerRecord
from experiments.measures.layer_record_drawing import NONE, draw_layer_record

NAN = math.nan


def record(**errors: list[list[float]]) -> LayerRecord:
    """Three layers after the picture, before the training and after two epochs."""
    return LayerRecord(
        layers=("picture", "a", "b", "c"),
        depths=(0.0, 1 / 3, 2 / 3, 1.0),
        epochs=(0, 2),
        selectivity=np.array([[NAN, NAN], [0.2, 0.5], [0.2, 0.9], [0.2, 0.1]]),
        errors={label: np.array(rows, dtype=np.float64) for label, rows in errors.items()},
    )


EDGES_FIRST = record(
    edge=[[88, 88], [80, 8], [80, 8], [80, 8]],
    texture=[[75, 75], [75, 75], [70, 15], [75, 15]],
    shape=[[88, 88], [80, 78], [80, 68], [80, 8]],
)


def test_the_summary_is_of_the_last_column() -> None:
    shape_depth = (10 / 3 + 10 * 2 / 3 + 60) / 80
    assert EDGES_FIRST.summary() == pytest.approx(
        {
            "probe/edge_depth": 1 / 3,
            "probe/edge_error": 8,
            "probe/texture_depth": 2 / 3,
            "probe/texture_error": 15,
            "probe/texture_after_edge": 1 / 3,
            "probe/shape_depth": shape_depth,
            "probe/shape_error": 8,
            "probe/shape_after_edge": shape_depth - 1 / 3,
            "selectivity/early_less_late": 0.5 - 0.1,
        }
    )


def test_what_no_layer_tells_has_no_depth() -> None:
    found = record(edge=[[88, 88], [80, 80], [80, 80], [80, 80]], shape=[[88, 88], [80, 8], [80, 8], [80, 8]]).summary()
    assert found["probe/shape_depth"] == pytest.approx(1 / 3)
    assert found["probe/edge_error"] == 80
    assert not {"probe/edge_depth", "probe/shape_after_edge"} & found.keys()


def test_a_record_without_epochs_says_nothing() -> None:
    empty = LayerRecord((), (), (), np.empty((0, 0)), {})
    assert empty.summary() == {}
    with pytest.raises(ValueError, match="nothing of the layers"):
        draw_layer_record(empty)


def test_it_comes_back_from_json_as_it_was() -> None:
    again = LayerRecord.from_dict(json.loads(json.dumps(EDGES_FIRST.as_dict(), allow_nan=False)))
    assert (again.layers, again.depths, again.epochs) == (EDGES_FIRST.layers, EDGES_FIRST.depths, EDGES_FIRST.epochs)
    np.testing.assert_array_equal(again.selectivity, EDGES_FIRST.selectivity)
    for label, errors in EDGES_FIRST.errors.items():
        np.testing.assert_array_equal(again.errors[label], errors)


def array_of(axes: Axes) -> np.ma.MaskedArray[Any, Any]:
    array = axes.images[0].get_array()
    assert array is not None
    return np.ma.asarray(array)


def test_the_picture_shows_every_number() -> None:
    figure = draw_layer_record(EDGES_FIRST)
    maps = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title(loc="left") for axes in maps] == [
        "error of a probe: edge (%)",
        "error of a probe: texture (%)",
        "error of a probe: shape (%)",
        "orientation selectivity (median)",
    ]
    for axes, values in zip(maps, [*EDGES_FIRST.errors.values(), EDGES_FIRST.selectivity], strict=True):
        shown = np.ma.getdata(array_of(axes))
        np.testing.assert_array_equal(np.where(np.isnan(values), 0, shown), np.nan_to_num(values))
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "2"]
    missing = np.ma.getmaskarray(array_of(maps[-1]))
    np.testing.assert_array_equal(missing, np.isnan(EDGES_FIRST.selectivity))
    assert to_hex(maps[-1].get_facecolor()) == NONE
    assert [label.get_text() for label in maps[0].get_yticklabels()] == list(EDGES_FIRST.layers)
