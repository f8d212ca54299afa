"""The confound linter: what differs between arms, and neither the arms, nor the budget rule, nor the study declared."""

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence

from omegaconf import OmegaConf

from experiments.errors import StudyError
from experiments.runs.configuration import nearest
from experiments.runs.leaves import leaves
from experiments.runs.overrides import override_key
from experiments.runs.result import RunResult
from experiments.studies.comparison import Replicate
from experiments.studies.confound import Confound
from experiments.studies.plan import PlannedArm
from experiments.studies.recorded_facts import CAUSES, RECORDED, Part, facts
from experiments.studies.study import Study

EPOCHS = "epochs trained"
# Where a run is recorded and found, which computes nothing.
_PLACES = ("choices", "experiment", "resume", "rerun", "runs_dir", "data_dir", "tracking", "checkpoint_minutes")
_PLACE_KEYS = (*_PLACES, "datamodule.root", "datamodule.download")


def planned_confounds(arms: Sequence[PlannedArm], declared: Sequence[str]) -> list[Confound]:
    """Return the keys in which the configurations of arms differ though nobody said that they would.

    Args:
        arms: of the study; one that chooses an option (`model=vgg11`) declares all keys of that group.
        declared: keys that the study says may differ.
    """
    flat = {arm.name: dict(leaves(OmegaConf.to_container(arm.cfg))) for arm in arms}
    said = {arm.name: own_keys(arm) for arm in arms}
    found = []
    for key in dict.fromkeys(key for own in flat.values() for key in own):
        if _under(key, {*declared, *_PLACE_KEYS}):
            continue
        # Arms that set the key mean what they set; the others must agree among themselves.
        values = {name: str(own.get(key, "-")) for name, own in flat.items() if not _under(key, said[name])}
        if len(set(values.values())) > 1:
            found.append(Confound(key, values))
    return found


def all_confounds(
    planned: Sequence[Confound], replicates: Sequence[Replicate], study: Study, arms: Sequence[PlannedArm]
) -> tuple[Confound, ...]:
    """Return what differs between the configurations, and then what is recorded to; each thing once."""
    found = {confound.what: confound for confound in planned}
    for confound in recorded_confounds(replicates, study, {arm.name: own_keys(arm) for arm in arms}):
        found.setdefault(confound.what, confound)
    return tuple(found.values())


def check_declared(arms: Sequence[PlannedArm], declared: Sequence[str]) -> None:
    """Refuse a declaration of a key that no arm has: misspelt, it would excuse nothing.

    Raises:
        UserError: one line.
    """
    keys = {key for arm in arms for key, _ in leaves(OmegaConf.to_container(arm.cfg))}
    above = {".".join(key.split(".")[:length]) for key in keys for length in range(1, key.count(".") + 2)}
    for key in declared:
        recorded = key in (EPOCHS, *RECORDED) or key.startswith(("version of ", "source of ", "digest of "))
        if key not in above and not recorded:
            raise StudyError(f"declared: {key}: no arm has such a key; {nearest(key, keys)}")


def own_keys(arm: PlannedArm) -> set[str]:
    """Return the keys that an arm sets, by itself, through the budget rule or by the run that it starts from."""
    start = next(iter(arm.start.values()), ())
    return {override_key(override) for override in (*arm.cell.overrides, *arm.share.overrides, *start)}


def recorded_confounds(
    replicates: Sequence[Replicate], study: Study, own: Mapping[str, Collection[str]]
) -> list[Confound]:
    """Return what is recorded to differ between finished runs of one seed in different arms.

    World size, precision and effective batch as they were executed; versions, processor, threads and accelerators;
    source files that both used; the digests of the data and of the split; the epochs that were trained. Arms are
    compared seed by seed, so that what differs between seeds alone is no confound.

    Args:
        replicates: of the study; those whose directory is not on this machine are left out.
        study: says what may differ.
        own: the keys that each arm sets: see `own_keys`.

    Returns:
        Each thing once, with the values of the first seed at which it differs.
    """
    # Where samples or time are equal, epochs are what gives.
    given = {*study.declared, *([EPOCHS] if study.budget.equal in ("samples", "wall_time") else [])}
    by_seed: dict[int, dict[str, tuple[Part, ...]]] = {}
    for replicate in replicates:
        if replicate.status == "FINISHED" and isinstance(replicate.result, RunResult):
            epochs = replicate.result.metrics.get("spent/epochs")
            trained = {} if epochs is None else _epochs(epochs)
            if parts := facts(replicate.result.run_dir):
                by_seed.setdefault(replicate.seed, {})[replicate.arm] = (*parts, trained)
    found: dict[str, Confound] = {}
    compared: set[tuple[tuple[str, int], ...]] = set()
    for seed, arms in by_seed.items():
        for same_kind in zip(*arms.values(), strict=True):
            parts_by_arm = dict(zip(arms, same_kind, strict=True))
            # Thousands of seeds have the same few parts: what was compared once says nothing new.
            which = tuple((arm, id(part)) for arm, part in parts_by_arm.items())
            if len({part for _, part in which}) == 1 or which in compared:
                continue
            compared.add(which)
            for confound in _differing(parts_by_arm, given, own, seed):
                found.setdefault(confound.what, confound)
    return list(found.values())


@functools.cache
def _epochs(number: float) -> Part:
    return {EPOCHS: f"{number:g}"}


def _differing(
    arms: Mapping[str, Part], given: Collection[str], own: Mapping[str, Collection[str]], seed: int
) -> Iterator[Confound]:
    for what in dict.fromkeys(name for part in arms.values() for name in part):
        if _declared(what, given):
            continue
        values = {
            arm: part[what] for arm, part in arms.items() if what in part and not _declared(what, own.get(arm, ()))
        }
        if len(set(values.values())) > 1:
            yield Confound(what, values, seed)


def _declared(what: str, known: Collection[str]) -> bool:
    """Whether a fact, or a key that it follows from, is among the known ones."""
    return any(_under(key, known) for key in (what, *CAUSES.get(what, ())))


def _under(key: str, known: Collection[str]) -> bool:
    """Whether `key` or a node above it is among the known ones."""
    parts = key.split(".")
    return any(".".join(parts[:length]) in known for length in range(1, len(parts) + 1))
