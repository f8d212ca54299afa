"""One job of a study where one of Hydra's launchers runs it; torch is not imported before its environment is set."""

import contextlib
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from experiments.studies.job import Job, JobOutcome, perform

CONFIG_NAME = "whydeep_job"
NODE: dict[str, Any] = {"job": "???"}
POLL_SECONDS = 1.0
# One job is one run: that it was itself started as a task of several is not for the run to know.
OF_LAUNCHERS = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NODEID")
OF_RANKS = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")


def run_file(cfg: DictConfig) -> str:
    """Execute the job in the file `cfg.job`, and write its outcome beside it; return its status."""
    for name in (*OF_LAUNCHERS, *OF_RANKS):
        os.environ.pop(name, None)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if os.environ.get("SUBMITIT_EXECUTOR") == "local":
        # Ctrl-C on a terminal reaches the parent alone, which passes it on once.
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
    job = Job.read(Path(cfg.job))
    outcome = _run(job)
    outcome.write(job.file("outcome"))
    return outcome.status


def _run(job: Job) -> JobOutcome:
    if job.stop_file.exists():
        return JobOutcome("KILLED", reason="stopped before its turn", signal_number=signal.SIGTERM)
    import torch  # noqa: PLC0415 - the environment is set before

    from experiments.runs.asked import listening  # noqa: PLC0415
    from experiments.runs.chatter import quiet  # noqa: PLC0415
    from experiments.runs.cores import SHARE, cores  # noqa: PLC0415

    quiet()
    if SHARE in os.environ and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(cores())
    done = threading.Event()
    with listening() as asked, asked.impatient():
        threading.Thread(target=_watch, args=(job, done), name="whydeep-watchdog", daemon=True).start()
        try:
            return perform(job)
        finally:
            done.set()


def _watch(job: Job, done: threading.Event) -> None:
    """Stop this process cleanly when it is told to, or when the one that waits for it, on this host, is gone."""
    while not done.wait(POLL_SECONDS):
        if job.stop_file.exists() or _is_gone(job.parent):
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _is_gone(process: str) -> bool:
    pid, _, host = process.partition("@")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
