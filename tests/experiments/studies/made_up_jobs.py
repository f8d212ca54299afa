"""Arms, results and outcomes that nobody computed, to execute jobs with."""

from pathlib import Path

from omegaconf import OmegaConf

from experiments.runs.result import RunResult
from experiments.studies.budget import Share
from experiments.studies.composing import Sources
from experiments.studies.factors import Cell
from experiments.studies.job import Job, JobOutcome
from experiments.studies.plan import PlannedArm

METRIC = "test/top1_error"
CRASH = JobOutcome("FAILED", reason="its process was killed by SIGKILL", crashed=True)


def arm(name: str, **cfg: object) -> PlannedArm:
    cell = Cell(name, (), {}, is_baseline=name == "a")
    return PlannedArm(
        cell, Sources(cell.name, (), (), ()), (), Share(), OmegaConf.create({"seed": 0, **cfg}), ("seed",)
    )


def result(job: Job, *, skipped: bool = False) -> RunResult:
    metrics = {METRIC: 1.5}
    return RunResult(
        Path("runs/x"), "1234", "i", "x", "FINISHED", job.seed, {}, (1, 8, 8), metrics=metrics, skipped=skipped
    )
