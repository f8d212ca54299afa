"""Reading `key=value` arguments of a verb apart from those that change the configuration."""

from collections.abc import Mapping, Sequence

from experiments.errors import UserError


def split_arguments(argv: Sequence[str], keys: Mapping[str, str | None]) -> tuple[dict[str, str | None], list[str]]:
    """Return the values of a verb's own `keys`, which come with their defaults, and the other arguments.

    Raises:
        UserError: an unknown flag, an own key without a value or given twice.
    """
    own = dict(keys)
    seen: set[str] = set()
    others = []
    for argument in argv:
        key, assigned, value = argument.partition("=")
        if argument.startswith("-"):
            raise UserError(f"{argument}: unknown flag; allowed: --help, and settings as key=value")
        if key not in own or not assigned:
            others.append(argument)
            continue
        if not value:
            raise UserError(f"{key}: has no value; write {key}=…")
        if key in seen:
            raise UserError(f"{key}={value}: given twice")
        seen.add(key)
        own[key] = value
    return own, others
