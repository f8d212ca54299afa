"""The keys of a training's start, looked at before anything is built: `model.weights` and those that go with it."""

import re
from collections.abc import Mapping
from typing import Any

from experiments.errors import UserError
from experiments.tracking.registry import SCHEME, check_model_reference

KEY = "model.weights"
RUN, TORCHVISION = "run:", "torchvision:"
# Means a run that a study plans; the study says which.
PRETRAINING = "pretraining:"
# What a configuration without weights has at their keys.
NO_WEIGHTS = {"weights": None, "weights_digest": None, "weights_identity": None, "key_map": None, "copy": "all"}
FIRST = "first:"
WORDS = ("all", "none", "trunk")


def check_start(model: Mapping[str, Any]) -> None:
    """Refuse a source or a part that means nothing, and keys that go with weights where there are none.

    Args:
        model: the part of the configuration, of any age.

    Raises:
        UserError: one line that names the key, the value and what is allowed.
    """
    weights = model.get("weights")
    for key, nothing in NO_WEIGHTS.items():
        value = model.get(key, nothing)
        if value != nothing and weights is None:
            raise UserError(f"model.{key}={value}: goes with {KEY}, which is null")
    if isinstance(weights, str):
        check_source(weights)
    for key, usual in (("copy", "all"), ("freeze", "none")):
        word = model.get(key, usual)
        if isinstance(word, str):
            _check_word(f"model.{key}", word, usual)


def check_source(source: str) -> None:
    """Refuse a source of weights that means nothing.

    Raises:
        UserError: one line that says what is allowed.
    """
    if source.startswith(SCHEME):
        check_model_reference(KEY, source)
    for scheme, what in ((RUN, "a run id or a run's name"), (TORCHVISION, "the name of published weights")):
        if source.startswith(scheme) and not source.removeprefix(scheme).strip():
            raise UserError(f"{KEY}={source}: must be {scheme} and {what}")


def allowed(usual: str) -> str:
    """Say what a part may be."""
    return f"{usual}, trunk, first:N (layers), or a pattern of tensors' names such as layer1.*"


def _check_word(key: str, word: str, usual: str) -> None:
    is_pattern = word not in WORDS and any(sign in word for sign in "*?[.")
    if not (word in (usual, "trunk") or re.fullmatch(rf"{FIRST}[1-9]\d*", word) or is_pattern):
        raise UserError(f"{key}={word}: must be {allowed(usual)}")
