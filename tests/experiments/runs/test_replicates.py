"""Which runs tell how much a recorded result varies."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
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
    identity: str = "identity",
    start: str | None = None,
) -> Path:
    run_dir = runs_dir / name
    run_dir.mkdir(parents=True)
    CardFile(run_dir, RunCard(key=name, name=name, experiment="whydeep", status=status)).update()
    cfg = {
        "seed": seed,
        "datamodule": {"seed": seed},
        "optimizer": {"weight_decay": decay},
        "runs_dir": str(run_dir),
        "model": {"weights_identity": start},
    }
    (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(cfg)))
    (run_dir / "identity.json").write_text(json.dumps({"code": code, "data": "data"}))
    RunResult(
        run_dir, None, identity, name, status, seed, {"model": "vgg"}, (1, 8, 8), {"test/top1_error": error}
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


def pretrained(runs_dir: Path, seed: int, error: float) -> tuple[Path, Path]:
    """Return a run that starts from one which its study trained under the same seed, and that one."""
    identity = f"{seed:064x}"
    before = make(runs_dir, f"vgg-seed{seed}-{identity[:10]}", seed, 90.0, decay=0.9, identity=identity)
    return make(runs_dir, f"vgg-seed{seed}-{'f' * 10}", seed, error, start=identity), before


def test_a_folder_is_listed_once_however_many_runs_start_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, *_ = (pretrained(tmp_path, seed, float(seed))[0] for seed in (1, 2, 3))
    listed: list[Path] = []

    def counted(name: str) -> Callable[..., Iterator[Path]]:
        real = getattr(Path, name)

        def listing(folder: Path, *arguments: str) -> Iterator[Path]:
            listed.append(folder)
            return iter(real(folder, *arguments))

        return listing

    for name in ("glob", "iterdir"):
        monkeypatch.setattr(Path, name, counted(name))
    assert recorded_spread(tmp_path, own) == Spread(1.0, 3)
    assert listed == [tmp_path]


def test_a_damaged_start_is_nobodys_and_loses_nothing(tmp_path: Path) -> None:
    runs = [pretrained(tmp_path, seed, float(seed)) for seed in (1, 2, 3, 4)]
    (runs[3][1] / "result.json").write_text("{")
    assert recorded_spread(tmp_path, runs[0][0]) == Spread(1.0, 3)
    (runs[0][1] / "result.json").write_text("{")
    assert recorded_spread(tmp_path, runs[0][0]) is None
