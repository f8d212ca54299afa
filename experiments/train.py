"""Train one configuration with one seed, or sweep over several with -m.

whydeep train model=resnet20 datamodule=cifar10 augmentation=flip_crop seed=3
whydeep train -m model=vgg11_small,resnet20 seed=0,1,2
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from experiments.cli import complain, run
from experiments.errors import UserError
from experiments.runs.configuration import CONFIG_DIR, ROOT, compose, explain, without_hydra

_SWEEP_FLAGS = ("-m", "--multirun")
# Hydra's flags that ask about the configuration instead of running it.
_ASKING = ("-h", "--help", "-c", "-i", "-sc", "-p")
_OTHER_FLAGS = ("-r", "--run", "--resolve", "--config-dir", "-cd")
_ASKING_LONG = ("--cfg", "--info", "--hydra-help", "--shell-completion", "--package", "--version")


def main(argv: Sequence[str]) -> int:
    """Compose the configuration with Hydra and run it; `--help`, `--cfg job` and Hydra's other flags work.

    Raises:
        UserError: a mistake in the configuration, found before anything runs; in a sweep, that of any of its jobs.
    """
    # Hydra prints a mistake over many lines unless it may raise it.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    overrides = [argument for argument in argv if not argument.startswith("-")]
    flags = [argument.partition("=")[0] for argument in argv if argument.startswith("-")]
    unknown = [flag for flag in flags if flag not in (*_SWEEP_FLAGS, *_ASKING, *_ASKING_LONG, *_OTHER_FLAGS)]
    if unknown:
        raise UserError(f"{unknown[0]}: unknown flag; allowed: -m, --help, --cfg job, and settings as key=value")
    asking = any(argument in _ASKING or argument.startswith(_ASKING_LONG) for argument in argv)
    if not asking:
        _check(overrides, sweep=any(flag in argv for flag in _SWEEP_FLAGS))
    codes: list[int] = []

    def job(cfg: DictConfig) -> None:
        # Hydra would print a mistake over several lines, and end a sweep with it.
        try:
            codes.append(_job(without_hydra(cfg, HydraConfig.get().runtime.choices), argv))
        except UserError as error:
            codes.append(complain(error))

    before, sys.argv = sys.argv, ["whydeep train", *_with_late_choices(argv, overrides)]
    try:
        hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name=ROOT)(job)()
    except SystemExit as exit_:
        # A stop; or a flag that Hydra does not know, of which it has said so.
        return int(exit_.code or 0)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, overrides)) from error
    finally:
        sys.argv = before
    return max(codes, default=0)


def _job(cfg: DictConfig, argv: Sequence[str]) -> int:
    from experiments.runs.execute import RunFailed, RunKilled, execute  # noqa: PLC0415 - seconds that --help saves

    try:
        result = execute(cfg, command=["whydeep", "train", *argv])
    except RunFailed as failed:
        which = "" if failed.result is None else f" {failed.result.run_id or failed.result.name}"
        print(f"whydeep: run{which} failed: {failed}", file=sys.stderr)
        return 1
    except RunKilled as killed:
        print(f"whydeep: {killed}; the same command continues the run", file=sys.stderr)
        # This ends a sweep, too.
        raise SystemExit(128 + killed.signal_number) from killed
    errors = "  ".join(
        f"{name.removeprefix('test/').replace('_', ' ').replace('top', 'top-')} {value:.2f} %"
        for name, value in result.metrics.items()
        if name.startswith("test/top")
    )
    state = "finished before (rerun=true runs it again)" if result.skipped else "finished"
    run_id = result.run_id or "none before the tracking store answers; whydeep sync asks again"
    print(f"{result.name}: {state}\n  test: {errors}\n  run id: {run_id}\n  directory: {result.run_dir}")
    return 0


def _check(overrides: Sequence[str], *, sweep: bool) -> None:
    """Validate every job before the first of them runs."""
    jobs = [[*overrides]]
    if sweep:
        if any(override.lstrip("+").startswith("hydra/sweeper") for override in overrides):
            return  # another sweeper decides its jobs as it goes
        try:
            parsed = OverridesParser.create().parse_overrides(list(overrides))
            jobs = [list(job) for batch in BasicSweeper.split_arguments(parsed, max_batch_size=None) for job in batch]
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(explain(error, overrides)) from error
    composed = [compose(job) for job in jobs]
    from experiments.runs.validation import validate  # noqa: PLC0415 - imports torch, after the mistakes in the keys

    for cfg in composed:
        validate(cfg)
        _check_folder(Path(cfg.runs_dir))


def _check_folder(runs_dir: Path) -> None:
    """Refuse a folder that runs cannot be written to; nothing is created."""
    existing = next(path for path in (runs_dir.absolute(), *runs_dir.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"runs_dir={runs_dir}: {existing} is a file; it must be a folder that can be written to")
    if not os.access(existing, os.W_OK) or existing.is_relative_to("/proc") or existing.is_relative_to("/sys"):
        raise UserError(f"runs_dir={runs_dir}: {existing} cannot be written to; name a folder that can")


def _with_late_choices(argv: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Rewrite `model.network.widths=[8]` as a choice of one where `model` itself is swept over.

    Hydra composes a sweep once without its choices, in which such a key does not exist.
    """
    if not any(flag in argv for flag in _SWEEP_FLAGS):
        return list(argv)
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    swept = {
        item.key_or_group for item in parsed if item.is_sweep_override() and (CONFIG_DIR / item.key_or_group).is_dir()
    }
    late = {
        str(item.input_line): f"{item.key_or_group}=choice({str(item.input_line).partition('=')[2]})"
        for item in parsed
        if item.key_or_group.partition(".")[0] in swept and "." in item.key_or_group and not item.is_sweep_override()
    }
    return [late.get(argument, argument) for argument in argv]


if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:]))
