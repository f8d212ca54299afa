"""Train one configuration with one seed, or sweep over several with -m.

whydeep train model=resnet20 datamodule=cifar10 augmentation=flip_crop seed=3
whydeep train -m model=vgg11_small,resnet20 seed=0,1,2
whydeep train -m hydra/sweeper=optuna 'optimizer.lr=tag(log,interval(0.001,0.3))' hydra.sweeper.n_trials=20

-m sweeps over comma-separated values; with hydra/sweeper=optuna it searches among values and intervals for the least
validation error; --cfg job prints the configuration without running it; the environment's MLFLOW_TRACKING_URI names a
tracking server.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from experiments.cli import USER_ERROR, complain, run
from experiments.errors import UserError
from experiments.runs.configuration import CONFIG_DIR, ROOT, compose, explain, without_hydra
from experiments.runs.overrides import override_key
from experiments.runs.search import ASKED, OBJECTIVE, JobEnd, Search
from experiments.tracking.credentials import masked
from experiments.train_arguments import ASKING, help_text, read, with_late_choices

if TYPE_CHECKING:
    from experiments.runs.label import Label
    from experiments.runs.sweep import JobLabels, Sweep


class JobError(RuntimeError):
    """A job of a sweep ended with `code`, and has said why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def main(argv: Sequence[str]) -> int:
    """Compose the configuration with Hydra and run it; `--help`, `--cfg job` and Hydra's other flags work.

    Raises:
        UserError: a mistake in the configuration, found before anything runs; in a sweep, that of any of its jobs.
    """
    flags, overrides = read(argv)
    if "--help" in flags:
        print(help_text(str(__doc__)))
        return 0
    # Hydra prints a mistake over many lines unless it may raise it.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sweep = "--multirun" in flags
    asking = bool(flags.keys() & ASKING.keys())
    search = None if asking else _search(overrides, sweep=sweep)
    composed = None if asking else _check(overrides, search, sweep=sweep)
    recorded = _open_sweep(composed, overrides) if sweep and not asking else None
    count = search.count if search else len(composed) if composed else None
    jobs = _Jobs(argv, count, recorded.labels if recorded else None, announced=sweep, searched=search is not None)
    stopped = True
    before, sys.argv = sys.argv, ["whydeep train", *with_late_choices(argv, overrides, sweep=sweep)]
    try:
        if search is None:
            hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=ROOT)(jobs.run)()
        else:
            found = search.run(jobs.run)
            # Some runs of a search may fail; it has failed where none finished.
            jobs.codes = [] if found else search.codes
            if found and recorded:
                recorded.found(found)
            print("\n".join(found.lines() if found else ["no run finished with a validation error: none is the best"]))
        stopped = False
    except SystemExit as exit_:
        # A stop; or a question of which Hydra has said that it cannot be answered.
        return USER_ERROR if exit_.code and not jobs.begun and not search else int(exit_.code or 0)
    except JobError as failed:
        stopped = False
        jobs.codes.append(failed.code)
        return failed.code
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides)) from error
    except (OSError, ValueError, TypeError, AssertionError) as error:
        # What Hydra cannot do with its own settings: a folder that cannot be made, a log that cannot be written.
        hydras = [override for override in overrides if override.lstrip("+~").startswith("hydra")]
        if jobs.begun or not hydras:
            raise
        raise UserError(f"{hydras[0]}: Hydra cannot work with it ({str(error).splitlines()[0]})") from error
    finally:
        sys.argv = before
        if recorded is not None:
            recorded.finish(jobs.codes, stopped=stopped)
    return max(jobs.codes, default=0)


class _Jobs:
    """The jobs that Hydra runs: how many began, and the exit codes of those that ended in this process."""

    def __init__(
        self, argv: Sequence[str], count: int | None, labels: "JobLabels | None", *, announced: bool, searched: bool
    ) -> None:
        self.begun = 0
        self.codes: list[int] = []
        self._argv = argv
        self._count = count
        self._labels = labels
        self._announced = announced
        self._searched = searched
        self._process = os.getpid()

    def run(self, cfg: DictConfig) -> JobEnd:
        """Run one job; of its mistakes Hydra would print several lines, and end a sweep with them.

        Raises:
            JobError: it failed, in a process of a launcher's own: from there Hydra's sweeper looks at nothing else.
        """
        self.begun += 1
        elsewhere = os.getpid() != self._process
        if self._announced:
            which = " ".join(HydraConfig.get().overrides.task)
            of = f"/{self._count}" if self._count else ""
            print(masked(f"[{self.begun}{of}] {which}"), file=sys.stderr, flush=True)
        try:
            label = self._labels.of(HydraConfig.get().overrides.task) if self._labels else None
            end = _job(without_hydra(cfg, HydraConfig.get().runtime.choices), self._argv, label)
        except UserError as error:
            end = JobEnd(complain(error))
        except SystemExit as stop:
            if not elsewhere:
                raise
            end = JobEnd(int(stop.code or 0))
        self.codes.append(end.code)
        if end.code and elsewhere and not self._searched:
            raise JobError(end.code)
        return end


