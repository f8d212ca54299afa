"""The view of one study in MLflow's pages: its runs, grouped by arm, against what the arms cost.

Written like the view that every experiment has, see `charts`. The scatter plots are twice there: of the replicates, and
of the arms' means. Parallel coordinates are of the arms, whose runs have the factors as parameters.
"""

import hashlib
from collections.abc import Sequence

from experiments.tracking import conditions
from experiments.tracking.charts import (
    MACS,
    PARAMETERS,
    RECEPTIVE_FIELD,
    VIEW_PREFIX,
    Chart,
    Layout,
    line_chart,
    packed_view,
    parallel_chart,
    scatter_chart,
    view_link,
)

COSTS = (PARAMETERS, MACS, RECEPTIVE_FIELD)


def study_view(study: str, variation: str, metric: str, *, parameters: Sequence[str], mean: str) -> tuple[str, str]:
    """The tag of an experiment that holds the view of a study, and its value.

    Args:
        study: the study's name.
        variation: of the study.
        metric: what its replicates are compared by.
        parameters: of the arms' runs, for the parallel coordinates.
        mean: the metric that the arms' runs have instead.
    """
    learning = metric.replace("test/", "val/", 1)
    sections: list[tuple[str, int, Sequence[Chart]]] = [
        ("Arms", 3, [scatter_chart(cost, mean) for cost in COSTS]),
        ("Replicates", 3, [scatter_chart(cost, metric) for cost in COSTS]),
        ("Factors, measures and error", 1, [parallel_chart([*COSTS, mean], parameters)]),
        ("Training", 2, [line_chart(learning), line_chart("train/loss", "log")]),
    ]
    layout = Layout(
        sections=sections,
        columns=(
            "tags.`whydeep.arm`",
            "tags.`whydeep.seed`",
            *(f"metrics.`{key}`" for key in (metric, mean, *COSTS)),
        ),
        condition=conditions.tagged({"whydeep.study": study, "whydeep.variation": variation}),
        group_by_tag="whydeep.arm",
    )
    return f"{VIEW_PREFIX}{_view_id(study, variation)}", packed_view(
        f"Study {study}", _view_id(study, variation), layout
    )


def study_link(experiment_id: str, study: str, variation: str) -> str:
    """The address of the view below the server's own, ``#/experiments/…``."""
    return view_link(experiment_id, _view_id(study, variation))


def _view_id(study: str, variation: str) -> str:
    digits = hashlib.sha256(variation.encode()).hexdigest()[:6]
    return f"whydeep-study-{study}" if variation == "as written" else f"whydeep-study-{study}-{digits}"
