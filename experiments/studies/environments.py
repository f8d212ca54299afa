"""Where the runs of a study come from: commit, packages and hardware, and which runs share them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from experiments.runs.ingredients import HARDWARE
from experiments.studies.membership import IDENTITY_TAG
from experiments.tracking.stored_run import StoredRun

# Packages whose versions can change a number of the report; all of them are in each run's provenance.
TOLD_PACKAGES = ("torch", "torchvision", "pytorch-lightning", "albumentations", "numpy")
MOST_TOLD = 8


@dataclass(frozen=True)
class Origin:
    """What a run's tags say of where it comes from; equal origins have equal packages."""

    commit: str
    uncommitted: bool
    packages: str
    hardware: str

    TAGS: ClassVar = ("whydeep.commit", "whydeep.uncommitted", "whydeep.packages", "whydeep.hardware")

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> "Origin":
        """Read it from the tags of a run."""
        commit, uncommitted, packages, hardware = (tags.get(name, "") for name in cls.TAGS)
        return cls(commit, uncommitted == "true", packages, hardware)


@dataclass(frozen=True)
class Environment:
    """An origin with the versions of some packages, and the runs that share it.

    `packages` holds all versions, `machine` what one of the runs recorded of the hardware; both are empty where that
    cannot be read. `members` are the identities of the runs.
    """

    origin: Origin
    versions: str
    packages: Mapping[str, str]
    members: frozenset[str]
    machine: Mapping[str, object] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """How many runs share it."""
        return len(self.members)

    @property
    def told(self) -> str:
        """The environment in one line."""
        runs = f"{self.runs} run{'s' if self.runs > 1 else ''}"
        commit = self.origin.commit if self.origin.commit not in ("", "none") else ""
        where = f"at commit {commit}" if commit else "outside a git checkout"
        changed = " with uncommitted changes, which are recorded with each run" if self.origin.uncommitted else ""
        return "; ".join(filter(None, [f"{runs} {where}{changed}", self.versions, self.origin.hardware]))


def environments(
    runs: Sequence[StoredRun], provenance: Callable[[StoredRun], Mapping[str, object]]
) -> tuple[Environment, ...]:
    """Group runs by their origins, most runs first; `provenance` is asked of one run of each group."""
    groups: dict[Origin, list[StoredRun]] = {}
    for run in runs:
        groups.setdefault(Origin.of(run.tags), []).append(run)
    found: list[Environment] = []
    for origin, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        recorded = provenance(members[0]) if len(found) < MOST_TOLD else {}
        found.append(environment(origin, recorded, [run.tags.get(IDENTITY_TAG, run.run_id) for run in members]))
    return tuple(found)


def environment(origin: Origin, recorded: Mapping[str, object], members: Iterable[str]) -> Environment:
    """Say an origin with the versions that a run's provenance recorded; `members` are the identities of its runs."""
    listed = recorded.get("packages")
    packages = {str(name): str(version) for name, version in listed.items()} if isinstance(listed, dict) else {}
    if isinstance(python := recorded.get("python"), str):
        packages["python"] = python
    told = [f"Python {packages['python']}"] if "python" in packages else []
    told += [f"{name} {packages[name]}" for name in TOLD_PACKAGES if name in packages]
    machine = {name: recorded[name] for name in HARDWARE if name in recorded}
    return Environment(origin, ", ".join(told), packages, frozenset(members), machine)
