"""What MLflow's pages make of a saved view, and the words of their code."""

import base64
import functools
import json
import re
import zlib
from pathlib import Path
from typing import Any

import mlflow


def unpacked(view: str) -> dict[str, Any]:
    """Return the state of a view as the page reads it."""
    envelope = json.loads(view)
    kind, packed = envelope["state"].split(";", maxsplit=1)
    assert kind == "deflate"
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return state


def axes(chart: dict[str, Any]) -> tuple[str, ...]:
    """Return the metrics that a chart shows, in its order."""
    pair = tuple(chart[axis]["key"] for axis in ("xaxis", "yaxis", "zaxis") if axis in chart)
    return pair or tuple(chart.get("selectedMetrics") or chart["selectedMetricKeys"])


@functools.cache
def page_code() -> str:
    """Return the JavaScript of the installed MLflow's pages."""
    folder = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"
    return "\n".join(file.read_text() for file in folder.glob("*.js"))


def in_page(pattern: str) -> str:
    """Return what matches in the pages' code; nothing where nothing does."""
    found = re.search(pattern, page_code())
    return "" if found is None else found[0]
