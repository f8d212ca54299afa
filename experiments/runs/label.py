"""What a run is called, and what it belongs to, among the others of the tracking store."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from experiments.tracking.parents import PARENT_TAG

__all__ = ["PARENT_TAG", "Label"]


@dataclass(frozen=True)
class Label:
    """A run's name and further tags in the store; they are no part of what it computes.

    Attributes:
        name: made of what differs from its neighbours; `None` for the name of its directory.
        tags: such as the study and the arm; `mlflow.parentRunId` nests it under another run, whose run id it
            holds, or whose key (`parents.parent_by_key`) while the store may not have it yet.
    """

    name: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
