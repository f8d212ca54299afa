"""From a study to its runs: one configuration for each arm and seed, all checked before the first one starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from experiments.errors import StudyError, UserError
from experiments.runs.configuration import compose, plain
from experiments.runs.leaves import leaves
from experiments.runs.overrides import override_key, read_override
from experiments.studies.budget import Allotted, Share, allot
from experiments.studies.composing import Sources, compose_arm
from experiments.studies.factors import Cell
from experiments.studies.pretrained import PREFIX, started_by
from experiments.studies.study import Study
from experiments.tracking.credentials import masked

# Up to here each seed is composed by itself; beyond, a second one shows where the seed stands.
FEW_SEEDS = 3
_SAY_THE_RATE = {"optimizer", "optimizer.lr"}


@dataclass(frozen=True)
class PlannedArm:
    """An arm as it will be run.

    Attributes:
        cell: its name and levels.
        sources: where its overrides come from, but for its budget's.
        overrides: of the arm, the study and the command line, all but the seed.
        share: what the budget rule added to them.
        cfg: composed for the first seed.
        seed_keys: where the configuration holds the seed; empty where another seed changes something else too.
        pretraining: the runs that its own start from.
        start: by seed, the overrides that name the run to start from; empty until these are known.
    """

    cell: Cell
    sources: Sources
    overrides: tuple[str, ...]
    share: Share
    cfg: DictConfig
    seed_keys: tuple[str, ...]
    pretraining: "PlannedArm | None" = None
    start: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.cell.name

    def configuration(self, seed: int) -> DictConfig:
        """Return the arm's configuration under `seed`."""
        if seed == self.cfg.seed:
            return self.cfg
        if not self.seed_keys:
            return compose(self.overrides_at(seed))
        cfg = self.cfg.copy()
        for key in self.seed_keys:
            OmegaConf.update(cfg, key, seed)
        return cfg

    def overrides_at(self, seed: int) -> tuple[str, ...]:
        """Return what, given to `whydeep train`, makes the same run."""
        start = self.start.get(seed, ())
        replaced = {override_key(override) for override in start}
        kept = (override for override in self.overrides if override_key(override) not in replaced)
        return (*kept, *start, f"seed={seed}")

    def starting_from(self, start: Mapping[int, tuple[str, ...]]) -> "PlannedArm":
        """Return the arm with the runs that its own start from."""
        arm = replace(self, start=start, seed_keys=())
        return replace(arm, cfg=compose(arm.overrides_at(self.cfg.seed)))

    def content(self, seed: int) -> dict[str, Any]:
        """Return `configuration(seed)` as plain data; what does not depend on the seed is one object for all seeds."""
        if seed == self.cfg.seed or not self.seed_keys:
            return plain(self.configuration(seed))
        content = self._content
        for key in self.seed_keys:
            content = _with(content, key.split("."), seed)
        return content

    @cached_property
    def _content(self) -> dict[str, Any]:
        return plain(self.cfg)


@dataclass(frozen=True)
class PlannedRun:
    """One replicate to be executed."""

    planned: PlannedArm
    seed: int

    @property
    def arm(self) -> str:
        """The arm's name."""
        return self.planned.name

    @property
    def overrides(self) -> tuple[str, ...]:
        """What, given to `whydeep train`, makes the same run."""
        return self.planned.overrides_at(self.seed)

    @property
    def cfg(self) -> DictConfig:
        """The run's configuration."""
        return self.planned.configuration(self.seed)

    @property
    def command(self) -> list[str]:
        """The command line of this run alone, without passwords."""
        return ["whydeep", "train", *map(masked, self.overrides)]


def plan(study: Study, overrides: Sequence[str] = ()) -> list[PlannedRun]:
    """Return the runs of `study`, seed by seed, so that what is stopped early holds whole pairs.

    Raises:
        UserError: as `plan_arms`.
    """
    arms = plan_arms(study, overrides)
    return [PlannedRun(arm, seed) for seed in study.seeds for arm in arms]


