"""A study as it was asked for on the command line: at which scale, with which settings for all arms."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.runs.options import EXECUTION_KEYS
from experiments.studies.study import AS_WRITTEN, override_key

LONGEST = 100


@dataclass(frozen=True)
class Variation:
    """What tells one execution of a study from another: each has results of its own.

    Attributes:
        name: of the study.
        scale: `laptop`, or one of its `scales`.
        overrides: for all arms, but for those that say where and how runs are executed.
    """

    name: str
    scale: str
    overrides: tuple[str, ...]

    @classmethod
    def of(cls, name: str, scale: str, overrides: Sequence[str]) -> "Variation":
        """Return the variation that a command line asks for."""
        return cls(name, scale, tuple(sorted(item for item in overrides if not _is_execution(override_key(item)))))

    @property
    def title(self) -> str:
        """For people: `stacked_filters (scale=toy, datamodule=cifar10)`."""
        scale = [] if self.scale == AS_WRITTEN else [f"scale={self.scale}"]
        changes = ", ".join([*scale, *self.overrides])
        return f"{self.name} ({changes})" if changes else self.name

    @property
    def slug(self) -> str:
        """For folders; two variations have two."""
        title = self.title
        if title == self.name:
            return title
        plain = re.sub(r"[^\w=.,+-]+", "-", title).strip("-")[:LONGEST]
        return f"{plain}-{hashlib.sha256(title.encode()).hexdigest()[:6]}"


def _is_execution(key: str) -> bool:
    return any(key == known or key.startswith(f"{known}.") for known in EXECUTION_KEYS)
