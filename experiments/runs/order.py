"""What a run's launcher tells each of its processes."""

from typing import Any, TypedDict


class Order(TypedDict):
    """What a process is to do: a run's directory and configuration, the rest as in `session.run_here`."""

    run_dir: str
    config: dict[str, Any]
    session: str
    command: list[str]
    progress: bool
    heartbeat: str | None
    name: str | None
    tags: dict[str, str]
