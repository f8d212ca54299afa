"""Reading `key=value` arguments of a verb apart from those that change the configuration."""

import re
from collections.abc import Iterable, Mapping, Sequence

import yaml

from experiments.errors import UserError
from experiments.runs.overrides import first_double, is_override, override_key


def split_arguments(argv: Sequence[str], keys: Mapping[str, str | None]) -> tuple[dict[str, str | None], list[str]]:
    """Return the values of a verb's own `keys`, which come with their defaults, and the other arguments.

    Raises:
        UserError: an unknown flag, an own key without a value, any key given twice.
    """
    own = dict(keys)
    others = []
    refuse_doubles(argv)
    for argument in argv:
        key, assigned, value = argument.partition("=")
        if argument.startswith("-"):
            raise UserError(f"{argument}: unknown flag; allowed: --help, and settings as key=value")
        if key not in own or not assigned:
            others.append(argument)
            continue
        if not value:
            raise UserError(f"{key}: has no value; write {key}=…")
        own[key] = value
    return own, others


def refuse_doubles(arguments: Iterable[str]) -> None:
    """Refuse a setting that is made twice: one of both would be ignored without a word.

    Raises:
        UserError: the second one.
    """
    if doubled := first_double(filter(is_override, arguments)):
        raise UserError(f"{doubled}: given twice")


def check_keys(overrides: Iterable[str], own: Iterable[str], *, less: Iterable[str] = ()) -> None:
    """Look at the first part of each override's key: it must be a run's, or it is a misspelt one of the verb's `own`.

    Args:
        overrides: what is not the verb's own.
        own: keys of the verb.
        less: keys of a run that the verb does not take.

    Raises:
        UserError: an unknown key, with the nearest spelling.
    """
    from experiments.runs.configuration import nearest  # noqa: PLC0415 - what --help saves
    from experiments.runs.options import COMPONENTS, RunOptions  # noqa: PLC0415

    known = {*COMPONENTS, *RunOptions.model_fields}
    for override in overrides:
        key = override_key(override)
        root = re.split(r"[./@]", key, maxsplit=1)[0]
        if root in own and root not in known and is_override(override):
            raise UserError(f"{override}: not a setting of the configuration; write {key}=… without a sign before it")
        if is_override(override) and root not in known and root != "hydra":
            raise UserError(f"{key}: unknown key; {nearest(key, {*known, *own} - {*less})}")


def split_launcher(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return what is set of a study's launcher (`hydra.launcher.KEY=VALUE`, under whatever sign), and all else.

    Raises:
        UserError: another setting of Hydra itself, which a study would not follow.
    """
    settings, others = [], []
    for argument in arguments:
        key = override_key(argument)
        if re.split(r"[./@]", key, maxsplit=1)[0] != "hydra":
            others.append(argument)
        elif key.startswith("hydra.launcher."):
            settings.append(argument)
        else:
            raise UserError(
                f"{argument}: without effect on a study; allowed: launcher=NAME, and hydra.launcher.KEY=VALUE, which "
                "sets what it takes"
            )
    return settings, others


def seeds_of(text: str) -> int | list[int]:
    """Read `3` or `[0, 4]`; whether they can be seeds is the study's to say.

    Raises:
        UserError: neither a number nor a list of numbers.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if isinstance(value, int) or (isinstance(value, list) and all(isinstance(seed, int) for seed in value)):
        return value
    raise UserError(f"seeds={text}: must be a number of seeds, or a list such as [0,4]")


def flag(key: str, text: str | None) -> bool:
    """Read the value of a key that is `true` or `false`.

    Raises:
        UserError: neither.
    """
    if text not in ("true", "false"):
        raise UserError(f"{key}={text}: must be true or false")
    return text == "true"
