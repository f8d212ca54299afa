"""How often and how much a benchmark measures: whole numbers from its command line."""

from collections.abc import Mapping, Sequence

from experiments.arguments import split_arguments
from experiments.errors import UserError


def counts_of(argv: Sequence[str], defaults: Mapping[str, int]) -> list[int]:
    """Return the value of each key of `defaults`, in their order, as `argv` or else its default says.

    Raises:
        UserError: an unknown key, or a value that is no whole number of at least 1.
    """
    keys, others = split_arguments(argv, {key: str(number) for key, number in defaults.items()})
    if others:
        raise UserError(f"{others[0]}: unknown key; allowed: {', '.join(defaults)}")
    return [whole(key, str(value)) for key, value in keys.items()]


def whole(key: str, value: str) -> int:
    """Return `value` as a number.

    Raises:
        UserError: it is no whole number of at least 1.
    """
    if not value.isdecimal() or int(value) < 1:
        raise UserError(f"{key}={value}: must be a whole number of at least 1")
    return int(value)
