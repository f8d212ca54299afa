"""What a run's journal can say: one small record per fact, one line of JSON per record."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
FinalStatus = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Opened:
    """A process began, or went on, to write this run.

    Attributes:
        time: seconds since the epoch, as in every record.
        key: what the run is found by in the store, whatever crashed in between; the same in every session.
        name: the run's name in the store.
        experiment: the MLflow experiment that it belongs to.
        session: 1 for the first process, 2 for the first resume, and so on.
        process: who wrote, as ``pid@host``.
    """

    time: float
    key: str
    name: str
    experiment: str
    session: int
    process: str


@dataclass(frozen=True)
class Params:
    """Parameters by their full names; a parameter is never changed."""

    time: float
    values: Mapping[str, str]


@dataclass(frozen=True)
class Tags:
    """Tags by name; the last value counts, None takes the tag away."""

    time: float
    values: Mapping[str, str | None]


@dataclass(frozen=True)
class Metrics:
    """Numbers of one step; NaN and the infinities included."""

    time: float
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Artifact:
    """A file or folder of the run directory, and the artifact folder that it goes to."""

    time: float
    path: str
    folder: str


@dataclass(frozen=True)
class DatasetInput:
    """A data set that the run read; ``schema`` and ``profile`` are JSON."""

    time: float
    name: str
    digest: str
    context: str
    source: str
    schema: str | None
    profile: str | None


@dataclass(frozen=True)
class Ended:
    """How a process left this run."""

    time: float
    status: FinalStatus
    reason: str | None


Record = Opened | Params | Tags | Metrics | Artifact | DatasetInput | Ended

_KINDS: dict[str, type[Record]] = {
    "open": Opened,
    "params": Params,
    "tags": Tags,
    "metrics": Metrics,
    "artifact": Artifact,
    "dataset": DatasetInput,
    "end": Ended,
}
_NAMES = {record: kind for kind, record in _KINDS.items()}


def encode(record: Record) -> bytes:
    """One line, newline included. Numbers that JSON does not know are written as strings: NaN, Infinity, -Infinity."""
    fields = {"kind": _NAMES[type(record)], **vars(record)}
    if isinstance(record, Metrics):
        fields["values"] = {key: _number(value) for key, value in record.values.items()}
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def beginning(kind: type[Record]) -> bytes:
    """How the line of every record of that kind begins: most lines of a journal need not be decoded to find one."""
    return f'{{"kind":"{_NAMES[kind]}"'.encode()


def decode(line: bytes) -> Record | None:
    """The record of one line, or None where the line is damaged or of a kind that this version does not know."""
    try:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("kind")]
        if kind is Metrics:
            fields["values"] = {key: float(value) for key, value in fields["values"].items()}
        return kind(**fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
