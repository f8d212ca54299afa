"""What has become of planned runs so far: done, interrupted, failed, stale and why, or still to be run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig, OmegaConf

from experiments.errors import StudyError, UserError
from experiments.runs import attempts
from experiments.runs.build import Assembly, assemble, build_datamodule
from experiments.runs.identity import Identity, identities
from experiments.runs.processes import shares
from experiments.runs.recorded import without_weights
from experiments.runs.result import RunResult
from experiments.studies.plan import PlannedArm, PlannedRun
from experiments.studies.stale import Changes

Kind = Literal["done", "interrupted", "failed", "stale", "to do"]
FILE = "planned.json"


@dataclass(frozen=True)
class RunState:
    """A planned run and what has become of it.

    Attributes:
        run: the planned run.
        own: its identity now.
        run_dir: where it lies, or will lie.
        kind: done; interrupted (goes on from its checkpoint); failed before; stale (done before something changed);
            to do.
        result: of the latest attempt, where there is one; of the former run where it is stale.
        why: the reason of a failure, or what made the former run stale.
    """

    run: PlannedRun
    own: Identity
    run_dir: Path
    kind: Kind
    result: RunResult | None = None
    why: str = ""

    @property
    def identity(self) -> str:
        """The digest of its identity now."""
        return self.own.digest


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
        UserError: an arm that cannot be built, two arms that are the same runs, a folder that cannot be written to, or
            one that holds a run of another identity.
    """
    before = _read(folder / FILE)
    states = []
    for arm in arms:
        try:
            assembly = _assembled(arm)
            found = _identities(arm, assembly, seeds)
        except UserError as error:
            raise arm.sources.blamed(error, arm.sources.named_by(error)) from error
        name, runs_dir, told = arm.name, Path(arm.cfg.runs_dir), Changes()
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


def look_again(states: Sequence[ArmState], folder: Path) -> list[ArmState]:
    """Return the states as they are by now: what was missing may have been run meanwhile, in another study too.

    Args:
        states: of `look`; what was done then is done.
        folder: of the study.

    Raises:
        UserError: as `look`, of the folder.
    """
    before = _read(folder / FILE)
    return [replace(state, replicates=tuple(_again(state, before))) for state in states]


def _again(arm: ArmState, before: Mapping[str, Sequence[str]]) -> Iterator[RunState]:
    told = Changes()
    for one in arm.replicates:
        if one.kind == "done":
            yield one
        else:
            names = before.get(f"{arm.arm.name} {one.run.seed}", [])
            yield _state(one.run, one.own, Path(arm.arm.cfg.runs_dir), names, told)


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
    results = (_readable(runs_dir / name) for name in sorted(names))
    return any(result is not None and result.status == "FINISHED" for result in results)


def _read(file: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file}: cannot be read ({error}); remove it: nothing is lost but why runs are stale"
        ) from error
    return content if isinstance(content, dict) else {}


def _identities(arm: PlannedArm, assembly: Assembly, seeds: Sequence[int]) -> Mapping[int, Identity]:
    digest = assembly.datamodule.digest
    if arm.seed_keys:
        return identities(arm.cfg, seeds, digest, keys=arm.seed_keys, shares=shares(arm.cfg, assembly.network))
    # Each seed may say where its data lie (`datamodule.root=data${seed}`): what is elsewhere is looked at.
    digests = {_place_of_data(arm.cfg): digest}
    found = {}
    for seed in seeds:
        cfg = arm.configuration(seed)
        place = _place_of_data(cfg)
        if place not in digests:
            digests[place] = build_datamodule(cfg).digest
        parts = shares(cfg, assembly.network)
        found[seed] = identities(cfg, [seed], digests[place], keys=("seed",), shares=parts)[seed]
    return found


def _place_of_data(cfg: DictConfig) -> str:
    """Return all that decides the content of a data set: not its seed, which decides what is taken of it."""
    content = OmegaConf.to_container(cfg.datamodule, resolve=True)
    if isinstance(content, dict):
        content.pop("seed", None)
    return repr(content)


def _state(run: PlannedRun, own: Identity, runs_dir: Path, before: Sequence[str], told: Changes) -> RunState:
    name = attempts.stem(run.planned.cfg.choices, run.seed, own.digest)
    run_dir = attempts.latest(runs_dir, name)
    try:
        result = RunResult.read(run_dir)
    except UserError as error:
        raise UserError(
            f"{error}; remove this file: the run goes on from its checkpoint, and nothing is lost"
        ) from error
    if result is None:
        if run_dir.exists():
            return RunState(run, own, run_dir, "interrupted")
        return _stale(run, own, run_dir, before, told) or RunState(run, own, run_dir, "to do")
    attempts.refuse_others(result, own.digest)
    if result.status == "FINISHED":
        return RunState(run, own, run_dir, "done", result.again())
    kind: Kind = "failed" if result.status == "FAILED" else "interrupted"
    return RunState(run, own, run_dir, kind, result, result.reason or "")


def _stale(run: PlannedRun, own: Identity, run_dir: Path, before: Sequence[str], told: Changes) -> RunState | None:
    """Return the state of a run that was finished under another identity, the latest such one."""
    for name in reversed(before):
        former = run_dir.parent / name
        result = _readable(former)
        if result is not None and result.status == "FINISHED" and result.identity != own.digest:
            return RunState(run, own, run_dir, "stale", result, told.of(former, run, own.data))
    return None


def _readable(former: Path) -> RunResult | None:
    """Return the result of a run that is not planned any more; what is damaged says nothing, and stops nothing."""
    try:
        return RunResult.read(former)
    except UserError:
        return None
