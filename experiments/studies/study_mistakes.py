"""What is wrong with a study's data, in one line: key, value, what is allowed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from experiments.runs.configuration import nearest
from experiments.studies.claim import Claim
from experiments.studies.study_parts import Arm, Budget, Scale

_MODELS: dict[str, type[BaseModel]] = {"arms": Arm, "claims": Claim, "budget": Budget, "scales": Scale}
_LONGEST = 60  # characters of a list or mapping that is shown

# What the keys of a study hold, and what each of their own keys holds: as it is written in a file.
_WHOLE = {
    "arms": "a mapping from names to arms, such as {a: {overrides: [model=conv5x5], role: baseline}}",
    "claims": "a mapping from names to claims, such as {deeper: {contrast: b - a, is: lower}}",
    "scales": "a mapping from names to scales, such as {toy: {seeds: 2}}",
    "factors": "a mapping from factors to levels, such as {depth: {20: [model=resnet20], 32: [model=resnet32]}}",
    "when": "a mapping from factors to where they vary, such as {norm: {depth: [20, 56]}}",
    "zip": "a list of groups of factors, such as [[width, depth]]",
    "declared": "a list of keys, such as [optimizer.lr]",
}
_PART = {
    "arms": "a mapping such as {overrides: [model=conv5x5]}",
    "claims": "a mapping such as {contrast: b - a, is: lower}",
    "budget": "a mapping such as {equal: epochs}",
    "scales": "a mapping such as {seeds: 2, overrides: [trainer.max_epochs=1]}",
    "factors": "a mapping from levels to settings, such as {20: [model=resnet20], 32: [model=resnet32]}",
    "when": "a mapping from factors to levels, such as {depth: [20, 56]}",
    "zip": "a list of factors, such as [width, depth]",
}
_SETTINGS = "a list of settings, such as [optimizer.lr=0.1]"
_TYPES = ("model_type", "dict_type", "list_type", "string_type")
_WORDS = {
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def mistake(error: ValidationError, whole: type[BaseModel], content: Mapping[Any, Any]) -> str:
    """Say in one line what is wrong first with `content`, the data of `whole`, a study."""
    # A misspelt key is also a missing one; the misspelling is what helps.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    shown = [part for part in location if part != "[key]"]
    if location[:2] == ["claims", "claim"] and "claim" in content:
        shown = shown[1:]  # the short form of a single one
    key = ".".join(shown)
    if first["type"] == "extra_forbidden":
        model = _MODELS.get(location[0], whole) if len(location) > 1 else whole
        fields = [field.alias or name for name, field in model.model_fields.items()]
        return f"{key}: unknown key; {nearest(location[-1], [*fields, *(['claim'] if model is whole else [])])}"
    if first["type"] == "missing":
        return f"{key}: missing"
    if location[-1:] == ["[key]"]:
        return f"{'.'.join(shown[:-1])}: {_no_name(first['input'])}"
    message = _reason(first, location)
    return f"{key}{_value(first)}: {message}" if key else message


def _no_name(key: object) -> str:
    read = "; YAML reads yes and on as true, no and off as false" if isinstance(key, bool) else ""
    return f"{json.dumps(key)} is not read as a name; put it in quotes{read}"


def _reason(found: ErrorDetails, location: Sequence[str]) -> str:
    kind = found["type"]
    if kind in _TYPES:
        return f"must be {_wanted(kind, location)}"
    message = found["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    message = f"must {message}" if found["msg"].startswith("Input should ") else f"{message[0].lower()}{message[1:]}"
    return _WORDS.get(kind, message)


def _wanted(kind: str, location: Sequence[str]) -> str:
    in_settings = location[0] == "factors" or "overrides" in location
    if kind == "string_type":
        return "text of the form key=value" if in_settings else "text"
    if kind == "list_type" and in_settings:
        return _SETTINGS
    said = _WHOLE if len(location) == 1 and kind != "model_type" else _PART
    return said.get(location[0], "a list" if kind == "list_type" else "a mapping")


def _value(found: ErrorDetails) -> str:
    value = found["input"]
    if isinstance(value, str):
        return f"={value!r}"
    text = json.dumps(value, default=str, ensure_ascii=False)
    # A mapping of the right kind is not what is wrong, but something in it.
    inside = isinstance(value, dict) and found["type"] not in _TYPES
    return "" if inside or len(text) > _LONGEST else f"={text}"
