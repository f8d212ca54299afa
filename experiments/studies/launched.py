"""The jobs of a study under one of Hydra's launchers: submitit (SLURM, or processes of this machine) or Ray.

A launcher gets the name of a file, which says everything: no command line is read again where a job runs. Progress and
outcome come back as files, too, so a job may run wherever the study's folder is seen.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from hydra.plugins.launcher import Launcher as HydraLauncher
from omegaconf import DictConfig

from experiments.errors import UserError
from experiments.runs.asked import SIGNALS
from experiments.runs.configuration import plain
from experiments.runs.cores import SHARE, cores
from experiments.runs.log import last_lines
from experiments.runs.overrides import override_key
from experiments.studies.execution_options import EXTRAS
from experiments.studies.job import Job, JobOutcome
from experiments.studies.launched_job import CONFIG_NAME, NODE, run_file

LOCAL, RAY = "submitit_local", "ray"
A_YEAR = 365 * 24 * 60


class Launched:
    """Executes each job through a Hydra launcher.

    Args:
        launcher: option of `hydra/launcher`.
        workers: how many jobs are given to it at once.
        folder: of the study's jobs.
        settings: overrides such as `hydra.launcher.partition=gpu`.

    Raises:
        UserError: the launcher is not installed, or does not know a setting.
    """

    stopped_by: int | None = None

    def __init__(self, launcher: str, workers: int, folder: Path, settings: Sequence[str] = ()) -> None:
        self.capacity = workers
        self._number = 0
        self._ended: queue.Queue[tuple[Job, JobOutcome]] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._given: list[Job] = []
        self._launcher_name = launcher
        given = [override_key(item) for item in settings]
        if launcher == LOCAL and "hydra.launcher.timeout_min" not in given:
            # An hour by default, after which it would end a run; this machine has no queue to be fair to.
            settings = [*settings, f"hydra.launcher.timeout_min={A_YEAR}"]
        folder.mkdir(parents=True, exist_ok=True)
        self._stop_files: set[Path] = set()
        self._launcher, cfg = _launcher(launcher, folder, settings)
        if launcher == RAY:
            _start_ray(cfg.hydra.launcher.ray.init)
        self._share_before = os.environ.get(SHARE)
        if launcher == LOCAL:
            os.environ[SHARE] = str(max(1, cores() // workers))

    def start(self, job: Job) -> None:
        """Give a job to the launcher."""
        job.file("outcome").unlink(missing_ok=True)
        self._stop_files.add(job.stop_file)
        number, self._number = self._number, self._number + 1
        thread = threading.Thread(target=self._launch, args=(job, job.write(), number), daemon=True)
        self._threads.append(thread)
        self._given.append(job)
        thread.start()

    def ended(self, seconds: float) -> list[tuple[Job, JobOutcome]]:
        """Return what has ended, after so many seconds at the most."""
        try:
            found = [self._ended.get(timeout=seconds)]
        except queue.Empty:
            return []
        while not self._ended.empty():
            found.append(self._ended.get())
        for job, _ in found:
            if job in self._given:
                self._given.remove(job)
        return found

    def stop(self, number: int) -> None:  # noqa: ARG002 - a file says no more
        """Let all jobs stop, wherever they run; those that wait in a queue stop when their turn comes."""
        for file in self._stop_files:
            file.touch()

    def kill(self) -> None:
        """Wait for nothing any more: what waits in a queue finds the stop file when its turn comes."""
        for job in self._given:
            self._ended.put((job, JobOutcome("KILLED", reason="stopped; the cluster had not answered yet")))
        self._given.clear()

    def close(self) -> None:
        """Leave the environment as it was found."""
        if self._launcher_name == RAY:
            import ray  # noqa: PLC0415 - it is there, because it was started

            ray.shutdown()
        if self._launcher_name == LOCAL:
            os.environ.pop(SHARE)
            if self._share_before is not None:
                os.environ[SHARE] = self._share_before
        if not any(thread.is_alive() for thread in self._threads):
            for file in self._stop_files:
                file.unlink(missing_ok=True)

    def _launch(self, job: Job, file: Path, number: int) -> None:
        began, error = time.perf_counter(), ""
        try:
            quoted = str(file).replace("\\", "\\\\").replace("'", "\\'")
            # The outcome comes in a file; what the job raises, it raises again here.
            _ = self._launcher.launch([[f"job='{quoted}'"]], initial_job_idx=number)[0].return_value
        except BaseException as raised:  # noqa: BLE001 - a job that dies, or one that cannot be submitted
            lines = [line.strip() for line in str(raised).splitlines() if line.strip()]
            error = f"{type(raised).__name__}: {' '.join(lines)[:300]}"
        file.unlink(missing_ok=True)
        outcome = JobOutcome.read(job.file("outcome"))
        job.file("outcome").unlink(missing_ok=True)
        if outcome is None:
            seconds = time.perf_counter() - began
            reason = f"its process ended without an outcome ({error or 'no reason given'})"
            log = last_lines(job.file("log"))
            outcome = JobOutcome("FAILED", reason=reason, crashed=True, log=log, seconds=seconds)
        self._ended.put((job, outcome))


def _start_ray(init: DictConfig) -> None:
    """Start Ray, or connect to it, as its launcher would: that one does it for each job, and two at once fail."""
    import ray  # noqa: PLC0415 - only where it is asked for

    options = {"log_to_driver": False, **plain(init)}
    # Ray takes SIGTERM for itself.
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ray.init(**options)
    for number, handler in before.items():
        signal.signal(number, handler)


def _launcher(name: str, folder: Path, settings: Sequence[str]) -> tuple[HydraLauncher, DictConfig]:
    """Make Hydra's launcher, configured as on Hydra's own command line; return that configuration, too."""
    from hydra import initialize  # noqa: PLC0415 - only where it is asked for
    from hydra._internal.callbacks import Callbacks  # noqa: PLC0415
    from hydra.core.config_store import ConfigStore  # noqa: PLC0415
    from hydra.core.global_hydra import GlobalHydra  # noqa: PLC0415
    from hydra.core.plugins import Plugins  # noqa: PLC0415
    from hydra.errors import HydraException  # noqa: PLC0415
    from hydra.types import HydraContext, RunMode  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    ConfigStore.instance().store(name=CONFIG_NAME, node=NODE)
    quoted = str(folder.absolute()).replace("\\", "\\\\").replace("'", "\\'")
    overrides = [
        f"hydra/launcher={name}",
        f"hydra.sweep.dir='{quoted}/{name}'",
        "hydra.output_subdir=null",
        "hydra.job.chdir=false",
        "hydra/job_logging=none",
        "hydra/hydra_logging=none",
        *settings,
    ]
    try:
        with initialize(version_base="1.3", config_path=None):
            loader = GlobalHydra.instance().config_loader()
            cfg = loader.load_configuration(CONFIG_NAME, overrides=overrides, run_mode=RunMode.MULTIRUN)
            context = HydraContext(config_loader=loader, callbacks=Callbacks(cfg))
            made = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=run_file, config=cfg)
            return made, cfg
    except (HydraException, OmegaConfBaseException, ImportError) as error:
        if "Could not find 'hydra/launcher/" in str(error) or isinstance(error, ImportError):
            raise UserError(
                f"launcher={name}: not installed; pip install 'whydeep[{EXTRAS[name][1]}]' brings it"
            ) from error
        wrong = next((item for item in settings if override_key(item) in str(error)), None)
        said = str(error).splitlines()[0]
        raise UserError(f"{wrong or f'launcher={name}'}: {said}") from error
