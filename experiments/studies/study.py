"""A study as data: question, arms, seeds and metric, read from `conf/study/<name>.yaml`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from experiments.errors import UserError
from experiments.runs.configuration import CONFIG_DIR, nearest

STUDIES = CONFIG_DIR / "study"
LARGEST_SEED = 2**32 - 1


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Arm(_Checked):
    """One named configuration: its overrides, and `role: baseline` when the others are compared with it."""

    overrides: list[str] = Field(min_length=1)
    role: Literal["baseline"] | None = None


class Study(_Checked):
    """A question and the runs that answer it.

    Attributes:
        question: what the study asks, in one sentence.
        source: where the question comes from, such as the paper and section.
        arms: by name; exactly one is the baseline.
        seeds: one replicate of each arm for each of them; the number n in the file means 0 to n - 1.
        metric: recorded by every run, such as `test/top1_error` (percent); lower is better.
        overrides: Hydra overrides for all arms.

    Raises:
        pydantic.ValidationError: an unknown key, a wrong type, not exactly one baseline, a seed out of range or twice.
    """

    question: str = Field(min_length=1)
    source: str | None = None
    arms: dict[str, Arm] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    metric: str = Field(min_length=1)
    overrides: list[str] = []

    @field_validator("seeds", mode="before")
    @classmethod
    def _count_seeds(cls, value: object) -> object:
        """Read a number of seeds as a list of them; check the values, which pydantic would not name whole."""
        seeds = list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value
        if (
            not isinstance(seeds, list)
            or not seeds
            or not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in seeds)
            or not all(0 <= seed <= LARGEST_SEED for seed in seeds)
            or len(set(seeds)) < len(seeds)
        ):
            raise ValueError(f"must be a number from 1, or a list of different seeds from 0 to {LARGEST_SEED}")
        return seeds

    @field_validator("arms")
    @classmethod
    def _one_baseline(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        marked = [name for name, arm in arms.items() if arm.role]
        if len(marked) != 1:
            found = f"{len(marked)} arms have ({', '.join(marked)})" if marked else "none has"
            raise ValueError(f"exactly one arm must have 'role: baseline'; {found}")
        return arms

    @property
    def baseline(self) -> str:
        """The name of the arm that the others are compared with."""
        return next(name for name, arm in self.arms.items() if arm.role)

    def with_seeds(self, seeds: int | list[int]) -> "Study":
        """Return the study with other seeds: a number of them, or a list.

        Raises:
            UserError: no such seeds.
        """
        return _checked({**self.model_dump(), "seeds": seeds}, "")


def read_study(name: str, folder: Path = STUDIES) -> Study:
    """Read and check the study called `name`.

    Raises:
        UserError: there is none, or one line that names the file, the key, its value and what is allowed.
    """
    file = folder / f"{name}.yaml"
    try:
        # Unlike plain YAML, OmegaConf refuses a key that is written twice: an arm would silently be lost.
        content = OmegaConf.to_container(OmegaConf.load(file))
    except FileNotFoundError as error:
        raise UserError(
            f"study={name}: no such study; {nearest(name, [f.stem for f in folder.glob('*.yaml')])}"
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or set(content) != {"study"} or not isinstance(content["study"], dict):
        raise UserError(f"{file}: must hold one mapping under the key 'study'")
    return _checked(content["study"], f"{file}: study.")


def _checked(content: Mapping[Any, Any], where: str) -> Study:
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise UserError(where + _line(error)) from error
    lists: list[tuple[str, Sequence[str]]] = [("overrides", study.overrides)]
    lists += [(f"arms.{name}.overrides", arm.overrides) for name, arm in study.arms.items()]
    for key, overrides in lists:
        for override in overrides:
            if override.startswith("-") or not override.partition("=")[1]:
                raise UserError(f"{where}{key}: {override!r} is not of the form key=value")
            if override_key(override) == "seed":
                raise UserError(f"{where}{key}: {override!r} is set for each run; list the seeds under 'seeds'")
    return study


def override_key(override: str) -> str:
    """Return what a Hydra override sets: `model` of `model=vgg11`, `trainer.max_epochs` of `++trainer.max_epochs=3`."""
    return override.lstrip("+~").partition("=")[0].strip()


def _line(error: ValidationError) -> str:
    """Say in one line what is wrong first: key, value, what is allowed."""
    # A misspelt key is also a missing one; the misspelling is what helps.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"] if part != "[key]"]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        model = Arm if location[0] == "arms" else Study
        return f"{key}: unknown key; {nearest(location[-1], model.model_fields)}"
    if first["type"] == "missing":
        return f"{key}: missing"
    message = first["msg"].removeprefix("Value error, ")
    value = "" if location == ["arms"] else f"={first['input']!r}"
    return f"{key}{value}: {message[0].lower()}{message[1:]}"
