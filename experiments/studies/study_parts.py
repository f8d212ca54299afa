"""The parts of a study as data: arms, budget, scales, and what they may be called."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from experiments.errors import StudyError
from experiments.runs.configuration import nearest
from experiments.runs.matching import TOLERANCE
from experiments.runs.overrides import override_key, read_override
from experiments.studies.factors import OFF

# Every key is known, every value of its type.
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
# The scale of a study as it is written.
LAPTOP = "laptop"
# Before a key that a scale takes back.
TAKEN_BACK = "~"


class Arm(BaseModel):
    """One named configuration: its overrides, and `role: baseline` when the others are compared with it."""

    model_config = STRICT

    overrides: list[str] = Field(min_length=1)
    role: Literal["baseline"] | None = None


class Budget(BaseModel):
    """What is held equal between arms.

    Attributes:
        equal: `epochs`; `samples` seen in training; `macs` of one forward pass, or `parameters`, solved for by width or
            depth with the baseline as the target; or `wall_time` of training.
        by: what is solved for, where the budget is MACs or parameters.
        tolerance: share of the target by which an arm may miss it.
        samples: how many each arm sees, where samples are equal; `None` for as many as the baseline does.
        minutes: of training, where wall time is equal.
    """

    model_config = STRICT

    equal: Literal["epochs", "samples", "macs", "parameters", "wall_time"] = "epochs"
    by: Literal["width", "depth"] = "width"
    tolerance: float = Field(default=TOLERANCE, ge=0, lt=1)
    samples: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fits(self) -> "Budget":
        if (self.equal == "wall_time") != (self.minutes is not None):
            raise ValueError("minutes goes with equal: wall_time, and equal: wall_time needs minutes")
        if self.samples is not None and self.equal != "samples":
            raise ValueError(f"samples goes with equal: samples, not with equal: {self.equal}")
        return self


class Scale(BaseModel):
    """The same study smaller or larger: what replaces the study's own overrides, pretraining, seeds and levels.

    `~key` among the overrides takes back what the study sets of that key and below it; a level that is null goes, which
    the first of a factor cannot be.
    """

    model_config = STRICT

    overrides: list[str] = []
    pretraining: dict[str, list[str]] = {}
    factors: dict[str, dict[str, list[str] | None]] = {}
    seeds: Any = None

    @field_validator("factors", mode="before")
    @classmethod
    def _levels_are_names(cls, value: object) -> object:
        """Read levels that YAML takes for numbers or for yes and no as the names that they are."""
        return named(value)


def replaced(own: Sequence[str], others: Sequence[str], where: str) -> list[str]:
    """Return the overrides of a study with those of a scale: of one key the scale's, and none that it takes back.

    Raises:
        StudyError: one line that begins with `where`: nothing is there to be taken back, or a value is given with it.
    """
    left = {override_key(override): override for override in own}
    for other in (other for other in others if other.startswith(TAKEN_BACK)):
        key = override_key(other)
        if (found := read_override(other)) and found.value is not None:
            # Hydra would compare the value; here a line of the study goes, whatever it sets.
            raise StudyError(f"{where}{other}: a scale takes a key back with any value; write {TAKEN_BACK}{key}")
        below = [one for one in left if one == key or one.startswith(f"{key}.")]
        if not below:
            raise StudyError(f"{where}{TAKEN_BACK}{key}: takes back what the study sets; {nearest(key, left)}")
        for one in below:
            del left[one]
    set_anew = {override_key(other): other for other in others if not other.startswith(TAKEN_BACK)}
    return [*(override for key, override in left.items() if key not in set_anew), *set_anew.values()]


def named(value: object) -> object:
    """Turn the names of levels into text, in mappings of any depth and in lists of levels."""
    if isinstance(value, dict):
        return {_name(key): named(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_name(item) for item in value]
    return value


def _name(value: object) -> object:
    if isinstance(value, bool):
        return "on" if value else OFF
    return str(value) if isinstance(value, int | float) else value


def check_name(name: str, what: str) -> None:
    """See that contrasts can be written with `name`, which is that of `what`.

    Raises:
        ValueError: they cannot.
    """
    if not re.fullmatch(r"\w[\w.]*", name, re.ASCII):
        raise ValueError(f"{name!r} cannot name {what}; allowed: letters, digits, '_' and '.'")
