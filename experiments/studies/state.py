"""What has become of planned runs so far: done, interrupted, failed, stale and why, or still to be run."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from experiments.errors import StudyError, UserError
from experiments.runs import attempts
from experiments.runs.build import Assembly, assemble
from experiments.runs.execute import identity_of
from experiments.runs.identity import identities, ingredients
from experiments.runs.processes import shares
from experiments.runs.record import CONFIG_FILE, IDENTITY_FILE
from experiments.runs.recorded import without_weights
from experiments.runs.result import RunResult
from experiments.runs.source_files import code_digests, code_files
from experiments.studies.plan import PlannedArm, PlannedRun

Kind = Literal["done", "interrupted", "failed", "stale", "to do"]
FILE = "planned.json"
TOLD_KEYS = 3


@dataclass(frozen=True)
class RunState:
    """A planned run and what has become of it.

    Attributes:
        run: the planned run.
        identity: its identity now.
        run_dir: where it lies, or will lie.
        kind: done; interrupted (goes on from its checkpoint); failed before; stale (done before something changed);
            to do.
        result: of the latest attempt, where there is one; of the former run where it is stale.
        why: the reason of a failure, or what made the former run stale.
    """

    run: PlannedRun
    identity: str
    run_dir: Path
    kind: Kind
    result: RunResult | None = None
    why: str = ""


@dataclass(frozen=True)
class ArmState:
    """An arm, built once: its measures, and the state of each of its replicates."""

    arm: PlannedArm
    assembly: Assembly
    replicates: tuple[RunState, ...]

    def count(self, kind: Kind) -> int:
        """Return how many replicates are in that state."""
        return sum(state.kind == kind for state in self.replicates)


def look(arms: Sequence[PlannedArm], seeds: Sequence[int], folder: Path) -> list[ArmState]:
    """Return the state of every replicate; each arm is built once, so that what cannot be built is said first.

    Args:
        arms: of the study.
        seeds: of its replicates.
        folder: of the study; keeps which identities were planned before.

    Raises:
        UserError: an arm that cannot be built, two arms that are the same runs, or a folder that cannot be written to.
    """
    before = _read(folder / FILE)
    states = []
    for arm in arms:
        try:
            assembly = _assembled(arm)
        except UserError as error:
            raise arm.sources.blamed(error, arm.sources.named_by(error)) from error
        found = _identities(arm, assembly, seeds)
        name, runs_dir, told = arm.name, Path(arm.cfg.runs_dir), _Changes(assembly.datamodule.digest)
        states.append(
            ArmState(
                arm,
                assembly,
                tuple(
                    _state(PlannedRun(arm, seed), found[seed], runs_dir, before.get(f"{name} {seed}", []), told)
                    for seed in seeds
                ),
            )
        )
    _refuse_same_runs(states)
    return states


def _assembled(arm: PlannedArm) -> Assembly:
    """Build an arm; one that starts from a run of the study without its weights, which may not be there yet."""
    if not arm.start:
        return assemble(arm.cfg)
    cfg = arm.cfg.copy()
    without_weights(cfg)
    return assemble(cfg)


def _refuse_same_runs(states: Sequence[ArmState]) -> None:
    """Refuse two arms that differ in execution keys alone: each run would be trained once, and compared with itself."""
    seen: dict[str, str] = {}
    for state in states:
        identity, name = state.replicates[0].identity, state.arm.name
        if other := seen.get(identity):
            raise StudyError(
                f"arms.{name}: the same runs as arms.{other}: how and where they are executed is no part of a run's "
                "identity; arms must differ in what decides their results"
            )
        seen[identity] = name


def remember(states: Sequence[ArmState], folder: Path) -> None:
    """Write down which identities are planned now, so that a later look can tell what has become stale, and why."""
    planned = _read(folder / FILE)
    for state in states:
        for one in state.replicates:
            names = planned.setdefault(f"{state.arm.name} {one.run.seed}", [])
            if one.run_dir.name in names:
                names.remove(one.run_dir.name)
            names.append(one.run_dir.name)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{FILE}.new"
    fresh.write_text(json.dumps(planned, indent=0) + "\n", encoding="utf-8")
    fresh.replace(folder / FILE)


def any_finished(states: Sequence[ArmState], folder: Path, runs_dir: Path) -> bool:
    """Whether a run of the study has ever finished here: of these states, or of other seeds, arms or former code.

    Args:
        states: of its runs now.
        folder: of the study; keeps which identities were planned before.
        runs_dir: of all runs.
    """
    if any(state.count("done") or state.count("stale") for state in states):
        return True
    names = {name for planned in _read(folder / FILE).values() for name in planned}
    results = (RunResult.read(runs_dir / name) for name in sorted(names))
    return any(result is not None and result.status == "FINISHED" for result in results)


def _read(file: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file}: cannot be read ({error}); without it nothing is lost but why runs are stale"
        ) from error
    return content if isinstance(content, dict) else {}


def _identities(arm: PlannedArm, assembly: Assembly, seeds: Sequence[int]) -> Mapping[int, str]:
    own = identity_of(assembly)
    if not arm.seed_keys:
        found = {}
        for seed in seeds:
            cfg = arm.configuration(seed)
            keys = ("seed",)
            parts = shares(cfg, assembly.network)
            found[seed] = identities(cfg, [seed], own.data, keys=keys, shares=parts)[seed].digest
        return found
    parts = shares(arm.cfg, assembly.network)
    every = identities(arm.cfg, seeds, own.data, keys=arm.seed_keys, shares=parts)
    return {seed: identity.digest for seed, identity in every.items()}


def _state(run: PlannedRun, identity: str, runs_dir: Path, before: Sequence[str], told: "_Changes") -> RunState:
    name = attempts.stem(run.planned.cfg.choices, run.seed, identity)
    run_dir = attempts.latest(runs_dir, name)
    result = RunResult.read(run_dir)
    if result is None or result.identity != identity:
        if run_dir.exists():
            return RunState(run, identity, run_dir, "interrupted")
        return _stale(run, identity, run_dir, before, told) or RunState(run, identity, run_dir, "to do")
    if result.status == "FINISHED":
        return RunState(run, identity, run_dir, "done", result.again())
    kind: Kind = "failed" if result.status == "FAILED" else "interrupted"
    return RunState(run, identity, run_dir, kind, result, result.reason or "")


def _stale(run: PlannedRun, identity: str, run_dir: Path, before: Sequence[str], told: "_Changes") -> RunState | None:
    """Return the state of a run that was finished under another identity, the latest such one."""
    for name in reversed(before):
        former = run_dir.parent / name
        result = RunResult.read(former)
        if result is not None and result.status == "FINISHED" and result.identity != identity:
            return RunState(run, identity, run_dir, "stale", result, told.of(former, run))
    return None


class _Changes:
    """What made the runs of one arm stale, found out once for all that were recorded alike but for their seeds."""

    def __init__(self, data: str) -> None:
        self._data = data
        self._said: dict[tuple[str, str, str], str] = {}

    def of(self, former: Path, run: PlannedRun) -> str:
        """Say what differs between a recorded run and `run` as it would be run now."""
        if not run.planned.seed_keys:
            return changes(former, run.cfg, self._data)
        try:
            recorded = json.loads((former / IDENTITY_FILE).read_text(encoding="utf-8"))
            code, data = json.dumps(recorded["code_files"]), str(recorded["data"])
            configuration = (former / CONFIG_FILE).read_text(encoding="utf-8")
        except (OSError, ValueError, KeyError):
            return changes(former, run.cfg, self._data)
        names = "|".join({re.escape(key.rpartition(".")[2]) for key in run.planned.seed_keys})
        alike = code, data, re.sub(rf"(?m)^( *(?:{names})): {run.seed}$", r"\1", configuration)
        if alike not in self._said:
            self._said[alike] = changes(former, run.cfg, self._data)
        return self._said[alike]


def changes(former: Path, cfg: DictConfig, data: str) -> str:
    """Say what differs between a recorded run and the configuration, code and data that it would be run with now."""
    try:
        recorded = json.loads((former / IDENTITY_FILE).read_text(encoding="utf-8"))
        then, _ = recorded["code_files"], recorded["data"]
        old = ingredients(OmegaConf.load(former / CONFIG_FILE))  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError):
        return "its record cannot be read any more"
    now = code_digests(code_files(cfg).items())
    files = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    keys = sorted(_differences(old, ingredients(cfg)))
    said = []
    if files:
        said.append(f"code: {_listed(files)}")
    if keys:
        said.append(f"configuration: {_listed(keys)}")
    if not said and recorded["data"] != data:
        said.append("data: other pictures or labels")
    # What no key shows decides the result too.
    hidden = "the number of processes" if cfg.model.get("weights") is None else "the content of model.weights"
    return "; ".join(said) or f"configuration: {hidden}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - TOLD_KEYS} more" if len(names) > TOLD_KEYS else ""
    return ", ".join(names[:TOLD_KEYS]) + more


def _differences(one: Any, other: Any, prefix: str = "") -> set[str]:  # noqa: ANN401 - whatever a configuration holds
    if isinstance(one, dict) and isinstance(other, dict):
        found: set[str] = set()
        for key in one.keys() | other.keys():
            found |= _differences(one.get(key), other.get(key), f"{prefix}.{key}" if prefix else str(key))
        return found
    return set() if one == other else {prefix}