def _open_sweep(composed: Sequence[DictConfig] | None, overrides: Sequence[str]) -> "Sweep | None":
    """Begin to record the sweep; of another sweeper's jobs what all have in common says where to."""
    from experiments.runs.sweep import open_sweep  # noqa: PLC0415 - what --help saves

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = [str(item.input_line) for item in parsed if item.is_sweep_override()]
    if composed:
        return open_sweep(composed[0], overrides, swept)
    common = [override for override in overrides if override_key(override) in ("runs_dir", "experiment", "tracking")]
    return open_sweep(compose(common), overrides, swept)


def _job(cfg: DictConfig, argv: Sequence[str], label: "Label | None") -> JobEnd:
    from experiments.runs.execute import (  # noqa: PLC0415 - seconds that --help saves
        UNLABELLED,
        RunFailed,
        RunKilled,
        execute,
    )

    try:
        result = execute(cfg, command=["whydeep", "train", *argv], label=label or UNLABELLED)
    except RunFailed as failed:
        which = "" if failed.result is None else f" {failed.result.run_id or failed.result.name}"
        print(f"whydeep: run{which} failed: {masked(str(failed))}", file=sys.stderr)
        return JobEnd(1, crashed=failed.crashed)
    except RunKilled as killed:
        print(f"whydeep: {killed}; the same command continues the run", file=sys.stderr)
        # This ends a sweep, too.
        raise SystemExit(128 + killed.signal_number) from killed
    from experiments.runs.processes import is_first  # noqa: PLC0415

    end = JobEnd(0, result.metrics.get(OBJECTIVE), result.name)
    if not is_first():
        return end
    errors = "  ".join(
        f"{name.removeprefix('test/').replace('_', ' ').replace('top', 'top-')} {value:.2f} %"
        for name, value in result.metrics.items()
        if name.startswith("test/top")
    )
    state = "finished before (rerun=true runs it again)" if result.skipped else "finished"
    run_id = result.run_id or "none before the tracking store answers; whydeep sync asks again"
    print(f"{result.name}: {state}\n  test: {errors}\n  run id: {run_id}\n  directory: {result.run_dir}")
    return end


def _search(overrides: Sequence[str], *, sweep: bool) -> Search | None:
    """Return the search that is asked for, if one is."""
    if not any(override.lstrip("+") == ASKED for override in overrides):
        return None
    if not sweep:
        raise UserError(f"{ASKED}: goes with -m")
    try:
        return Search(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides)) from error


def _check(overrides: Sequence[str], search: Search | None, *, sweep: bool) -> list[DictConfig] | None:
    """Validate every job before the first of them runs; return their configurations where they are known.

    Those of a search are not: it is its listed values and the ends of its intervals that are validated.
    """
    jobs = [[*overrides]]
    if search:
        jobs = search.space.examples()
    elif sweep:
        if any(override.lstrip("+").startswith("hydra/sweeper") for override in overrides):
            return None  # another sweeper decides its jobs as it goes
        try:
            parsed = OverridesParser.create().parse_overrides(list(overrides))
            jobs = [list(job) for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(explain(error, overrides)) from error
        if not jobs:
            empty = next(
                (str(item.input_line) for item in parsed if item.is_sweep_override() and not [*item.sweep_iterator()]),
                " ".join(overrides),
            )
            raise UserError(f"{empty}: no value, hence no run; a sweep needs at least one")
    composed = [compose(job) for job in jobs]
    _check_hydras_folder(overrides, sweep=sweep)
    from experiments.runs.place import check_place  # noqa: PLC0415 - after the mistakes in the keys
    from experiments.runs.validation import validate  # noqa: PLC0415 - imports torch

    for cfg in composed:
        validate(cfg)
        check_place(cfg)
    return composed


def _check_hydras_folder(overrides: Sequence[str], *, sweep: bool) -> None:
    """Refuse a folder for Hydra's own files that it could not make."""
    from experiments.runs.place import check_folder  # noqa: PLC0415 - what --help saves

    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    for override in overrides:
        name, _, value = override.lstrip("+").partition("=")
        if name == key and "${" not in value:
            check_folder(key, Path(value))


if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:]))
