"""Many runs of a store at once: their tags, their last metrics, the course of one metric.

MLflow's client brings each run whole, with all parameters, tags and metrics: ten thousand runs take it most of a
minute. Where the store is a data base that this machine reaches, the rows that are asked for are selected in it, by
MLflow's own description of its tables; a server is asked page by page, and takes its time.
"""

import importlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.tracking.addresses import DATABASES, scheme
from experiments.tracking.store import RunGoneError, Store, translated

if TYPE_CHECKING:
    from mlflow.entities import Run
    from sqlalchemy.engine import Engine

RUN_NAME = "mlflow.runName"
PAGE = 1000  # runs of one answer of a server
CHUNK = 500  # values of one comparison with a list; older SQLite takes no more than 999

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class StoredRun:
    """A run as the store tells it.

    Attributes:
        run_id: MLflow's.
        experiment_id: that it lies in.
        name: of the run.
        status: MLflow's word; `RUNNING` also where a process died without a word.
        start: seconds since the epoch.
        end: likewise; `None` while it runs.
        artifacts: where its files lie.
        tags: those that were asked for.
        metrics: last values of those that were asked for; NaN included.
    """

    run_id: str
    experiment_id: str
    name: str
    status: str
    start: float
    end: float | None
    artifacts: str
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


class Search:
    """Reads from one store; nothing is changed.

    Every method raises StoreAwayError, RefusedError or RunGoneError, as the store's own do.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def tagged(
        self, tags: Mapping[str, str], *, wanted_tags: Collection[str], wanted_metrics: Collection[str] = ()
    ) -> list[StoredRun]:
        """The runs that carry all of `tags` (one at least), in any experiment, oldest first; deleted ones do not count.

        Args:
            tags: value by name.
            wanted_tags: which tags to bring.
            wanted_metrics: which metrics to bring.
        """
        if self._is_database:
            return self._select(self._with_tags(tags), wanted_tags, wanted_metrics)
        condition = " and ".join(f"tags.`{name}` = '{_quoted(value)}'" for name, value in tags.items())
        return [_trimmed(run, wanted_tags, wanted_metrics) for run in self._pages(condition)]

    def named(
        self, run_ids: Sequence[str], *, wanted_tags: Collection[str], wanted_metrics: Collection[str] = ()
    ) -> list[StoredRun]:
        """The runs that have these ids, as far as the store has them."""
        found: list[StoredRun] = []
        for chunk in _chunks(run_ids):
            if self._is_database:
                found += self._select(self._with_ids(chunk), wanted_tags, wanted_metrics)
            else:
                listed = ", ".join(f"'{_quoted(run_id)}'" for run_id in chunk)
                found += [
                    _trimmed(run, wanted_tags, wanted_metrics)
                    for run in self._pages(f"attributes.run_id IN ({listed})")
                ]
        return found

    def courses(self, run_ids: Sequence[str], metric: str) -> dict[str, Points]:
        """What runs recorded of a metric, as (step, value) in the order of the steps; of a step the last value."""
        points: dict[str, dict[int, float]] = {}
        for run_id, step, value in self._points(run_ids, metric):
            points.setdefault(run_id, {})[step] = value
        return {run_id: sorted(steps.items()) for run_id, steps in points.items()}

    def artifact(self, run: StoredRun, path: str, folder: Path) -> Path | None:
        """Fetch one file of a run into `folder`; `None` where the run has no such file."""
        client = self._store.client
        try:
            with translated():
                return Path(client.download_artifacts(run.run_id, path, str(folder)))
        except RunGoneError:
            return None

    @cached_property
    def _is_database(self) -> bool:
        return scheme(self._store.destination.uri) in DATABASES

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

    def _select(
        self, conditions: Sequence[Any], wanted_tags: Collection[str], wanted_metrics: Collection[str]
    ) -> list[StoredRun]:
        run, tag, last = self._tables.SqlRun, self._tables.SqlTag, self._tables.SqlLatestMetric
        tags: dict[str, dict[str, str]] = {}
        metrics: dict[str, dict[str, float]] = {}
        chosen = [tag.run_uuid.in_(found) for found in conditions]
        for run_id, key, text in self._rows((tag.run_uuid, tag.key, tag.value), chosen, tag.key.in_(list(wanted_tags))):
            tags.setdefault(run_id, {})[key] = text
        numbers = (last.run_uuid, last.key, last.value, last.is_nan)
        chosen = [last.run_uuid.in_(found) for found in conditions]
        for run_id, key, value, is_nan in self._rows(numbers, chosen, last.key.in_(list(wanted_metrics))):
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
            for run_id, experiment, name, status, start, end, artifacts in sorted(
                self._rows(facts, chosen, run.lifecycle_stage == "active"), key=lambda row: (row[4] or 0, row[0])
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

    def _pages(self, condition: str) -> "Iterator[Run]":
        client = self._store.client
        with translated():
            experiments = [found.experiment_id for found in client.search_experiments()]
        token = None
        while True:
            with translated():
                page = client.search_runs(
                    experiments, condition, max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
                )
            yield from page
            token = page.token
            if not token:
                return

    def _points(self, run_ids: Sequence[str], metric: str) -> Iterator[tuple[str, int, float]]:
        if not self._is_database:
            client = self._store.client
            for run_id in run_ids:
                with translated():
                    history = client.get_metric_history(run_id, metric)
                for point in sorted(history, key=lambda point: point.timestamp):
                    yield run_id, point.step, point.value
            return
        point = self._tables.SqlMetric
        columns = (point.run_uuid, point.step, point.value, point.is_nan, point.timestamp)
        for chunk in _chunks(run_ids):
            rows = self._rows(columns, point.run_uuid.in_(chunk), point.key == metric)
            for run_id, step, value, is_nan, _ in sorted(rows, key=lambda row: row[4]):
                yield run_id, step, math.nan if is_nan else value


def _trimmed(run: "Run", tags: Collection[str], metrics: Collection[str]) -> StoredRun:
    info, data = run.info, run.data
    return StoredRun(
        run_id=info.run_id,
        experiment_id=info.experiment_id,
        name=info.run_name or "",
        status=info.status,
        start=(info.start_time or 0) / 1000,
        end=None if info.end_time is None else info.end_time / 1000,
        artifacts=info.artifact_uri or "",
        tags={name: data.tags[name] for name in tags if name in data.tags},
        metrics={name: data.metrics[name] for name in metrics if name in data.metrics},
    )


def _chunks(values: Sequence[str]) -> Iterator[list[str]]:
    for first in range(0, len(values), CHUNK):
        yield list(values[first : first + CHUNK])


def _quoted(value: str) -> str:
    """A value as it may stand between quotes in MLflow's search language, which has no escape: without its own."""
    return value.replace("'", "")
