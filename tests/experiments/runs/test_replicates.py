"""Which runs tell how much a recorded result varies."""

import json
from pathlib import Path

from omegaconf import OmegaConf

from experiments.runs.likeness import Spread
from experiments.runs.replicates import recorded_spread
from experiments.runs.result import RunResult, Status
from experiments.tracking.card import CardFile, RunCard


def make(
    runs_dir: Path,
    name: str,
    seed: int,
    error: float,
    *,
    decay: float = 0.1,
    code: str = "code",
    status: Status = "FINISHED",
) -> Path:
    run_dir = runs_dir / name
    run_dir.mkdir(parents=True)
    CardFile(run_dir, RunCard(key=name, name=name, experiment="whydeep", status=status)).update()
    cfg = {"seed": seed, "datamodule": {"seed": seed}, "optimizer": {"weight_decay": decay}, "runs_dir": str(run_dir)}
    (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(cfg)))
    (run_dir / "identity.json").write_text(json.dumps({"code": code, "data": "data"}))
    RunResult(
        run_dir, None, "identity", name, status, seed, {"model": "vgg"}, (1, 8, 8), {"test/top1_error": error}
    ).write()
    return run_dir


def test_finished_runs_of_other_seeds_and_nothing_else_count(tmp_path: Path) -> None:
    own = make(tmp_path, "own", 0, 1.0)
    assert recorded_spread(tmp_path, own) is None
    make(tmp_path, "one", 1, 2.0)
    make(tmp_path, "own-2", 0, 1.0)  # it again
    make(tmp_path, "other", 2, 90.0, decay=0.2)
    make(tmp_path, "changed", 3, 90.0, code="other")
    make(tmp_path, "failed", 4, 90.0, status="FAILED")
    (make(tmp_path, "damaged", 5, 90.0) / "config.yaml").write_text("- a list")
    (make(tmp_path, "broken", 6, 90.0) / "result.json").write_text("{")
    assert recorded_spread(tmp_path, own) is None
    make(tmp_path / "study", "two", 7, 3.0)
    make(tmp_path / "study", "two-2", 7, 3.0)
    assert recorded_spread(tmp_path, own) == Spread(1.0, 3)
