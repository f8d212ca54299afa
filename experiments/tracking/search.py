"""Many runs of a store at once: their tags, their last metrics, the course of one metric."""

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from experiments.tracking.addresses import DATABASES, SERVERS, scheme
from experiments.tracking.client_reader import ClientReader
from experiments.tracking.database_reader import DatabaseReader
from experiments.tracking.server_reader import ServerReader
from experiments.tracking.store import Store
from experiments.tracking.store_errors import RunGoneError, translated
from experiments.tracking.stored_run import Points, Reader, StoredRun, Wanted


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
        return _oldest_first(self._reader.tagged(tags, Wanted(wanted_tags, wanted_metrics)))

    def named(
        self, run_ids: Sequence[str], *, wanted_tags: Collection[str], wanted_metrics: Collection[str] = ()
    ) -> list[StoredRun]:
        """The runs that have these ids, as far as the store has them, oldest first."""
        return _oldest_first(self._reader.named(run_ids, Wanted(wanted_tags, wanted_metrics)))

    def lost(self, run_ids: Sequence[str]) -> list[str]:
        """Those of these ids that the store does not know; a run in its trash is one that somebody threw away."""
        there = {run.run_id for run in self.named(run_ids, wanted_tags=())}
        return [run_id for run_id in run_ids if run_id not in there and not self._store.knows(run_id)]

    def courses(self, run_ids: Sequence[str], metric: str) -> dict[str, Points]:
        """What runs recorded of a metric, as (step, value) in the order of the steps; of a step the last value."""
        points: dict[str, dict[int, float]] = {}
        for run_id, step, value in self._reader.points(run_ids, metric):
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
    def _reader(self) -> Reader:
        kind = scheme(self._store.destination.uri)
        if kind in DATABASES:
            return DatabaseReader(self._store)
        return ServerReader(self._store) if kind in SERVERS else ClientReader(self._store)


def _oldest_first(runs: list[StoredRun]) -> list[StoredRun]:
    return sorted(runs, key=lambda run: (run.start, run.run_id))
