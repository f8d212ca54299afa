"""What runs leave behind, as the tests read it: directories, results, weights, and MLflow's records."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import torch


def run_dirs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in (folder / "runs").glob("*/config.yaml"))


def result(run_dir: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((run_dir / "result.json").read_text())
    return content


def weights(run_dir: Path, checkpoint: str = "last") -> dict[str, torch.Tensor]:
    content = torch.load(run_dir / "checkpoints" / f"{checkpoint}.ckpt", weights_only=True)
    state: dict[str, torch.Tensor] = content["state_dict"]
    return state


def recorded(folder: Path, run_id: str) -> mlflow.entities.Run:
    return mlflow.MlflowClient(f"sqlite:///{folder / 'runs' / 'mlflow.db'}").get_run(run_id)


def history(folder: Path, run_id: str, metric: str) -> list[tuple[int, float]]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
    return sorted((point.step, point.value) for point in client.get_metric_history(run_id, metric))


def until(condition: Callable[[], bool], seconds: float = 120, *, must: bool = True) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            assert not must, "nothing happened in time"
            return
        time.sleep(0.02)
