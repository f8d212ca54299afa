"""From a study to its runs: one configuration for each arm and seed, all checked before the first one starts."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from experiments.errors import UserError
from experiments.runs.configuration import compose
from experiments.studies.study import Study, override_key
from experiments.tracking.credentials import masked


@dataclass(frozen=True)
class PlannedRun:
    """One replicate to be executed; `overrides` alone, given to `whydeep train`, make the same run."""

    arm: str
    seed: int
    overrides: tuple[str, ...]
    cfg: DictConfig

    @property
    def command(self) -> list[str]:
        """The command line of this run alone, without passwords."""
        return ["whydeep", "train", *map(masked, self.overrides)]


def plan(study: Study, overrides: Sequence[str] = ()) -> list[PlannedRun]:
    """Compose the runs of `study`, seed by seed, so that what is stopped early holds whole pairs.

    Args:
        study: what is asked.
        overrides: for all arms; they replace those of the study.

    Raises:
        UserError: an override that cannot be, one that the arms decide, or two arms that are the same.
    """
    decided = {override_key(override): cell.name for cell in study.cells for override in cell.overrides}
    given = [override_key(override) for override in overrides]
    for key, override in zip(given, overrides, strict=True):
        if key in decided:
            raise UserError(f"{override}: the arms differ in '{key}' (see {decided[key]}); give what all arms share")
        if _is_sweep(override):
            raise UserError(f"{override}: several values; a study takes one for all arms, or a list as [a,b]")
        if key == "seed":
            raise UserError(f"{override}: a study sets the seed of each run; give seeds=N or seeds=[{override[5:]}]")
    common = [override for override in study.overrides if override_key(override) not in given]
    runs = []
    for seed in study.seeds:
        for cell in study.cells:
            chosen = (*common, *overrides, *cell.overrides, f"seed={seed}")
            runs.append(PlannedRun(cell.name, seed, chosen, compose(chosen)))
    first = runs[: len(study.cells)]
    _refuse_twins(first)
    if not {"optimizer", "optimizer.lr"} & {*decided, *given, *map(override_key, common)}:
        _refuse_unsaid_rates(first)
    return runs


def _is_sweep(override: str) -> bool:
    try:
        return OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:
        return False  # what cannot be read is said when it is composed


def _refuse_twins(runs: Sequence[PlannedRun]) -> None:
    """Refuse two arms of one seed that compose to the same configuration: their difference would be zero for sure."""
    seen: dict[str, str] = {}
    for run in runs:
        content = OmegaConf.to_container(run.cfg)
        if isinstance(content, dict):
            content.pop("choices", None)
        if other := seen.get(repr(content)):
            raise UserError(f"arms.{run.arm}: the same configuration as arms.{other}; arms must differ")
        seen[repr(content)] = run.arm


def _refuse_unsaid_rates(runs: Sequence[PlannedRun]) -> None:
    """Refuse arms whose networks begin at different learning rates when nobody chose them: a difference unsaid."""
    rates = {run.arm: run.cfg.optimizer.lr for run in runs}
    if len(set(rates.values())) > 1:
        said = ", ".join(f"{arm} {rate:g}" for arm, rate in rates.items())
        raise UserError(
            f"optimizer.lr: the networks of the arms begin at different rates ({said}); say optimizer.lr=… for all "
            "arms, or in the overrides of each"
        )
