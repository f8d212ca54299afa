"""A job of a study: plain data on its way, and what comes back of it."""

from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from experiments.runs import attempts
from experiments.runs.build import assemble
from experiments.runs.execute import identity_of
from experiments.runs.heartbeat import Beat
from experiments.runs.label import Label
from experiments.studies.execution import jobs_of
from experiments.studies.job import Job, JobOutcome, perform
from experiments.studies.plan import PlannedRun
from experiments.tracking.locks import RunLock
from tests.experiments.studies.made_up_jobs import CRASH, arm, result
from tests.experiments.studies.toy_study import toy_jobs


def test_a_run_found_locked_is_busy_at_once(tmp_path: Path) -> None:
    (job,) = toy_jobs(tmp_path, 1, ("tracking=local",), {"narrow": ("model.network.widths=[4,4]",)})
    run_dir = attempts.latest(tmp_path / "runs", identified(job))
    run_dir.mkdir(parents=True)
    lock = RunLock(run_dir)
    outcome = perform(job)
    lock.release()
    assert outcome.status == "BUSY"
    assert Beat.read(job.file("progress")) is not None


def test_the_folder_of_another_identity_is_not_taken_for_the_runs_own(tmp_path: Path) -> None:
    (job,) = toy_jobs(tmp_path, 1, ("tracking=local",), {"narrow": ("model.network.widths=[4,4]",)})
    run_dir = attempts.latest(tmp_path / "runs", identified(job))
    run_dir.mkdir(parents=True)
    replace(result(job), run_dir=run_dir).write()
    outcome = perform(job)
    assert outcome.status == "FAILED"
    assert str(outcome.reason).startswith(f"{run_dir}: holds a run of another identity (i, not ")


def identified(job: Job) -> str:
    """Return the name of the run's directory."""
    assembly = assemble(OmegaConf.create(job.config))
    return attempts.stem(assembly.cfg.choices, job.seed, identity_of(assembly).digest)


def test_jobs_are_plain_and_labelled(tmp_path: Path) -> None:
    planned = [PlannedRun(arm("x.y", a={"b": [1, 2]}, c="${a.b}"), 7)]
    (job,) = jobs_of(planned, tmp_path / "jobs", lambda one: Label(f"{one.arm} {one.seed}", {"whydeep.arm": one.arm}))
    assert job.config == {"seed": 7, "a": {"b": [1, 2]}, "c": [1, 2]}
    assert (job.name, job.tags) == ("x.y 7", {"whydeep.arm": "x.y"})
    assert Job.read(job.write()) == job


def test_outcomes_come_back_whole(tmp_path: Path) -> None:
    job = Job("a", 1, {}, (), "")
    for outcome in (CRASH, JobOutcome("FINISHED", result(job), seconds=1.5), JobOutcome("FAILED", log="x\ny")):
        outcome.write(tmp_path / "outcome")
        assert JobOutcome.read(tmp_path / "outcome") == outcome
    assert JobOutcome.read(tmp_path / "none") is None
