"""The recorded result of a study as a file of the repository: what others compare theirs with."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from experiments.errors import UserError
from experiments.runs.source_files import HOUSE
from experiments.studies import membership
from experiments.studies.claims_said import Judged
from experiments.studies.gather import Gathered
from experiments.studies.intervals import Bound
from experiments.studies.made_of import MadeOf
from experiments.studies.pretrained import PREFIX
from experiments.studies.study import Study

FORMAT = 1
FOLDER = HOUSE / "docs" / "studies"


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
    """One arm: how it was made, its measures and its runs.

    `made_of` has its code in the study's `code`, and is `None` where the store had not the files that say it.
    """

    name: str
    overrides: tuple[str, ...]
    measures: Mapping[str, float]
    runs: tuple[ReferenceRun, ...]
    made_of: MadeOf | None = None


@dataclass(frozen=True)
class ReferenceVerdict:
    """What became of one claim; `bound` is what the effect is where it is known by a bound alone."""

    claim: str
    outcome: str
    mean: float | None
    low: float | None
    high: float | None
    n: int
    bound: Bound = ""


@dataclass(frozen=True)
class ReferenceEnvironment:
    """Where some of the runs come from."""

    runs: int
    commit: str
    uncommitted: bool
    hardware: str
    packages: Mapping[str, str]
    machine: Mapping[str, Any]

    @property
    def session(self) -> dict[str, Any]:
        """Packages and hardware as the provenance of a run has them."""
        versions = {name: version for name, version in self.packages.items() if name != "python"}
        python = {"python": self.packages["python"]} if "python" in self.packages else {}
        return {**python, "packages": versions, **self.machine}


@dataclass(frozen=True)
class Reference:
    """A study's recorded result.

    Attributes:
        name: of the study.
        variation: of the study.
        definition: the study as it was asked, see `definition_of`.
        metric: what arms are compared by; lower is better.
        arms: in the study's order.
        verdicts: on the claims.
        environments: where the runs come from.
        code: digests of the source files of all arms, and of what they start from, by module.
        pretraining: what that is made of, by name, with its code in `code`.
    """

    name: str
    variation: str
    definition: Mapping[str, Any]
    metric: str
    arms: tuple[ReferenceArm, ...]
    verdicts: tuple[ReferenceVerdict, ...]
    environments: tuple[ReferenceEnvironment, ...]
    code: Mapping[str, str]
    pretraining: Mapping[str, MadeOf] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """The seeds that every arm was run under."""
        return [run.seed for run in self.arms[0].runs]

    @property
    def made_of(self) -> dict[str, MadeOf]:
        """What the arms, and what they start from, are made of, by their names, as far as it is known."""
        return {**{arm.name: arm.made_of for arm in self.arms if arm.made_of is not None}, **self.pretraining}

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """Packages and hardware, those of most runs first, as far as they could be read."""
        return [one.session for one in self.environments if one.packages]

    def arm(self, name: str) -> ReferenceArm | None:
        """The arm called `name`, if there is one."""
        return next((arm for arm in self.arms if arm.name == name), None)


def definition_of(study: Study) -> dict[str, Any]:
    """Return what a study asks: all but its wording, its seeds, which are told with the runs, and what goes unsaid.

    A key that a later whydeep knows, and that stands at its default, changes nothing of it.
    """
    told = {"question", "source", "scales", "seeds"}
    asked: dict[str, Any] = study.model_dump(mode="json", by_alias=True, exclude=told, exclude_defaults=True)
    return asked


def reference_file(name: str, varied: str) -> Path:
    """Return where the repository keeps a study's reference: `NAME.json`, of a variation `NAME.toy.json` and the like.

    Args:
        name: of the study.
        varied: which of its variations, see `membership.variation`.
    """
    parts = [] if varied == membership.AS_WRITTEN else varied.split(" ")
    slugs = [re.sub(r"[^A-Za-z0-9._-]+", "-", part.removeprefix("scale=")).strip("-") for part in parts]
    return FOLDER / f"{'.'.join([name, *slugs])}.json"


def reference(gathered: Gathered, verdicts: Mapping[str, Judged], made_of: Mapping[str, MadeOf]) -> Reference:
    """Return the result of a study as it is kept; `made_of` is of its arms and what they start from, where known.

    Raises:
        UserError: a run is missing.
    """
    missing = [run for run in gathered.comparison.replicates if run.reason is not None]
    if missing:
        raise UserError(
            f"{gathered.written.name}: {len(missing)} runs are missing, first {missing[0].arm} seed {missing[0].seed} "
            f"({missing[0].reason}); only a study that is finished is compared with"
        )
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
            made_of=replace(made_of[arm.name], code={}) if arm.name in made_of else None,
        )
        for arm in comparison.arms
    ]
    return Reference(
        name=written.name,
        variation=written.variation,
        definition=definition_of(written.study),
        metric=comparison.metric,
        arms=tuple(arms),
        verdicts=tuple(_verdict(name, verdict) for name, verdict in verdicts.items()),
        environments=tuple(
            ReferenceEnvironment(
                found.runs,
                found.origin.commit,
                found.origin.uncommitted,
                found.origin.hardware,
                dict(found.packages),
                dict(found.machine),
            )
            for found in gathered.environments
        ),
        code={module: digest for made in made_of.values() for module, digest in sorted(made.code.items())},
        pretraining={name: replace(made, code={}) for name, made in made_of.items() if name.startswith(PREFIX)},
    )


def write_reference(
    path: Path, gathered: Gathered, verdicts: Mapping[str, Judged], made_of: Mapping[str, MadeOf]
) -> None:
    """Write the result of a study to `path`; `made_of` is as `reference` takes it.

    Raises:
        UserError: a run is missing, or the file cannot be written.
    """
    content = {"format": FORMAT, **asdict(reference(gathered, verdicts, made_of))}
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
    return ReferenceVerdict(name, verdict.outcome, effect.mean, effect.low, effect.high, effect.n, effect.bound)
