"""The recorded result of a study as a file of the repository: what others compare theirs with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from experiments.errors import UserError
from experiments.studies.claims_said import Judged
from experiments.studies.gather import Gathered
from experiments.studies.study import Study

FORMAT = 1


@dataclass(frozen=True)
class ReferenceRun:
    """One replicate: what it measured, and under which identity and run id it was recorded."""

    seed: int
    status: str
    identity: str
    run_id: str | None
    metrics: Mapping[str, float]
    reason: str | None = None


@dataclass(frozen=True)
class ReferenceArm:
    """One arm: how it was made, its measures and its runs."""

    name: str
    overrides: tuple[str, ...]
    measures: Mapping[str, float]
    runs: tuple[ReferenceRun, ...]


@dataclass(frozen=True)
class ReferenceVerdict:
    """What became of one claim."""

    claim: str
    outcome: str
    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class ReferenceEnvironment:
    """Where some of the runs come from."""

    runs: int
    commit: str
    uncommitted: bool
    hardware: str
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Reference:
    """A study's recorded result.

    Attributes:
        name: of the study.
        variation: of the study.
        definition: digest of the study as it was asked, see `definition_digest`.
        metric: what arms are compared by; lower is better.
        arms: in the study's order.
        verdicts: on the claims.
        environments: where the runs come from.
    """

    name: str
    variation: str
    definition: str
    metric: str
    arms: tuple[ReferenceArm, ...]
    verdicts: tuple[ReferenceVerdict, ...]
    environments: tuple[ReferenceEnvironment, ...]

    def arm(self, name: str) -> ReferenceArm | None:
        """The arm called `name`, if there is one."""
        return next((arm for arm in self.arms if arm.name == name), None)


def definition_digest(study: Study) -> str:
    """Return the digest of what a study asks: of all but its wording."""
    asked = study.model_dump(mode="json", by_alias=True, exclude={"question", "source", "scales"})
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def reference(gathered: Gathered, verdicts: Mapping[str, Judged]) -> Reference:
    """Return the result of a study as it is kept."""
    written, comparison = gathered.written, gathered.comparison
    identities = {(one.arm, one.seed): one.identity for one in written.replicates}
    arms = [
        ReferenceArm(
            name=arm.name,
            overrides=written.arm(arm.name).overrides,
            measures=dict(arm.measures),
            runs=tuple(
                ReferenceRun(
                    seed=run.seed,
                    status=run.status,
                    identity=identities[run.arm, run.seed],
                    run_id=run.result.run_id if run.result else None,
                    metrics=dict(run.result.metrics) if run.result else {},
                    reason=run.reason,
                )
                for run in arm.replicates
            ),
        )
        for arm in comparison.arms
    ]
    return Reference(
        name=written.name,
        variation=written.variation,
        definition=definition_digest(written.study),
        metric=comparison.metric,
        arms=tuple(arms),
        verdicts=tuple(_verdict(name, verdict) for name, verdict in verdicts.items()),
        environments=tuple(
            ReferenceEnvironment(
                found.runs, found.origin.commit, found.origin.uncommitted, found.origin.hardware, dict(found.packages)
            )
            for found in gathered.environments
        ),
    )


def write_reference(path: Path, gathered: Gathered, verdicts: Mapping[str, Judged]) -> None:
    """Write the result of a study to `path`.

    Raises:
        UserError: a run is missing, or the file cannot be written.
    """
    missing = [run for run in gathered.comparison.replicates if run.status != "FINISHED"]
    if missing:
        raise UserError(
            f"reference={path}: {len(missing)} runs are missing, first {missing[0].arm} seed {missing[0].seed} "
            f"({missing[0].reason}); a reference is written of a study that is finished"
        )
    content = {"format": FORMAT, **asdict(reference(gathered, verdicts))}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"reference={path}: cannot be written ({error.strerror})") from error


def read_reference(path: Path) -> Reference:
    """Read the recorded result of a study.

    Raises:
        UserError: no such file, not a reference, or one of a newer whydeep.
    """
    try:
        content = json.loads(path.read_bytes())
        made = content.pop("format")
        if not isinstance(made, int) or made > FORMAT:
            raise UserError(f"{path}: written by a newer whydeep (format {made}); update this one")
        return TypeAdapter(Reference).validate_python(content)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; `whydeep report NAME reference={path}` writes it") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the reference of a study ({' '.join(str(error).split())})") from error


def _verdict(name: str, verdict: Judged) -> ReferenceVerdict:
    effect = verdict.effect
    if effect is None:
        return ReferenceVerdict(name, verdict.outcome, None, None, None, 0)
    return ReferenceVerdict(name, verdict.outcome, effect.mean, effect.low, effect.high, effect.n)
