"""Starting the command line as a person does: as a process of its own."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.experiments.prepared import Command, Prepared

REPOSITORY = Path(__file__).resolve().parents[2]
# A run of a second: the small network of the demo on the original 8 px digits.
TOY = ("model=conv5x5", "datamodule.image_size=8", "trainer.max_epochs=2", "model.network.widths=[8,8]")

Whydeep = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[[Sequence[str]], Command]


def environment() -> dict[str, str]:
    """Return the environment of a user's process, with one thread, so that tests can run side by side."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTEST_"))}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture(scope="session")
def prepared() -> Iterator[Prepared]:
    """Return a process with the libraries imported, from which commands are forked."""
    process = Prepared(environment())
    yield process
    process.close()


@pytest.fixture
def whydeep(prepared: Prepared, tmp_path: Path) -> Whydeep:
    """Return a function that runs `whydeep ARGUMENTS` in `tmp_path` and returns the finished process."""

    def run(*arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return prepared.run(arguments, tmp_path, environment(), timeout)

    return run


@pytest.fixture(scope="session")
def toy_run(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a finished toy run, computed with one thread; tests copy what they would change."""
    folder = tmp_path_factory.mktemp("toy_run")
    done = prepared.run(["train", *TOY, "tracking=local"], folder, environment(), timeout=240)
    assert done.returncode == 0, done.stderr
    (config,) = folder.glob("runs/*/config.yaml")
    return config.parent


@pytest.fixture
def start(prepared: Prepared, tmp_path: Path) -> Start:
    """Return a function that starts `whydeep ARGUMENTS` in `tmp_path` and does not wait for it."""
    return lambda arguments: prepared.start(arguments, tmp_path, environment())
