"""One MLflow store, and what can go wrong with it put into four words: away, refused, gone, deleted.

This module and those that read many runs (`search`) alone call MLflow, and they import it when it is first used: the
import takes two seconds that a run's first steps, and commands that record nothing, should not wait for.
"""

import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.tracking import conditions
from experiments.tracking.addresses import sqlite_file
from experiments.tracking.charts import missing_tags
from experiments.tracking.credentials import masked
from experiments.tracking.entities import Batch, milliseconds
from experiments.tracking.limits import DIGEST_CHARACTERS
from experiments.tracking.locks import exclusive, no_fork
from experiments.tracking.options import Destination
from experiments.tracking.records import DatasetInput, FinalStatus, Status

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

RUN_KEY_TAG = "whydeep.run_key"

# An upload of a large checkpoint is answered later than a batch of numbers.
_PATIENCE = 20
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_LIMIT_EXCEEDED", "NOT_IMPLEMENTED"}
_WORTH_ANOTHER_TRY = {401, 403, 404, 408, 425, 429}

_log = logging.getLogger(__name__)


class StoreAwayError(RuntimeError):
    """The store cannot be reached, is busy or wants other credentials: worth another try later."""


class RefusedError(RuntimeError):
    """The store will never accept this."""


class RunGoneError(RuntimeError):
    """The store does not know this run id (any more)."""


class RunDeletedError(StoreAwayError):
    """Somebody deleted the run in the store; nothing can be added until it is restored."""


@dataclass(frozen=True)
class FetchedRun:
    """A run as the store tells it."""

    run_id: str
    key: str
    name: str
    experiment_id: str
    experiment: str
    status: Status


