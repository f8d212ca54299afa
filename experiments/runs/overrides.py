"""Overrides of a configuration, read apart: what each of them sets, adds or takes away.

| form                            | meaning                                             |
|---------------------------------|-----------------------------------------------------|
| `key=value`                     | sets a key that is there, or chooses an option       |
| `+key=value`, `++key=value`     | adds a key; adds it, or sets it where it is there   |
| `~key`, `~key=value`            | takes a key away; only where it has that value      |
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FORM = re.compile(r"(?P<sign>\+\+|\+|~|)(?P<key>[^\s=+~\-][^=]*?)\s*(?:=(?P<value>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Override:
    """One override.

    Attributes:
        sign: `""`, `+`, `++` or `~`.
        key: what it is about: `model` of `model=vgg11`, `trainer.max_epochs` of `++trainer.max_epochs=3`.
        value: as it is written; `None` where none is given.
    """

    sign: str
    key: str
    value: str | None

    @property
    def is_complete(self) -> bool:
        """Whether it says all that it must: a value, unless it takes a key away."""
        return self.value is not None or self.sign == "~"


def read_override(text: str) -> Override | None:
    """Return the override that `text` is; `None` where it has no key, as a flag or `=3`."""
    found = _FORM.fullmatch(text.strip())
    return Override(found["sign"], found["key"], found["value"]) if found else None


def override_key(text: str) -> str:
    """Return the key of an override; whatever stands before `=` where it cannot be read."""
    found = read_override(text)
    return found.key if found else text.partition("=")[0]


def is_override(text: str) -> bool:
    """Whether an argument is an override, not a name or a flag."""
    found = read_override(text)
    return found is not None and found.is_complete


def first_double(overrides: Iterable[str]) -> str | None:
    """Return the first override whose key another before it has."""
    seen: set[str] = set()
    for override in overrides:
        key = override_key(override)
        if key in seen:
            return override
        seen.add(key)
    return None
