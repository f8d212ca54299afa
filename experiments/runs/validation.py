"""Checking a configuration before anything is built: every key against the signature of what it configures."""

import inspect
import logging
import typing
from collections.abc import Callable, Mapping
from typing import Any

import pydantic
from hydra.errors import HydraException
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from experiments.errors import UserError
from experiments.runs.configuration import nearest
from experiments.runs.options import COMPONENTS, RunOptions
from experiments.runs.ranges import check_ranges

# Arguments that the builder fills in.
INJECTED: dict[str, frozenset[str]] = {
    "model": frozenset({"network", "num_classes", "optimizer", "scheduler", "seed", "fine_tuning"}),
    "model.network": frozenset({"num_classes", "in_channels"}),
    "datamodule": frozenset({"augmentation"}),
    "optimizer": frozenset({"params"}),
    "scheduler": frozenset({"optimizer", "total_steps"}),
    "tracking": frozenset(),
    "trainer": frozenset(),
}
# Keys of a component that the builder reads itself.
BUILDER_KEYS: dict[str, dict[str, Any]] = {
    "model": {
        "network": dict[str, Any],
        "weights": str | None,
        "weights_digest": str | None,
        "weights_identity": str | None,
        "key_map": str | None,
        "copy": str,
        "freeze": str,
        "frozen_batch_norm": str,
        "trunk_lr_factor": float,
        "suggested_lr": float,
    }
}
# What a run decides itself; to set it would break the record.
RESERVED = {
    "trainer": frozenset({"logger", "callbacks", "enable_checkpointing", "default_root_dir", "use_distributed_sampler"})
}


def check_values(cfg: DictConfig) -> RunOptions:
    """Check of a composed configuration what can be known without importing what it configures, which takes seconds.

    Raises:
        UserError: as `validate`.
    """
    root = {str(key): value for key, value in cfg.items() if key not in (*COMPONENTS, "choices")}
    try:
        options = RunOptions.model_validate(root)
    except pydantic.ValidationError as error:
        raise UserError(_root_error(error)) from error
    for component in COMPONENTS:
        node = cfg.get(component)
        if not isinstance(node, DictConfig):
            raise UserError(f"{component}={node}: must be one of the options in conf/{component}/")
    network = cfg.model.get("network")
    if not isinstance(network, DictConfig):
        raise UserError(f"model.network={network}: must be a mapping with a _target_")
    check_ranges(cfg)
    return options


def validate(cfg: DictConfig) -> RunOptions:
    """Check every key of a composed configuration: known, complete, of the right type.

    Raises:
        UserError: one line that names the key, the value and what is allowed.
    """
    options = check_values(cfg)
    for component in COMPONENTS:
        if component == "augmentation":
            _check_transforms(cfg.augmentation)
        else:
            check_target(component, cfg[component])
    check_target("model.network", cfg.model.network)
    return options


def check_target(key: str, node: DictConfig) -> None:
    """Check the arguments under `key` against the signature of the callable that `_target_` names.

    Raises:
        UserError: as `validate`.
    """
    target = node.get("_target_")
    if not isinstance(target, str):
        raise UserError(f"{key}._target_={target}: missing; it names the class, e.g. package.module.Class")
    # Hydra would also print what it raises.
    logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)
    try:
        factory = get_object(target)
    except (HydraException, ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{key}._target_={target}: cannot be imported ({_root_cause(error)})") from error
    given = OmegaConf.to_container(node, resolve=True)
    if not isinstance(given, dict):
        raise UserError(f"{key}: must be a mapping")
    arguments = {
        str(name): value
        for name, value in given.items()
        if name not in ("_target_", "_partial_", "_convert_", "_recursive_") and name not in BUILDER_KEYS.get(key, ())
    }
    _check_arguments(key, factory, arguments)
    for name, hint in BUILDER_KEYS.get(key, {}).items():
        if name in given:
            _check_type(f"{key}.{name}", given[name], hint)


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__


def _check_arguments(key: str, factory: Callable[..., Any], arguments: Mapping[str, object]) -> None:
    parameters = inspect.signature(factory).parameters
    hints = _hints(factory)
    injected = INJECTED.get(key, frozenset())
    reserved = RESERVED.get(key, frozenset())
    known = {
        name
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for name, value in arguments.items():
        if name in reserved:
            raise UserError(f"{key}.{name}: set by the run itself; leave it out")
        if name not in known and not open_ended:
            allowed = known - reserved - injected
            raise UserError(f"{key}.{name}: unknown key; {nearest(name, allowed)}")
        if name in hints:
            _check_type(f"{key}.{name}", value, hints[name])
    for name in known - injected - arguments.keys():
        if parameters[name].default is inspect.Parameter.empty:
            raise UserError(f"{key}.{name}: missing; {getattr(factory, '__name__', key)} needs it")


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    function = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        # A hint that only a type checker can read says nothing at run time.
        return {}


def _check_type(key: str, value: object, hint: Any) -> None:  # noqa: ANN401 - a type hint has no type
    if isinstance(value, Mapping) and "_target_" in value:
        return
    try:
        adapter = pydantic.TypeAdapter(hint, config=pydantic.ConfigDict(arbitrary_types_allowed=True, strict=True))
    except (pydantic.errors.PydanticUserError, TypeError):
        return
    candidates = [value, tuple(value)] if isinstance(value, list) else [value]
    reason = ""
    for candidate in candidates:
        try:
            adapter.validate_python(candidate)
        except pydantic.ValidationError as error:
            reason = reason or error.errors()[0]["msg"]
        else:
            return
    raise UserError(f"{key}={value!r}: {_allowed(hint, reason)}")


def _allowed(hint: Any, reason: str) -> str:  # noqa: ANN401 - a type hint has no type
    name = hint.__name__ if inspect.isclass(hint) else str(hint)
    # A configuration holds no tensors, whatever else torch's own classes take.
    for noise in ("typing.", "collections.abc.", "pytorch_lightning.", "torch.", " | Tensor", "Tensor | "):
        name = name.replace(noise, "")
    return f"must be {name}" if len(name) <= 80 else reason  # noqa: PLR2004 - one readable line


def _check_transforms(node: DictConfig) -> None:
    if unknown := {str(key) for key in node} - {"transforms"}:
        raise UserError(f"augmentation.{unknown.pop()}: unknown key; allowed: transforms")
    transforms = OmegaConf.to_container(node, resolve=True)
    entries = transforms.get("transforms") if isinstance(transforms, dict) else None
    if not isinstance(entries, list):
        raise UserError(f"augmentation.transforms={entries!r}: must be a list of transforms")
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UserError(f"augmentation.transforms[{position}]={entry!r}: must be a mapping with a _target_")
        check_target(f"augmentation.transforms[{position}]", OmegaConf.create(entry))


def _root_error(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key; {nearest(key, [*RunOptions.model_fields, *COMPONENTS])}"
    if first["type"] == "missing":
        return f"{key}: missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}={first['input']!r}: {message[0].lower()}{message[1:]}"
