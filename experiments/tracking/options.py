"""Where and how runs are recorded: the choices, and what they come to."""

import os
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import UserError
from experiments.tracking.addresses import DATABASES, check_uri, check_usable, scheme, sqlite_file
from experiments.tracking.card import FILE_NAME as CARD_FILE
from experiments.tracking.credentials import masked_address


@dataclass(frozen=True)
class Destination:
    """One MLflow store.

    Attributes:
        uri: its address.
        artifact_root: folder or address for the artifacts of new experiments; None leaves it to the server.
    """

    uri: str
    artifact_root: str | None

    @property
    def shown_uri(self) -> str:
        """The address without a password: fit to be printed, and kept in files that are passed on."""
        return masked_address(self.uri)

    @property
    def pages(self) -> str | None:
        """Where the pages of a tracking server are; `None` for a store without a server."""
        uri = self.shown_uri
        return uri.rstrip("/") if uri.startswith(("http://", "https://")) else None


@dataclass(frozen=True)
class TrackingOptions:
    """How a run is recorded. Everything goes into a journal in the run's own directory first, then to MLflow.

    Attributes:
        uri: the MLflow store; None for ``$MLFLOW_TRACKING_URI`` where that is set, else SQLite at
            ``<runs_dir>/mlflow.db``.
        artifact_root: where a new experiment's artifacts go; None for the server's own choice, or
            ``<runs_dir>/artifacts`` with a data base.
        experiment: the MLflow experiment, made when it does not exist.
        runs_dir: the folder of all runs.
        deliver: False keeps the journal only; ``whydeep sync`` can send it later.
        interval_seconds: time between two deliveries.
        flush_seconds: how long the end of a run waits, at most, until all is sent.
        timeout_seconds: how long a tracking server may take for one answer, unless ``$MLFLOW_HTTP_REQUEST_TIMEOUT``
            says so.

    Raises:
        UserError: a value that cannot be.
    """

    uri: str | None = None
    artifact_root: str | None = None
    experiment: str = "whydeep"
    runs_dir: str = "runs"
    deliver: bool = True
    interval_seconds: float = 5.0
    flush_seconds: float = 30.0
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.uri is not None:
            check_uri(self.uri, "tracking.uri")
        if not self.experiment.strip():
            raise UserError(f"experiment={self.experiment!r}: an experiment needs a name")
        for key, least in (("interval_seconds", 0.05), ("flush_seconds", 0.0), ("timeout_seconds", 1.0)):
            if not getattr(self, key) >= least:
                raise UserError(f"tracking.{key}={getattr(self, key)}: allowed are seconds from {least:g} up")

    def destination(self) -> Destination:
        """The store that these options come to, here and now.

        Raises:
            UserError: ``$MLFLOW_TRACKING_URI`` names a store that cannot be used.
        """
        uri = self.uri
        if uri is None and (named := os.environ.get("MLFLOW_TRACKING_URI")):
            check_uri(named, "MLFLOW_TRACKING_URI")
            uri = named
        runs_dir = Path(self.runs_dir).resolve()
        if uri is None:
            uri = f"sqlite:///{runs_dir / 'mlflow.db'}"
        elif (file := sqlite_file(uri)) is not None:
            uri = f"sqlite:///{file}"
        artifact_root = self.artifact_root
        if artifact_root is None and scheme(uri) in DATABASES:
            artifact_root = str(runs_dir / "artifacts")
        elif artifact_root is not None and "://" not in artifact_root:
            artifact_root = str(Path(artifact_root).resolve())
        return Destination(uri, artifact_root)

    def check(self) -> None:
        """Refuse a store that can never work on this machine.

        Raises:
            UserError: one line; a store that is merely down is not refused.
        """
        uri = self.destination().uri
        if self.uri is not None:
            check_usable(uri, "tracking.uri")
        elif os.environ.get("MLFLOW_TRACKING_URI"):
            check_usable(uri, "MLFLOW_TRACKING_URI")
        else:
            check_usable(uri, f"runs_dir={self.runs_dir}: store")


def recorded_there(runs_dir: str, uri: str | None = None, artifact_root: str | None = None) -> TrackingOptions:
    """Return the options of a store that has been written to.

    Raises:
        UserError: it can never work on this machine, or nothing is in it yet.
    """
    options = TrackingOptions(uri=uri, artifact_root=artifact_root, runs_dir=runs_dir)
    options.check()
    file = sqlite_file(options.destination().uri)
    if file is not None and not file.exists():
        folder = Path(runs_dir)
        cure = "" if folder.is_dir() else "; there is no such folder"
        if any(folder.glob(f"*/{CARD_FILE}")):
            cure = f"; `whydeep sync runs_dir={runs_dir} uri=sqlite:///{file.resolve()}` sends the runs that lie there"
        raise UserError(f"runs_dir={runs_dir}: nothing is recorded in {file} yet{cure}")
    return options