class Store:
    """The calls that recording needs. Every method raises StoreAwayError, RefusedError or RunGoneError, nothing else.

    Args:
        destination: address and artifact root.
        timeout_seconds: for one request, where the user's environment does not set it.
    """

    def __init__(self, destination: Destination, timeout_seconds: float) -> None:
        self.destination = destination
        self._timeout_seconds = timeout_seconds

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's client; the first use imports MLflow and makes an SQLite store that does not exist yet."""
        with translated(), no_fork():
            return _connect(self.destination, self._timeout_seconds)

    def answers(self) -> bool:
        """Whether the store can be reached at all."""
        try:
            client = self.client
            with translated():
                client.search_experiments(max_results=1)
        except StoreAwayError:
            return False
        return True

    @property
    def patience(self) -> int:
        """Seconds to wait for an answer that takes the store long: an upload, a thousand runs."""
        return max(round(self._timeout_seconds * _PATIENCE), int(os.environ.get(_TIMEOUT, "0")))

    def experiment_ids(self) -> list[str]:
        """The ids of all experiments that are not deleted."""
        client = self.client
        found: list[str] = []
        token = None
        while True:
            with translated():
                page = client.search_experiments(page_token=token)
            found += [experiment.experiment_id for experiment in page]
            token = page.token
            if not token:
                return found

    def experiment_id(self, name: str) -> str:
        """The id of an experiment, made where it does not exist, with the charts of its pages."""
        client = self.client
        with translated():
            found = client.get_experiment_by_name(name)
            if found is None:
                root = self.destination.artifact_root
                location = None if root is None else f"{root.rstrip('/')}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}"
                try:
                    found = client.get_experiment(client.create_experiment(name, artifact_location=location))
                except Exception:
                    # Another process may have made it between the two calls.
                    found = client.get_experiment_by_name(name)
                    if found is None:
                        raise
        if found.lifecycle_stage == "deleted":
            raise StoreAwayError(
                f"experiment {name!r} is deleted in the store; restore it with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}` or choose another experiment"
            )
        self._add_charts(found)
        return str(found.experiment_id)

    def _add_charts(self, experiment: "Experiment") -> None:
        """Write the tags that show charts in the experiment's pages; a run goes on without them."""
        for key, value in missing_tags(experiment.experiment_id, experiment.tags).items():
            try:
                self.tag_experiment(experiment.experiment_id, key, value)
            except (StoreAwayError, RefusedError, RunGoneError) as error:
                _log.warning("experiment %r goes without the tag %s: %s", experiment.name, key, error)

    def tag_experiment(self, experiment_id: str, key: str, value: str) -> None:
        """Set a tag of an experiment."""
        client = self.client
        try:
            with translated():
                client.set_experiment_tag(experiment_id, key, value)
        except (StoreAwayError, RefusedError, RunGoneError):
            # Of two processes that make the same tag at once one fails; the second time the tag is there.
            with translated():
                client.set_experiment_tag(experiment_id, key, value)

    def tag_run(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run that has ended, beside what it recorded itself."""
        client = self.client
        for key, value in tags.items():
            with translated():
                client.set_tag(run_id, key, value)

    def runs_with_key(self, experiment_id: str, key: str) -> list[str]:
        """The ids of the runs that carry a run key, first made first; more than one only after a lost answer."""
        client = self.client
        with translated():
            found = client.search_runs(
                [experiment_id], conditions.tagged({RUN_KEY_TAG: key}), order_by=["start_time ASC"]
            )
            return [run.info.run_id for run in found]

    def create_run(self, experiment_id: str, key: str, name: str, start: float) -> str:
        """Make a run and return its id; ``start`` in seconds since the epoch."""
        client = self.client
        with translated():
            run = client.create_run(
                experiment_id, start_time=milliseconds(start), run_name=name, tags={RUN_KEY_TAG: key}
            )
            return str(run.info.run_id)

    def delete_run(self, run_id: str) -> None:
        """Move a run to the store's trash."""
        client = self.client
        with translated():
            client.delete_run(run_id)

    def check_writable(self, run_id: str) -> None:
        """Tell a deleted run from a refused record.

        Raises:
            RunDeletedError: the run is in the store's trash.
        """
        client = self.client
        with translated():
            run = client.get_run(run_id)
        if run.info.lifecycle_stage == "deleted":
            raise RunDeletedError(f"run {run_id} is deleted in the store; restore it there to record more")

    def log_batch(self, run_id: str, batch: Batch) -> None:
        """Send metrics, parameters and tags in one call."""
        client = self.client
        with translated():
            client.log_batch(run_id, batch.metrics, batch.params, batch.tags)

    def delete_tag(self, run_id: str, name: str) -> None:
        """Take a tag away; no matter if it was not there."""
        client = self.client
        try:
            with translated():
                client.delete_tag(run_id, name)
        except (RunGoneError, RefusedError):
            # MLflow has the same answer for "no such tag" and "no such run"; the next call tells them apart.
            return

    def log_dataset(self, run_id: str, dataset: DatasetInput) -> None:
        """Record a data set that the run read; MLflow keeps the first 36 characters of its digest."""
        client = self.client
        from mlflow import entities  # noqa: PLC0415 - MLflow is imported late, as the module says

        described = entities.Dataset(
            name=dataset.name,
            digest=dataset.digest[:DIGEST_CHARACTERS],
            source_type="local",
            source=dataset.source,
            schema=dataset.schema,
            profile=dataset.profile,
        )
        context = entities.InputTag("mlflow.data.context", dataset.context)
        with translated():
            client.log_inputs(run_id, [entities.DatasetInput(described, [context])])

    def log_artifact(self, run_id: str, path: Path, folder: str) -> None:
        """Upload a file, or what is in a folder."""
        client = self.client
        if not path.exists():
            raise RefusedError(f"{path}: no such file any more")
        with translated(), _patient_http(self.patience):
            if path.is_dir():
                client.log_artifacts(run_id, str(path), folder or None)
            else:
                client.log_artifact(run_id, str(path), folder or None)

    def set_running(self, run_id: str) -> None:
        """A run that had ended goes on."""
        client = self.client
        with translated():
            client.update_run(run_id, status="RUNNING")

    def set_ended(self, run_id: str, status: FinalStatus, end: float) -> None:
        """A run has ended, at ``end`` seconds since the epoch."""
        client = self.client
        with translated():
            client.set_terminated(run_id, status, milliseconds(end))

    def find_runs(self, reference: str) -> list[FetchedRun]:
        """The runs that have this id, or else this name, in any experiment."""
        client = self.client
        with translated():
            experiments = {found.experiment_id: found.name for found in client.search_experiments()}
            if re.fullmatch(r"[0-9a-f]{32}", reference):
                runs = [client.get_run(reference)]
            else:
                named = conditions.equals("attributes.run_name", reference)
                runs = list(client.search_runs(list(experiments), named, max_results=20))
                runs = [run for run in runs if run.info.run_name == reference]
        return [
            FetchedRun(
                run_id=run.info.run_id,
                key=run.data.tags.get(RUN_KEY_TAG, run.info.run_id),
                name=run.info.run_name,
                experiment_id=run.info.experiment_id,
                experiment=experiments.get(run.info.experiment_id, ""),
                # MLflow's SCHEDULED is not ours.
                status=run.info.status if run.info.status in {"FINISHED", "FAILED", "KILLED"} else "RUNNING",
            )
            for run in runs
        ]

    def download_artifacts(self, run_id: str, folder: Path) -> None:
        """Fetch all artifacts of a run."""
        client = self.client
        with translated(), _patient_http(self.patience):
            client.download_artifacts(run_id, "", str(folder))


def _connect(destination: Destination, timeout_seconds: float) -> "MlflowClient":
    # Set, not forced: whoever has set them knows why. MLflow's own retries (minutes) would hide a store that is away,
    # and nothing about a training leaves the machine unasked.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault(_TIMEOUT, str(max(1, round(timeout_seconds))))
    from mlflow import MlflowClient  # noqa: PLC0415 - MLflow is imported late, as the module says

    for noisy, level in (("mlflow.store.db.utils", logging.CRITICAL), ("alembic", logging.WARNING)):
        if logging.getLogger(noisy).level == logging.NOTSET:
            logging.getLogger(noisy).setLevel(level)
    file = sqlite_file(destination.uri)
    if file is not None:
        _make_sqlite(file, destination.artifact_root)
    return MlflowClient(destination.uri)


def _make_sqlite(file: Path, artifact_root: str | None) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - see above

    file.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that make the tables at once both fail, hence the lock; a process killed half way would leave tables
    # that nobody can complete, hence the draft.
    with exclusive(file.with_name(f"{file.name}.lock")):
        if file.exists() and file.stat().st_size > 0:
            return
        draft = file.with_name(f"{file.name}.draft")
        for left in file.parent.glob(f"{draft.name}*"):
            left.unlink()
        store = SqlAlchemyStore(f"sqlite:///{draft}", artifact_root)  # type: ignore[no-untyped-call]
        store.engine.dispose()
        # With a write-ahead log the pages of the UI can be read while runs are written.
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        draft.replace(file)


@contextmanager
def _patient_http(seconds: int) -> Iterator[None]:
    usual = os.environ.get(_TIMEOUT)
    os.environ[_TIMEOUT] = str(seconds)
    try:
        yield
    finally:
        if usual is not None:
            os.environ[_TIMEOUT] = usual


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever MLflow and its drivers raise into the four errors of this module."""
    try:
        yield
    except (StoreAwayError, RefusedError, RunGoneError):
        raise
    except Exception as error:
        # Data base drivers, object stores and HTTP libraries each bring errors of their own, and a store that cannot be
        # written must never end a training: what is not known to be final is tried again.
        code = getattr(error, "error_code", None)
        answer = getattr(getattr(error, "response", None), "status_code", None)
        text = _in_short(error)
        if code == "RESOURCE_DOES_NOT_EXIST":
            raise RunGoneError(text) from error
        if code in _REFUSALS or (answer is not None and 400 <= answer < 500 and answer not in _WORTH_ANOTHER_TRY):  # noqa: PLR2004 - HTTP
            raise RefusedError(text) from error
        raise StoreAwayError(text) from error


def _in_short(error: Exception) -> str:
    """One line: of a request that failed, what the system said, without the layers that passed it on."""
    text = masked(" ".join(str(error).split()))
    if "Max retries exceeded" in text or "Connection" in type(error).__name__:
        if found := re.search(r"\[Errno -?\d+\] ([^'\")\]]+)", text):
            return found[1].strip()
        if "timed out" in text.lower():
            return "the request timed out"
    return text[:500] or type(error).__name__
