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
from dataclasses import dataclass
from urllib.parse import urlencode

VERSION = 3
"""Of the view below; raise it with every change, and experiments that have an older one get the new one."""

VIEW_ID = "whydeep-measures"
VIEW_NAME = "Depth, parameters, receptive field"
VIEW_PREFIX = "mlflow.sharedViewState."
VIEW_TAG = f"{VIEW_PREFIX}{VIEW_ID}"
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
_FOLDED = ("measure", "test", "val", "train", "best", "time", "test_class", "initial", "trained", "gradient", "spent")
# Of the table of runs, which belongs to the view: what was run, how it came out, and what is known of the network.
_RUN_NAME = "attributes.`Run Name`"
_COLUMNS = (
    *(f"tags.`whydeep.{tag}`" for tag in ("model", "datamodule", "augmentation", "seed")),
    *(f"metrics.`{key}`" for key in (ERROR, DEPTH, PARAMETERS, RECEPTIVE_FIELD, MACS)),
)
_MOST_RUNS = 100
# What nests under a run that is shown is drawn only once somebody unfolds it: runs of studies and arms are left out.
_TRAININGS = "tags.`whydeep.identity` != ''"

Chart = dict[str, object]


@dataclass(frozen=True)
class Layout:
    """What a view shows.

    Attributes:
        sections: each with its name, number of columns and charts.
        columns: of the table of runs.
        condition: which runs, in MLflow's search language; empty for all.
        group_by_tag: tag whose values make groups in the list of runs; charts show the single runs.
        folded: names of further sections, last and folded up.
    """

    sections: Sequence[tuple[str, int, Sequence[Chart]]]
    columns: Sequence[str]
    condition: str = ""
    group_by_tag: str | None = None
    folded: Sequence[str] = _FOLDED


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
    return view_link(experiment_id, VIEW_ID)


def view_link(experiment_id: str, view_id: str) -> str:
    """The address of a saved view, likewise."""
    query = {"viewStateShareKey": view_id, "compareRunsMode": "CHART", "workflowType": "machine_learning"}
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
    sections: list[tuple[str, int, Sequence[Chart]]] = [
        (
            "Measures",
            2,
            (
                scatter_chart(DEPTH, PARAMETERS),
                scatter_chart(PARAMETERS, RECEPTIVE_FIELD),
                scatter_chart(DEPTH, RECEPTIVE_FIELD),
                _contour(DEPTH, PARAMETERS, RECEPTIVE_FIELD),
            ),
        ),
        ("Test error", 2, tuple(scatter_chart(key, ERROR) for key in (DEPTH, PARAMETERS, RECEPTIVE_FIELD, MACS))),
        ("Measures and test error", 1, (parallel_chart((DEPTH, PARAMETERS, RECEPTIVE_FIELD, MACS, ERROR)),)),
        # A loss that exploded once would press the others flat.
        ("Training", 2, tuple(line_chart(key, "log" if key.endswith("loss") else "linear") for key in CURVES)),
    ]
    return packed_view(VIEW_NAME, VIEW_ID, Layout(sections, _COLUMNS, condition=_TRAININGS))


def packed_view(name: str, view_id: str, layout: Layout) -> str:
    """The value of a view's tag, packed as the page packs it."""
    # Servers before MLflow 3.15 take no more than 5,000 characters.
    state = base64.b64encode(zlib.compress(json.dumps(_state(view_id, layout)).encode())).decode()
    return json.dumps(
        {
            "name": name,
            "createdAt": _WRITTEN_AT,
            "updatedAt": _WRITTEN_AT,
            "state": f"deflate;{state}",
            _VERSION_KEY: VERSION,
        }
    )


def _state(view_id: str, layout: Layout) -> dict[str, object]:
    """The page's state; what is not named here keeps the page's default."""
    columns = list(layout.columns)
    state: dict[str, object] = {}
    if layout.condition:
        state["searchFilter"] = layout.condition
    if layout.group_by_tag is not None:
        key = {"mode": "tag", "groupByData": layout.group_by_tag}
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": [key]}
        # The page has no parallel coordinates of groups, nor do their means have the parameters.
        state["useGroupedValuesInCharts"] = False
    return {
        **state,
        # By default only the first ten are drawn.
        "runsHiddenMode": "SHOW_ALL",
        "selectedColumns": columns,
        "columnOrder": [_RUN_NAME, "runDateAndNestInfo", *columns, "duration"],
        "columnWidths": {_RUN_NAME: 310, **{column: _width(column) for column in columns}},
        # Otherwise the page sorts the sections by name.
        "isAccordionReordered": True,
        "compareRunSections": [
            *(_section(view_id, name, beside, shown=True) for name, beside, _ in layout.sections),
            *(_section(view_id, name, 3, shown=False) for name in layout.folded),
        ],
        "compareRunCharts": [
            {
                **chart,
                "uuid": f"{_section_id(view_id, name)}-{index}",
                "metricSectionId": _section_id(view_id, name),
                "runsCountToCompare": _MOST_RUNS,
                "deleted": False,
                "isGenerated": False,
            }
            for name, _, charts in layout.sections
            for index, chart in enumerate(charts)
        ],
    }


def _width(column: str) -> int:
    """Pixels that a column takes to be read: its title is what stands between the back quotes."""
    return 24 + 7 * len(column.split("`")[1])


def _section(view_id: str, name: str, columns: int, *, shown: bool) -> dict[str, object]:
    return {
        "uuid": _section_id(view_id, name),
        "name": name,
        "display": shown,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
        "columns": columns,
    }


def _section_id(view_id: str, name: str) -> str:
    return f"{view_id}-{name.replace(' ', '-').lower()}"


def scatter_chart(x: str, y: str) -> Chart:
    """One metric over another."""
    return {"type": "SCATTER", "xaxis": _axis(x), "yaxis": _axis(y)}


def _contour(x: str, y: str, z: str) -> Chart:
    return {"type": "CONTOUR", "xaxis": _axis(x), "yaxis": _axis(y), "zaxis": _axis(z)}


def _axis(key: str) -> dict[str, str]:
    return {"key": key, "type": "METRIC"}


def parallel_chart(metrics: Sequence[str], parameters: Sequence[str] = ()) -> Chart:
    """One line for each run through parameters and metrics."""
    return {
        "type": "PARALLEL",
        "selectedParams": list(parameters),
        "selectedMetrics": list(metrics),
        "showAllRuns": False,
    }


def line_chart(key: str, scale: str = "linear") -> Chart:
    """A metric over the steps."""
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
