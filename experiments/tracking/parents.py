"""Runs that nest under others: a child names its parent by key, because the store may not have the parent yet.

MLflow nests a run by the tag `mlflow.parentRunId`, and a run id exists only once the store has answered. A run's key
exists from its first moment. A child that begins while the store is away is told the key; whoever sends the child later
puts the parent's run id in its place as soon as the store has the parent.
"""

PARENT_TAG = "mlflow.parentRunId"
_KEY = "key:"


def parent_by_key(key: str) -> str:
    """What a child's parent tag is set to, before the parent's run id is known."""
    return f"{_KEY}{key}"


def parents_key(tag: str | None) -> str | None:
    """The key in a parent tag; `None` where it holds a run id, or nothing."""
    return tag.removeprefix(_KEY) if tag is not None and tag.startswith(_KEY) else None
