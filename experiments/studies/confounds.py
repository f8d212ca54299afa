"""The confound linter: what differs between arms, and neither the arms, nor the budget rule, nor the study declared."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import ListConfig, OmegaConf

from experiments.errors import StudyError, UserError
from experiments.runs.configuration import load, nearest
from experiments.runs.overrides import override_key
from experiments.runs.record import CONFIG_FILE, IDENTITY_FILE, PROVENANCE_FILE
from experiments.runs.result import RunResult
from experiments.studies.comparison import Replicate
from experiments.studies.plan import PlannedArm
from experiments.studies.study import Study

SHOWN = 4
EPOCHS = "epochs trained"
RECORDED = ("python", "processor", "threads", "accelerators")
# Where a run is recorded and found, which computes nothing.
_PLACES = ("choices", "experiment", "resume", "rerun", "runs_dir", "data_dir", "tracking", "checkpoint_minutes")
_PLACE_KEYS = (*_PLACES, "datamodule.root", "datamodule.download")
# Of a recorded configuration, what may have been other than it would be now: the execution keys.
_EXECUTED = (
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.accelerator",
    "trainer.precision",
    "trainer.deterministic",
    "datamodule.batch_size",
    "trainer.accumulate_grad_batches",
)


@dataclass(frozen=True)
class Confound:
    """One thing that differs: `what` (a key, or what is recorded of runs), and its value by arm."""

    what: str
    values: Mapping[str, str]

    def sentence(self) -> str:
        """Say it in one line; many arms in short."""
        shown = [f"{arm} {value}" for arm, value in list(self.values.items())[:SHOWN]]
        more = len(self.values) - len(shown)
        return f"{self.what} differs: {', '.join(shown)}{f' and {more} more arms' if more > 0 else ''}"


def planned_confounds(arms: Sequence[PlannedArm], declared: Sequence[str]) -> list[Confound]:
    """Return the keys in which the configurations of arms differ though nobody said that they would.

    Args:
        arms: of the study; one that chooses an option (`model=vgg11`) declares all keys of that group.
        declared: keys that the study says may differ.
    """
    flat = {arm.name: dict(_leaves(OmegaConf.to_container(arm.cfg))) for arm in arms}
    said = {arm.name: own_keys(arm) for arm in arms}
    found = []
    for key in dict.fromkeys(key for leaves in flat.values() for key in leaves):
        if _under(key, {*declared, *_PLACE_KEYS}):
            continue
        # Arms that set the key mean what they set; the others must agree among themselves.
        values = {name: str(leaves.get(key, "-")) for name, leaves in flat.items() if not _under(key, said[name])}
        if len(set(values.values())) > 1:
            found.append(Confound(key, values))
    return found


def check_declared(arms: Sequence[PlannedArm], declared: Sequence[str]) -> None:
    """Refuse a declaration of a key that no arm has: misspelt, it would excuse nothing.

    Raises:
        UserError: one line.
    """
    keys = {key for arm in arms for key, _ in _leaves(OmegaConf.to_container(arm.cfg))}
    above = {".".join(key.split(".")[:length]) for key in keys for length in range(1, key.count(".") + 2)}
    for key in declared:
        recorded = key in (EPOCHS, *RECORDED) or key.startswith(("version of ", "source of ", "digest of "))
        if key not in above and not recorded:
            raise StudyError(f"declared: {key}: no arm has such a key; {nearest(key, keys)}")


def own_keys(arm: PlannedArm) -> set[str]:
    """Return the keys that an arm sets, by itself or through the budget rule."""
    return {override_key(override) for override in (*arm.cell.overrides, *arm.share.overrides)}


def recorded_confounds(
    replicates: Sequence[Replicate], study: Study, own: Mapping[str, Collection[str]]
) -> list[Confound]:
    """Return what is recorded to differ between finished runs of one seed in different arms.

    World size, precision and effective batch as they were executed; versions, processor, threads and accelerators; the
    data's digest; source files that both used; the epochs that were trained. Arms are compared seed by seed, so that
    what differs between seeds alone is no confound.

    Args:
        replicates: of the study; those whose directory is not on this machine are left out.
        study: says what may differ.
        own: the keys that each arm sets: see `own_keys`.
    """
    # Where samples or time are equal, epochs are what gives.
    given = {*study.declared, *([EPOCHS] if study.budget.equal in ("samples", "wall_time") else [])}
    by_seed: dict[int, dict[str, dict[str, str]]] = {}
    for replicate in replicates:
        if replicate.status == "FINISHED" and isinstance(replicate.result, RunResult):
            facts = _facts(replicate.result.run_dir)
            epochs = replicate.result.metrics.get("spent/epochs")
            if epochs is not None:
                facts[EPOCHS] = f"{epochs:g}"
            by_seed.setdefault(replicate.seed, {})[replicate.arm] = facts
    found: dict[str, Confound] = {}
    for arms in by_seed.values():
        for what in dict.fromkeys(name for facts in arms.values() for name in facts):
            values = {
                arm: facts[what]
                for arm, facts in arms.items()
                if what in facts and not _under(what, set(own.get(arm, ())))
            }
            if len(set(values.values())) > 1 and what not in found and not _under(what, given):
                found[what] = Confound(what, values)
    return list(found.values())


def _facts(run_dir: Path) -> dict[str, str]:
    """Return what is recorded of how a run came about; what cannot be read is left out."""
    facts: dict[str, str] = {}
    try:
        cfg = load(run_dir / CONFIG_FILE)
        provenance = json.loads((run_dir / PROVENANCE_FILE).read_text(encoding="utf-8"))
        identity = json.loads((run_dir / IDENTITY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, UserError):
        return facts
    facts |= {key: str(OmegaConf.select(cfg, key)) for key in _EXECUTED}
    # Which of its devices a run got is chance; how many is not.
    devices = OmegaConf.select(cfg, "trainer.devices")
    facts["trainer.devices"] = str(len(devices)) if isinstance(devices, ListConfig) else str(devices)
    facts |= {name: str(provenance.get(name)) for name in RECORDED}
    facts |= {f"version of {name}": str(version) for name, version in provenance.get("packages", {}).items()}
    facts |= {f"source of {name}": str(digest)[:10] for name, digest in identity.get("code_files", {}).items()}
    facts["digest of the data"] = str(identity.get("data"))[:10]
    return facts


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, object]]:  # noqa: ANN401 - what a configuration holds
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node


def _under(key: str, known: set[str]) -> bool:
    """Whether `key` or a node above it is among the known ones."""
    parts = key.split(".")
    return any(".".join(parts[:length]) in known for length in range(1, len(parts) + 1))
