"""A ready SQLite store to copy (making one takes seconds), and what reads it back."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.tracking.options import Destination, TrackingOptions
from experiments.tracking.store import Store


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    file = folder / "mlflow.db"
    store = Store(Destination(f"sqlite:///{file}", str(folder / "artifacts")), timeout_seconds=5.0)
    assert store.answers()
    return file


@pytest.fixture
def runs_dir(tmp_path: Path, empty_store: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copyfile(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture
def options(runs_dir: Path) -> TrackingOptions:
    return TrackingOptions(runs_dir=str(runs_dir), experiment="study", interval_seconds=0.05, flush_seconds=30.0)


@pytest.fixture
def client(runs_dir: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{runs_dir}/mlflow.db")


@pytest.fixture
def study_runs(client: MlflowClient) -> Callable[[], list[Run]]:
    """Read the runs of the experiment that the options name."""

    def read() -> list[Run]:
        experiment = client.get_experiment_by_name("study")
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id]))

    return read


@pytest.fixture
def history(client: MlflowClient) -> Callable[[str, str], list[tuple[int, float]]]:
    def read(run_id: str, key: str) -> list[tuple[int, float]]:
        return sorted((point.step, point.value) for point in client.get_metric_history(run_id, key))

    return read
