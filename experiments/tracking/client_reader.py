"""Many runs read by MLflow's client, page by page: the way that every kind of store knows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from experiments.tracking import conditions
from experiments.tracking.store import Store
from experiments.tracking.store_errors import translated
from experiments.tracking.stored_run import StoredRun, Wanted, chunks

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = 1000  # runs of one answer
CHUNK = 500  # run ids of one condition


class ClientReader:
    """Reads from one store; see `stored_run.Reader`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def tagged(self, tags: Mapping[str, str], wanted: Wanted) -> list[StoredRun]:
        """The runs that carry all of `tags`."""
        found = self._pages(conditions.tagged(tags))
        return [_trimmed(run, wanted) for run in found if tags.items() <= run.data.tags.items()]

    def named(self, run_ids: Sequence[str], wanted: Wanted) -> list[StoredRun]:
        """The runs that have these ids."""
        return [
            _trimmed(run, wanted)
            for chunk in chunks(run_ids, CHUNK)
            for run in self._pages(conditions.has_id_of(chunk))
        ]

    def points(self, run_ids: Sequence[str], metric: str) -> Iterator[tuple[str, int, float]]:
        """Run id, step and value of what runs recorded of a metric."""
        client = self._store.client
        for run_id in run_ids:
            with translated():
                history = client.get_metric_history(run_id, metric)
            for point in sorted(history, key=lambda point: point.timestamp):
                yield run_id, point.step, point.value

    def _pages(self, condition: str) -> "Iterator[Run]":
        client = self._store.client
        experiments = self._store.experiment_ids()
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


def _trimmed(run: "Run", wanted: Wanted) -> StoredRun:
    info, data = run.info, run.data
    return StoredRun(
        run_id=info.run_id,
        experiment_id=info.experiment_id,
        name=info.run_name or "",
        status=info.status,
        start=(info.start_time or 0) / 1000,
        end=None if info.end_time is None else info.end_time / 1000,
        artifacts=info.artifact_uri or "",
        tags={name: data.tags[name] for name in wanted.tags if name in data.tags},
        metrics={name: data.metrics[name] for name in wanted.metrics if name in data.metrics},
    )
