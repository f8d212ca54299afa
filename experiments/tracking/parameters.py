"""A configuration as MLflow parameters: one name and one text per leaf."""

import json
from collections.abc import Iterator, Mapping, Sequence


def flatten(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names joined by dots, values as text, nothing cut.

    ``{"optimizer": {"lr": 0.1}}`` gives ``optimizer.lr`` and ``0.1``. A list of plain values stays one parameter; a
    list that holds mappings has one name per element (``transforms.0.p``).
    """
    for key, value in values.items():
        yield from _leaves(f"{prefix}{key}", value)


def _leaves(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        yield from flatten(value, f"{name}.")
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if any(isinstance(element, Mapping) for element in value):
            for index, element in enumerate(value):
                yield from _leaves(f"{name}.{index}", element)
        else:
            yield name, json.dumps(list(value), default=str)
    else:
        yield name, str(value)