def plan_arms(study: Study, overrides: Sequence[str] = (), *, with_budget: bool = True) -> list[PlannedArm]:
    """Compose the arms of `study`.

    Args:
        study: what is asked.
        overrides: for all arms; they replace those of the study.
        with_budget: give each arm what the budget rule says, for which data may have to be there.

    Raises:
        UserError: an override that cannot be, one that the arms decide, two arms that are the same, or a budget that
            cannot be held.
    """
    decided = {override_key(override): cell.name for cell in study.cells for override in cell.overrides}
    given = [override_key(override) for override in overrides]
    for key, override in zip(given, overrides, strict=True):
        if key in decided:
            raise UserError(f"{override}: the arms differ in '{key}' (see {decided[key]}); give what all arms share")
        if _is_sweep(override):
            raise UserError(f"{override}: several values; a study takes one for all arms, or a list as [a,b]")
        if key == "seed":
            raise UserError(f"{override}: a study sets the seed of each run; give seeds=N{_listed(override)}")
    common = tuple(override for override in study.overrides if override_key(override) not in given)
    first = study.seeds[0]
    sources = {cell.name: Sources(cell.name, common, tuple(overrides), cell.overrides) for cell in study.cells}
    chosen = {name: each.overrides for name, each in sources.items()}
    composed = {name: compose_arm(each, first) for name, each in sources.items()}
    _refuse_twins(composed)
    if not _SAY_THE_RATE & {*given, *map(override_key, common)}:
        unsaid = [cell.name for cell in study.cells if not _SAY_THE_RATE & set(map(override_key, cell.overrides))]
        _refuse_unsaid_rates({name: composed[name] for name in unsaid})
    shares = dict.fromkeys(chosen, Share())
    if with_budget:
        allotted = {name: Allotted(composed[name], chosen[name]) for name in chosen}
        shares = allot(study.budget, allotted, study.baseline)
    arms = []
    before = _pretraining(study, common, tuple(overrides))
    find = _SeedKeys(study.seeds[1]) if len(study.seeds) > FEW_SEEDS else None
    for cell in study.cells:
        share = shares[cell.name]
        replaced = {override_key(override) for override in share.overrides}
        kept = (override for override in chosen[cell.name] if override_key(override) not in replaced)
        every = (*kept, *share.overrides)
        cfg = compose([*every, f"seed={first}"]) if share.overrides else composed[cell.name]
        keys = () if find is None else find(cfg, every)
        arms.append(PlannedArm(cell, sources[cell.name], every, share, cfg, keys, before.get(started_by(cell) or "")))
    return arms


def _pretraining(study: Study, common: tuple[str, ...], given: tuple[str, ...]) -> dict[str, PlannedArm]:
    """Compose the runs that arms start from; what is said for all arms holds for them, and what they say wins."""
    planned = {}
    for name, own in study.pretraining.items():
        cell = Cell(f"{PREFIX}{name}", tuple(own), {}, is_baseline=False)
        sources = Sources(cell.name, common, given, cell.overrides)
        cfg = compose_arm(sources, study.seeds[0])
        planned[name] = PlannedArm(cell, sources, sources.overrides, Share(), cfg, ())
    return planned


def _listed(override: str) -> str:
    given = read_override(override)
    return f" or seeds=[{given.value}]" if given and given.value else ""


class _SeedKeys:
    """Finds where configurations hold their seed, by composing them under another one.

    Arms of the same options hold it in the same places, where no override speaks of it.
    """

    def __init__(self, other: int) -> None:
        self._other = other
        self._known: dict[str, tuple[str, ...]] = {}

    def __call__(self, cfg: DictConfig, overrides: Sequence[str]) -> tuple[str, ...]:
        of_its_own = any("seed" in override or "${" in override for override in overrides)
        options = repr(OmegaConf.to_container(cfg.choices))
        if not of_its_own and options in self._known:
            return self._known[options]
        keys = _seed_keys(cfg, compose([*overrides, f"seed={self._other}"]))
        if not of_its_own:
            self._known[options] = keys
        return keys


def _seed_keys(one: DictConfig, other: DictConfig) -> tuple[str, ...]:
    """Return where two configurations differ, if it is in their seeds alone; else nothing."""
    first, second = (dict(leaves(OmegaConf.to_container(cfg))) for cfg in (one, other))
    if first.keys() != second.keys():
        return ()
    keys = tuple(key for key in first if first[key] != second[key])
    fits = all((first[key], second[key]) == (one.seed, other.seed) for key in keys)
    return keys if fits else ()


def _with(content: dict[str, Any], path: Sequence[str], value: object) -> dict[str, Any]:
    """Return a copy with another value at `path`; what is beside it is shared."""
    first, *rest = path
    return {**content, first: _with(content[first], rest, value) if rest else value}


def _is_sweep(override: str) -> bool:
    try:
        return OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:
        return False  # what cannot be read is said when it is composed


def _refuse_twins(composed: Mapping[str, DictConfig]) -> None:
    """Refuse two arms that compose to the same configuration: their difference would be zero for sure."""
    seen: dict[str, str] = {}
    for name, cfg in composed.items():
        content = OmegaConf.to_container(cfg)
        if isinstance(content, dict):
            content.pop("choices", None)
        if other := seen.get(repr(content)):
            raise StudyError(f"arms.{name}: the same configuration as arms.{other}; arms must differ")
        seen[repr(content)] = name


def _refuse_unsaid_rates(composed: Mapping[str, DictConfig]) -> None:
    """Refuse arms whose networks begin at different learning rates when nobody chose them: a difference unsaid."""
    rates = {name: cfg.optimizer.lr for name, cfg in composed.items()}
    if len(set(rates.values())) > 1:
        said = ", ".join(f"{arm} {rate:g}" for arm, rate in rates.items())
        raise StudyError(
            f"optimizer.lr: the networks of the arms begin at different rates ({said}); say optimizer.lr=… for all "
            "arms, or in the overrides of each"
        )
