"""One run of a study, as it is handed to whatever process executes it; and what comes back."""

import json
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from experiments.runs.result import RunResult

# BUSY: another process writes the run, and nothing was done.
JobStatus = Literal["FINISHED", "FAILED", "KILLED", "BUSY"]


@dataclass(frozen=True)
class Job:
    """What a process needs to know to execute one run; all of it plain data.

    Attributes:
        arm, seed: of the replicate.
        config: the composed configuration, resolved.
        command: the command line that makes the same run alone.
        folder: keeps the files of the study's jobs; every process that executes one must see it.
        name, tags: of the run in the tracking store.
        parent: the process that waits for it, as `pid@host`.
        execution: which of the study's executions it belongs to. Jobs of an earlier one may still wait in a cluster's
            queue: they have files of their own, and are stopped on their own.
    """

    arm: str
    seed: int
    config: dict[str, Any]
    command: tuple[str, ...]
    folder: str
    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    parent: str = field(default_factory=lambda: f"{os.getpid()}@{socket.gethostname()}")
    execution: str = ""

    def file(self, suffix: str) -> Path:
        """Return one of the job's files: `job` (this), `progress`, `outcome`, `log`."""
        own = f"-{self.execution}" if self.execution and suffix in ("job", "outcome") else ""
        return Path(self.folder) / f"{self.arm}-seed{self.seed}{own}.{suffix}"

    @property
    def stop_file(self) -> Path:
        """While it exists, jobs of this execution that are out of reach of a signal stop."""
        return Path(self.folder) / (f"stop-{self.execution}" if self.execution else "stop")

    def write(self) -> Path:
        """Write the job for another process; return the file."""
        path = self.file("job")
        _write(path, asdict(self))
        return path

    @classmethod
    def read(cls, path: Path) -> "Job":
        """Return the job in a file."""
        content = json.loads(path.read_text(encoding="utf-8"))
        content["command"] = tuple(content["command"])
        return cls(**content)


@dataclass(frozen=True)
class JobOutcome:
    """What became of a job.

    Attributes:
        status: of this attempt.
        result: of the run, where there is one.
        reason: why it did not finish, in one line.
        crashed: the machine may be the cause: it may go well the next time.
        signal_number: of the signal that stopped it.
        log: the last lines of its log, where it failed.
        seconds: it took, everything included.
    """

    status: JobStatus
    result: "RunResult | None" = None
    reason: str | None = None
    crashed: bool = False
    signal_number: int | None = None
    log: str = ""
    seconds: float = 0.0

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        content = {name: value for name, value in vars(self).items() if name != "result"}
        if self.result is not None:
            content["result"] = {**asdict(self.result), "run_dir": str(self.result.run_dir)}
        _write(path, content)

    @classmethod
    def read(cls, path: Path) -> "JobOutcome | None":
        """Return the outcome in a file; `None` where there is none yet."""
        from experiments.runs.result import RunResult  # noqa: PLC0415 - workers set their environment first

        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if (result := content.pop("result", None)) is not None:
            result["run_dir"], result["input_shape"] = Path(result["run_dir"]), tuple(result["input_shape"])
            content["result"] = RunResult(**result)
        return cls(**content)


def perform(job: Job, *, progress: bool = False) -> JobOutcome:
    """Execute `job` in this process; whatever goes wrong in it is its outcome.

    Args:
        job: what is executed.
        progress: show epochs and errors while training.
    """
    from omegaconf import OmegaConf  # noqa: PLC0415 - workers set their environment first

    from experiments.runs import asked  # noqa: PLC0415
    from experiments.runs.callbacks import RunFailed, RunKilled  # noqa: PLC0415
    from experiments.runs.causes import is_crash  # noqa: PLC0415
    from experiments.runs.execute import execute  # noqa: PLC0415
    from experiments.runs.label import Label  # noqa: PLC0415
    from experiments.runs.leases import leased  # noqa: PLC0415
    from experiments.runs.log import LOG_FILE, last_lines  # noqa: PLC0415
    from experiments.tracking.opening import BusyError  # noqa: PLC0415

    began = time.perf_counter()

    def ended(status: JobStatus, error: BaseException | None = None, **more: Any) -> JobOutcome:  # noqa: ANN401
        reason = None if error is None else reason_of(error)
        return JobOutcome(status, reason=reason, seconds=time.perf_counter() - began, **more)

    try:
        with leased(OmegaConf.create(job.config)) as cfg:
            result = execute(
                cfg,
                progress=progress,
                heartbeat=job.file("progress"),
                command=job.command,
                label=Label(job.name, job.tags),
            )
    except (RunKilled, KeyboardInterrupt) as killed:
        told = killed if isinstance(killed, RunKilled) else RunKilled(signal.SIGINT)
        return ended("KILLED", told, result=told.result, signal_number=told.signal_number)
    except BusyError as busy:
        if (number := asked.stopped_by()) is not None:
            return ended("KILLED", RunKilled(number), signal_number=number)
        return ended("BUSY", busy)
    except Exception as error:  # noqa: BLE001 - whatever ends one run, the others go on
        recorded = error.result if isinstance(error, RunFailed) else None
        log = "" if recorded is None else last_lines(recorded.run_dir / LOG_FILE)
        return ended("FAILED", error, result=recorded, crashed=is_crash(error), log=log)
    return ended("FINISHED", result=result)


def reason_of(error: BaseException) -> str:
    """Say in one line what ended a run; the class of an exception that was not made to be read by a person, too."""
    from experiments.errors import UserError  # noqa: PLC0415
    from experiments.runs.callbacks import RunFailed, RunKilled  # noqa: PLC0415
    from experiments.tracking.credentials import masked  # noqa: PLC0415

    text = masked(" ".join(str(error).split()))
    if isinstance(error, RunFailed | RunKilled | UserError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _write(path: Path, content: object) -> None:
    fresh = path.with_name(f"{path.name}.new")
    # A configuration may hold the password of the tracking store.
    with open(fresh, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump(content, file)
    fresh.replace(path)
