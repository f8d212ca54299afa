"""One MLflow store: the calls that recording needs.

This module, `connection` and those that read many runs (`search`) alone call MLflow, and they import it when it is
first used.
"""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.tracking import conditions
from experiments.tracking.charts import missing_tags
from experiments.tracking.connection import TIMEOUT, connect, patient_http
from experiments.tracking.entities import Batch, milliseconds
from experiments.tracking.limits import DIGEST_CHARACTERS
from experiments.tracking.locks import no_fork
from experiments.tracking.options import Destination
from experiments.tracking.records import DatasetInput, FinalStatus, Status
from experiments.tracking.store_errors import RefusedError, RunDeletedError, RunGoneError, StoreAwayError, translated

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

RUN_KEY_TAG = "whydeep.run_key"

_PATIENCE = 20  # an upload of a large checkpoint is answered later than a batch of numbers

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchedRun:
    """A run as the store tells it."""

    run_id: str
    key: str
    name: str
    experiment_id: str
    experiment: str
    status: Status


@dataclass(frozen=True)
class ModelVersion:
    """A version of a registered model as the store tells it: `place` is where its files lie, `created` a time."""

    name: str
    number: str
    place: str
    created: int
    run_id: str | None


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
            return connect(self.destination, self._timeout_seconds)

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
        return max(round(self._timeout_seconds * _PATIENCE), int(os.environ.get(TIMEOUT, "0")))

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

    def knows(self, run_id: str) -> bool:
        """Whether the store has the run, be it in its trash."""
        client = self.client
        try:
            with translated():
                client.get_run(run_id)
        except RunGoneError:
            return False
        return True

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
        with translated(), patient_http(self.patience):
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
                # The condition may hold for other names too.
                runs = list(client.search_runs(list(experiments), named))
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
        with translated(), patient_http(self.patience):
            client.download_artifacts(run_id, "", str(folder))

    def model_version(self, name: str, *, version: str | None, alias: str | None) -> ModelVersion:
        """A version of a registered model, by its number or by an alias."""
        client = self.client
        with translated():
            if version is None:
                found = client.get_model_version_by_alias(name, str(alias))
            else:
                found = client.get_model_version(name, version)
            return ModelVersion(
                name=found.name,
                number=str(found.version),
                # Of a model that a run logged, the registry has a name; this is where its files lie.
                place=client.get_model_version_download_uri(name, str(found.version)),
                created=int(found.creation_timestamp),
                run_id=found.run_id or None,
            )

    def download(self, place: str, folder: Path) -> None:
        """Fetch the files that lie at an address of the store's."""
        uri = self.destination.uri
        _ = self.client
        from mlflow.artifacts import download_artifacts  # noqa: PLC0415 - MLflow is imported late, as the module says

        folder.mkdir(parents=True, exist_ok=True)
        with translated(), patient_http(self.patience):
            download_artifacts(artifact_uri=place, dst_path=str(folder), tracking_uri=uri, registry_uri=uri)
