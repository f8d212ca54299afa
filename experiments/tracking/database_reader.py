"""Many runs read from a data base that this machine reaches: the rows that are asked for, and no others.

MLflow's client brings each run whole, with all parameters, tags and metrics: ten thousand runs take it most of a
minute. Here the rows are selected in the data base itself, by MLflow's own description of its tables.
"""

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from experiments.tracking.store import Store
from experiments.tracking.store_errors import translated
from experiments.tracking.stored_run import StoredRun, Wanted, chunks

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

CHUNK = 500  # values of one comparison with a list; older SQLite takes no more than 999


class DatabaseReader:
    """Reads from the tables of one store; see `stored_run.Reader`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def tagged(self, tags: Mapping[str, str], wanted: Wanted) -> list[StoredRun]:
        """The runs that carry all of `tags`."""
        return self._select(self._with_tags(tags), wanted)

    def named(self, run_ids: Sequence[str], wanted: Wanted) -> list[StoredRun]:
        """The runs that have these ids."""
        return [run for chunk in chunks(run_ids, CHUNK) for run in self._select(self._with_ids(chunk), wanted)]

    def points(self, run_ids: Sequence[str], metric: str) -> Iterator[tuple[str, int, float]]:
        """Run id, step and value of what runs recorded of a metric."""
        point = self._tables.SqlMetric
        columns = (point.run_uuid, point.step, point.value, point.is_nan, point.timestamp)
        for chunk in chunks(run_ids, CHUNK):
            rows = self._rows(columns, point.run_uuid.in_(chunk), point.key == metric)
            for run_id, step, value, is_nan, _ in sorted(rows, key=lambda row: row[4]):
                yield run_id, step, math.nan if is_nan else value

    @cached_property
    def _engine(self) -> "Engine":
        import sqlalchemy  # noqa: PLC0415 - a third of a second that few need

        _ = self._store.client  # makes a store that does not exist yet
        return sqlalchemy.create_engine(self._store.destination.uri)

    @cached_property
    def _tables(self) -> Any:  # noqa: ANN401 - MLflow's tables carry no types
        """MLflow's own description of its tables."""
        return importlib.import_module("mlflow.store.tracking.dbmodels.models")

    def _with_tags(self, tags: Mapping[str, str]) -> list[Any]:
        from sqlalchemy import select  # noqa: PLC0415 - as above

        tag = self._tables.SqlTag
        return [select(tag.run_uuid).where(tag.key == name, tag.value == value) for name, value in tags.items()]

    def _with_ids(self, run_ids: Sequence[str]) -> list[Any]:
        from sqlalchemy import select  # noqa: PLC0415 - as above

        run = self._tables.SqlRun
        return [select(run.run_uuid).where(run.run_uuid.in_(run_ids))]

    def _select(self, conditions: Sequence[Any], wanted: Wanted) -> list[StoredRun]:
        run, tag, last = self._tables.SqlRun, self._tables.SqlTag, self._tables.SqlLatestMetric
        tags: dict[str, dict[str, str]] = {}
        metrics: dict[str, dict[str, float]] = {}
        chosen = [tag.run_uuid.in_(found) for found in conditions]
        for run_id, key, text in self._rows((tag.run_uuid, tag.key, tag.value), chosen, tag.key.in_(list(wanted.tags))):
            tags.setdefault(run_id, {})[key] = text
        numbers = (last.run_uuid, last.key, last.value, last.is_nan)
        chosen = [last.run_uuid.in_(found) for found in conditions]
        for run_id, key, value, is_nan in self._rows(numbers, chosen, last.key.in_(list(wanted.metrics))):
            metrics.setdefault(run_id, {})[key] = math.nan if is_nan else value
        facts = (run.run_uuid, run.experiment_id, run.name, run.status, run.start_time, run.end_time, run.artifact_uri)
        chosen = [run.run_uuid.in_(found) for found in conditions]
        return [
            StoredRun(
                run_id=run_id,
                experiment_id=str(experiment),
                name=name or "",
                status=status,
                start=(start or 0) / 1000,
                end=None if end is None else end / 1000,
                artifacts=artifacts or "",
                tags=tags.get(run_id, {}),
                metrics=metrics.get(run_id, {}),
            )
            for run_id, experiment, name, status, start, end, artifacts in self._rows(
                facts, chosen, run.lifecycle_stage == "active"
            )
        ]

    def _rows(self, columns: Sequence[Any], *conditions: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
        """Rows for which all conditions, some of them in lists, hold."""
        from sqlalchemy import select  # noqa: PLC0415 - as above

        query = select(*columns)
        for condition in conditions:
            query = query.where(*(condition if isinstance(condition, list) else [condition]))
        with translated(), self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]
