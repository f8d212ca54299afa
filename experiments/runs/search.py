"""A search: `whydeep train -m hydra/sweeper=optuna …` chooses the settings of each run by what those before came to.

The plugin of that name needs a Hydra of which there is no release yet (1.4 candidate) or an Optuna before 3, which
today's SQLAlchemy breaks. Optuna's ask and tell is all that it would be used for.

Nothing of a search is stored but its runs. With the same seed the same values are asked for in the same order, and what
has finished is not run again: the same command goes on where it was stopped, and a larger `n_trials` goes further.
"""

import importlib.util
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig

from experiments.errors import UserError
from experiments.runs.configuration import CONFIG_DIR, ROOT, nearest
from experiments.runs.overrides import override_key
from experiments.runs.search_space import search_space
from experiments.tracking.credentials import masked

if TYPE_CHECKING:
    import optuna

ASKED = "hydra/sweeper=optuna"
PREFIX, KEYS = "hydra.sweeper.", ("n_jobs", "n_trials", "sampler")
LENGTH = f"{PREFIX}n_trials="
# Never a metric of the test: the best of many by their test is a number that no other pictures would confirm.
OBJECTIVE = "best/val_top1_error"


@dataclass(frozen=True)
class JobEnd:
    """How a job of a sweep ended.

    Attributes:
        code: the exit code that its run alone would have had.
        error: the least validation top-1 error of its epochs, in percent; `None` where there is none.
        run: the name of its run.
        crashed: the machine may be the cause of its failure: the same may go well the next time.
    """

    code: int
    error: float | None = None
    run: str = ""
    crashed: bool = False


@dataclass(frozen=True)
class Found:
    """The best run of a search: what was chosen for it, and the command that has it alone."""

    chosen: tuple[str, ...]
    error: float
    run: str
    command: str
    runs: int
    failed: int

    def lines(self) -> list[str]:
        """What is said of it in the end."""
        failed = f" ({self.failed} failed)" if self.failed else ""
        return [
            f"best of {self.runs} runs{failed} by validation: {' '.join(self.chosen)}",
            f"  validation: top-1 error {self.error:.2f} %",
            f"  run: {self.run}",
            f"  {self.command}",
        ]


class Search:
    """A search, read from its command line.

    Args:
        overrides: of the command line.

    Raises:
        UserError: Optuna is not installed, or what is asked cannot be.
        HydraException, OmegaConfBaseException: an override that cannot be read, or of something that does not exist.
    """

    def __init__(self, overrides: Sequence[str]) -> None:
        if importlib.util.find_spec("optuna") is None:
            raise UserError(f"{ASKED}: not installed; pip install 'whydeep[optuna]' brings it")
        self.space = search_space(overrides)
        _check_keys(overrides)
        # Hydra's own settings, and what these refer to.
        own = [item for item in overrides if item.lstrip("+~").startswith(("hydra.", "hydra/", "runs_dir=", "seed="))]
        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIG_DIR), job_name=ROOT):
            loader = GlobalHydra.instance().config_loader()
            self._cfg = loader.load_configuration(ROOT, overrides=own, run_mode=RunMode.MULTIRUN)
        self._context = HydraContext(config_loader=loader, callbacks=Callbacks(self._cfg))
        self.count = _count(self._cfg, "n_trials")
        self._at_once = _count(self._cfg, "n_jobs")
        self._study = _study(self._cfg)
        self._ended: list[tuple[list[str], JobEnd]] = []

    @property
    def codes(self) -> list[int]:
        """The exit codes of the runs that ended; one without a validation error is of no use to a search."""
        return [end.code or int(end.error is None) for _, end in self._ended]

    def run(self, job: Callable[[DictConfig], JobEnd]) -> Found | None:
        """Run all of it through Hydra's launcher; return the best, `None` when no run finished.

        A run that fails ends nothing. One that would fail again counts as worse than all others, for the sampler to
        keep away; one that the machine failed is as if it had not been.

        Raises:
            SystemExit: a run was stopped, and the search with it.
        """
        from optuna.trial import TrialState  # noqa: PLC0415 - a second, and only where it is installed

        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=job, config=self._cfg
        )
        while (done := len(self._ended)) < self.count:
            trials = [self._study.ask() for _ in range(min(self._at_once, self.count - done))]
            chosen = [self.space.ask(trial) for trial in trials]
            jobs = [[*self.space.fixed, *values] for values in chosen]
            for trial, values, returned in zip(
                trials, chosen, launcher.launch(jobs, initial_job_idx=done), strict=True
            ):
                end = _end(returned)
                if end.code > 128:  # noqa: PLR2004 - a signal
                    raise SystemExit(end.code)
                self._ended.append((values, end))
                if end.error is not None:
                    self._study.tell(trial, end.error)
                else:
                    self._study.tell(trial, state=TrialState.FAIL if end.crashed else TrialState.PRUNED)
        return self._found()

    def _found(self) -> Found | None:
        finished = [(end.error, values, end) for values, end in self._ended if end.error is not None]
        if not finished:
            return None
        # Of equals the first.
        error, values, end = min(finished, key=lambda one: one[0])
        command = masked(shlex.join(["whydeep", "train", *self.space.fixed, *values]))
        return Found(tuple(values), error, end.run, command, len(self._ended), len(self._ended) - len(finished))


def _check_keys(overrides: Sequence[str]) -> None:
    for override in overrides:
        key = override_key(override)
        if key.startswith(PREFIX) and key.removeprefix(PREFIX).partition(".")[0] not in KEYS:
            raise UserError(f"{key}: unknown key; {nearest(key, [PREFIX + name for name in KEYS])}")


def _count(cfg: DictConfig, key: str) -> int:
    value = cfg.hydra.sweeper[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"hydra.sweeper.{key}={value}: must be a whole number of at least 1")
    return value


def _study(cfg: DictConfig) -> "optuna.Study":
    import optuna  # noqa: PLC0415 - a second, and only where it is installed

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sampler = instantiate(cfg.hydra.sweeper.sampler)
    except HydraException as error:
        raise UserError(f"hydra.sweeper.sampler: {error.__cause__ or error}") from error
    return optuna.create_study(sampler=sampler, direction="minimize")


def _end(returned: JobReturn) -> JobEnd:
    try:
        end = returned.return_value
    except Exception as error:  # noqa: BLE001 - whatever a job's process died of
        print(masked(f"whydeep: a run failed: {type(error).__name__}: {error}"), file=sys.stderr)
        return JobEnd(1, crashed=True)
    return end if isinstance(end, JobEnd) else JobEnd(1, crashed=True)
