"""The view that every experiment has in MLflow's pages: charts of the measures, and of the test error over them.

MLflow's runs page keeps a saved view ("Views → Save as new view") as a tag of the experiment, so one can be written
from here: ``mlflow.sharedViewState.<id>`` holds, as JSON, a name, two times, and the page's state, packed. None of that
is documented. It was read off MLflow 3.17.2, from views saved by hand and from the page's JavaScript, with which the
tests compare every name used here. Named views came with MLflow 3.15; an older page does not show this one.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

VERSION = 1
"""Of the view below; raise it with every change, and experiments that have an older one get the new one."""

VIEW_ID = "whydeep-measures"
VIEW_NAME = "Depth, parameters, receptive field"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW_ID}"
NOTE_TAG = "mlflow.note.content"

DEPTH = "measure/depth"
PARAMETERS = "measure/parameters"
RECEPTIVE_FIELD = "measure/receptive_field"
MACS = "measure/macs"
ERROR = "test/top1_error"
CURVES = ("train/loss", "val/loss", "train/top1_error", "val/top1_error")

_VERSION_KEY = "whydeep"
_WRITTEN_AT = 1_795_500_000_000  # milliseconds since the epoch; the same in every experiment
# The page adds a chart of its own for each metric that has none here, in a section named after what stands before the
# slash; these sections come last, folded up.
_FOLDED = ("measure", "test", "val", "train", "best", "time", "test_class", "initial", "trained")
# Of the table of runs, which belongs to the view: what was run, how it came out, and what is known of the network.
_RUN_NAME = "attributes.`Run Name`"
_COLUMNS = (
    *(f"tags.`whydeep.{tag}`" for tag in ("model", "datamodule", "augmentation", "seed")),
    *(f"metrics.`{key}`" for key in (ERROR, DEPTH, PARAMETERS, RECEPTIVE_FIELD, MACS)),
)
_MOST_RUNS = 100

Chart = dict[str, object]


def missing_tags(experiment_id: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that an experiment lacks to have the view, and a description that links to it.

    What people made is left alone: their own views, a description, be it empty, and what they put in this view's place.
    Where they deleted the view, it is written again.

    Args:
        experiment_id: the experiment's id in its store.
        tags: those that it has.
    """
    missing = {}
    if VIEW_TAG not in tags or _is_outdated(tags[VIEW_TAG]):
        missing[VIEW_TAG] = _view()
    if NOTE_TAG not in tags:
        missing[NOTE_TAG] = f"[Charts: depth, parameters, receptive field, MACs, error]({charts_link(experiment_id)})"
    return missing


def charts_link(experiment_id: str) -> str:
    """The address of the view below the server's own, ``#/experiments/…``; alone it is a link within MLflow's pages."""
    query = {"viewStateShareKey": VIEW_ID, "compareRunsMode": "CHART", "workflowType": "machine_learning"}
    return f"#/experiments/{experiment_id}/runs?{urlencode(query)}"


def _is_outdated(view: str) -> bool:
    try:
        version = json.loads(view)[_VERSION_KEY]
    except (ValueError, TypeError, KeyError):
        # The page writes no version: somebody else's.
        return False
    # A newer one belongs to a newer whydeep that records in the same store: the two must not take turns.
    return isinstance(version, int) and version < VERSION


def _view() -> str:
    # Packed as the page packs it: servers before MLflow 3.15 take no more than 5,000 characters.
    state = base64.b64encode(zlib.compress(json.dumps(_state()).encode())).decode()
    return json.dumps(
        {
            "name": VIEW_NAME,
            "createdAt": _WRITTEN_AT,
            "updatedAt": _WRITTEN_AT,
            "state": f"deflate;{state}",
            _VERSION_KEY: VERSION,
        }
    )


def _state() -> dict[str, object]:
    """The page's state; what is not named here keeps the page's default."""
    sections: list[tuple[str, int, Sequence[Chart]]] = [
        (
            "Measures",
            2,
            (
                _scatter(DEPTH, PARAMETERS),
                _scatter(PARAMETERS, RECEPTIVE_FIELD),
                _scatter(DEPTH, RECEPTIVE_FIELD),
                _contour(DEPTH, PARAMETERS, RECEPTIVE_FIELD),
            ),
        ),
        ("Test error", 2, tuple(_scatter(key, ERROR) for key in (DEPTH, PARAMETERS, RECEPTIVE_FIELD, MACS))),
        ("Measures and test error", 1, (_parallel(DEPTH, PARAMETERS, RECEPTIVE_FIELD, MACS, ERROR),)),
        # A loss that exploded once would press the others flat.
        ("Training", 2, tuple(_line(key, "log" if key.endswith("loss") else "linear") for key in CURVES)),
    ]
    return {
        # By default only the first ten are drawn.
        "runsHiddenMode": "SHOW_ALL",
        "selectedColumns": list(_COLUMNS),
        "columnOrder": [_RUN_NAME, "runDateAndNestInfo", *_COLUMNS, "duration"],
        "columnWidths": {_RUN_NAME: 310, **{column: _width(column) for column in _COLUMNS}},
        # Otherwise the page sorts the sections by name.
        "isAccordionReordered": True,
        "compareRunSections": [
            *(_section(name, columns, shown=True) for name, columns, _ in sections),
            *(_section(name, 3, shown=False) for name in _FOLDED),
        ],
        "compareRunCharts": [
            {
                **chart,
                "uuid": f"{_section_id(name)}-{index}",
                "metricSectionId": _section_id(name),
                "runsCountToCompare": _MOST_RUNS,
                "deleted": False,
                "isGenerated": False,
            }
            for name, _, charts in sections
            for index, chart in enumerate(charts)
        ],
    }


def _width(column: str) -> int:
    """Pixels that a column takes to be read: its title is what stands between the back quotes."""
    return 24 + 7 * len(column.split("`")[1])


def _section(name: str, columns: int, *, shown: bool) -> dict[str, object]:
    return {
        "uuid": _section_id(name),
        "name": name,
        "display": shown,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
        "columns": columns,
    }


def _section_id(name: str) -> str:
    return f"{VIEW_ID}-{name.replace(' ', '-').lower()}"


def _scatter(x: str, y: str) -> Chart:
    return {"type": "SCATTER", "xaxis": _axis(x), "yaxis": _axis(y)}


def _contour(x: str, y: str, z: str) -> Chart:
    return {"type": "CONTOUR", "xaxis": _axis(x), "yaxis": _axis(y), "zaxis": _axis(z)}


def _axis(key: str) -> dict[str, str]:
    return {"key": key, "type": "METRIC"}


def _parallel(*keys: str) -> Chart:
    return {"type": "PARALLEL", "selectedParams": [], "selectedMetrics": list(keys), "showAllRuns": False}


def _line(key: str, scale: str) -> Chart:
    return {
        "type": "LINE",
        "metricKey": key,
        "selectedMetricKeys": [key],
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "scaleType": scale,
        "range": {},
        "lineSmoothness": 0,
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
