"""What a detector must know of a data set, and what numbers a data set may be asked for."""

import math
from dataclasses import dataclass

from datamodules.errors import DataError


@dataclass(frozen=True)
class DetectionSpec:
    """What a detector must know of a data set.

    `class_names` are of labels `0 … num_classes - 1`; the background has none. `smallest_side` and `largest_side` are
    those of any picture, in pixels. `proposals` come with each picture, `num_proposals` at most; `None`: no batch has
    any.
    """

    name: str
    num_classes: int
    class_names: tuple[str, ...]
    channels: int
    smallest_side: int
    largest_side: int
    proposals: str | None
    num_proposals: int


def check_whole(key: str, value: float, least: int, most: float = math.inf) -> None:
    """Refuse what is no whole number from `least` to `most`.

    Raises:
        DataError: the key, its value and what is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"{key}={value}: must be a whole number")
    if not least <= value <= most:
        raise DataError(
            f"{key}={value}: must be {f'at least {least}' if most == math.inf else f'from {least} to {most}'}"
        )


def check_number(key: str, value: object, least: float, most: float = math.inf) -> None:
    """Refuse what is no number from `least` to `most`.

    Raises:
        DataError: the key, its value and what is allowed.
    """
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not least <= number <= most or number == math.inf:
        allowed = f"a number of at least {least:g}" if most == math.inf else f"a number from {least:g} to {most:g}"
        raise DataError(f"{key}={value}: must be {allowed}")
