"""A journal's records in MLflow's own words, and how many of those go into one call."""

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from experiments.tracking.limits import (
    BATCH_BYTES,
    BATCH_ENTITIES,
    BATCH_PARAMS,
    BATCH_TAGS,
    PARAM_CHARACTERS,
    TAG_CHARACTERS,
    cut,
    sent_name,
)
from experiments.tracking.records import Metrics, Params, Tags

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, RunTag

    Entity = Metric | Param | RunTag

LONG_VALUES = "long_values"
"""Folder, in the run directory and among the artifacts, of values that are longer than MLflow's columns."""
NAME_TAG = "whydeep.name."

_ENTITY_BYTES = 100  # of JSON around a name and its value: time stamp, step, quotes


class Batch:
    """Metrics, parameters and tags for one call of ``log_batch``.

    Attributes:
        metrics: as MLflow's client takes them.
        params: likewise.
        tags: likewise.
    """

    def __init__(self) -> None:
        self.metrics: list[Metric] = []
        self.params: list[Param] = []
        self.tags: list[RunTag] = []
        self._bytes = 0

    def add(self, entity: "Entity") -> None:
        """Put one more in."""
        from mlflow.entities import Metric, Param  # noqa: PLC0415 - imported late: see the store module

        if isinstance(entity, Metric):
            self.metrics.append(entity)
            self._bytes += _ENTITY_BYTES + len(json.dumps(entity.key))
            return
        if isinstance(entity, Param):
            self.params.append(entity)
        else:
            self.tags.append(entity)
        self._bytes += _ENTITY_BYTES + len(json.dumps(entity.key)) + len(json.dumps(entity.value))

    def is_full(self) -> bool:
        """Whether MLflow might refuse another one in the same call."""
        return (
            len(self.metrics) + len(self.params) + len(self.tags) >= BATCH_ENTITIES
            or len(self.params) >= BATCH_PARAMS
            or len(self.tags) >= BATCH_TAGS
            or self._bytes >= BATCH_BYTES
        )

    def halves(self) -> "tuple[Batch, Batch] | Entity | None":
        """Two smaller batches; the entity itself where there is one only; None for an empty batch."""
        entities: list[Entity] = [*self.metrics, *self.params, *self.tags]
        if len(entities) <= 1:
            return entities[0] if entities else None
        first, second = Batch(), Batch()
        for index, entity in enumerate(entities):
            (first if index < len(entities) // 2 else second).add(entity)
        return first, second


def entities_of(record: Metrics | Params | Tags) -> Iterator["Entity"]:
    """What MLflow is to be told; a tag that is taken away has no entity."""
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - imported late: see the store module

    names = {name: sent_name(name) for name in record.values}
    match record:
        case Metrics():
            # The same record must always give the same time stamp, or sending it twice would double it. MLflow's tables
            # have no infinity and would show 1.8e308: it is sent as NaN, and the tracker's tag says what it was.
            time = milliseconds(record.time)
            for name, number in record.values.items():
                yield Metric(names[name], math.nan if math.isinf(number) else number, time, record.step)
        case Params():
            for name, text in record.values.items():
                yield Param(names[name], cut(text, PARAM_CHARACTERS, f"{LONG_VALUES}/params/{names[name]}.txt"))
        case Tags():
            for name, tag in record.values.items():
                if tag is not None:
                    yield RunTag(names[name], cut(tag, TAG_CHARACTERS, f"{LONG_VALUES}/tags/{names[name]}.txt"))
    for name, sent in names.items():
        if sent != name:
            yield RunTag(sent_name(NAME_TAG + sent), name[:TAG_CHARACTERS])


def milliseconds(seconds: float) -> int:
    """MLflow's unit of time."""
    return round(seconds * 1000)
