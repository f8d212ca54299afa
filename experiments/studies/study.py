"""A study as data: question, arms, seeds, budget, metric and claims, read from `conf/study/<name>.yaml`."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from experiments.errors import UserError
from experiments.runs.configuration import CONFIG_DIR, nearest
from experiments.runs.matching import TOLERANCE
from experiments.runs.overrides import first_double, is_override, override_key
from experiments.studies.claim import Claim
from experiments.studies.factors import ARM, OFF, Cell, cross

STUDIES = CONFIG_DIR / "study"
LARGEST_SEED = 2**32 - 1
# The one rule that a run knows: it tests the checkpoint that validated best.
Selection = Literal["best by val/top1_error"]
AS_WRITTEN = "laptop"


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Arm(_Checked):
    """One named configuration: its overrides, and `role: baseline` when the others are compared with it."""

    overrides: list[str] = Field(min_length=1)
    role: Literal["baseline"] | None = None


class Budget(_Checked):
    """What is held equal between arms.

    Attributes:
        equal: `epochs`; `samples` seen in training; `macs` of one forward pass, or `parameters`, solved for by width or
            depth with the baseline as the target; or `wall_time` of training.
        by: what is solved for, where the budget is MACs or parameters.
        tolerance: share of the target by which an arm may miss it.
        samples: how many each arm sees, where samples are equal; `None` for as many as the baseline does.
        minutes: of training, where wall time is equal.
    """

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


class Scale(_Checked):
    """The same study smaller or larger: what replaces the study's own overrides and seeds."""

    overrides: list[str] = []
    seeds: Any = None


class Study(_Checked):
    """A question and the runs that answer it.

    Attributes:
        question: what the study asks, in one sentence.
        source: where the question comes from, such as the paper and section.
        arms: by name; exactly one is the baseline. With `factors` they are crossed like one more factor.
        factors: levels by factor, each with its overrides; the first level is the baseline. A level `off` adds nothing
            to an arm's name, `on` adds the factor's name.
        zip: groups of factors that go together, level by level, instead of being crossed.
        when: where a factor varies: `{norm: {depth: [20, 56]}}`; elsewhere it stays at its baseline.
        seeds: one replicate of each arm for each of them; the number n in the file means 0 to n - 1.
        budget: what is held equal.
        metric: recorded by every run, such as `test/top1_error` (percent); lower is better.
        select: which checkpoint is tested.
        claims: by name, stated before anything runs; `claim` is short for a single one.
        declared: keys in which arms may differ besides those that they set themselves, such as `optimizer.lr`.
        overrides: Hydra overrides for all arms.
        scales: by name (`toy`, `full`): other overrides and seeds for the same question.

    Raises:
        pydantic.ValidationError: an unknown key, a wrong type, not exactly one baseline, a seed out of range or twice,
            factors that cannot be combined, two sources of one key in an arm.
    """

    question: str = Field(min_length=1)
    source: str | None = None
    arms: dict[str, Arm] = {}
    factors: dict[str, dict[str, list[str]]] = {}
    zip: list[list[str]] = []
    when: dict[str, dict[str, list[str]]] = {}
    seeds: list[int] = Field(min_length=1)
    budget: Budget = Budget()
    metric: str = Field(min_length=1)
    select: Selection = "best by val/top1_error"
    claims: dict[str, Claim] = {}
    declared: list[str] = []
    overrides: list[str] = []
    scales: dict[str, Scale] = {}

    @model_validator(mode="before")
    @classmethod
    def _one_claim(cls, value: object) -> object:
        if isinstance(value, dict) and "claim" in value:
            if "claims" in value:
                raise ValueError("claim, claims: give one of the two")
            value = {**value, "claims": {"claim": value["claim"]}}
            del value["claim"]
        return value

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

    @field_validator("factors", "when", mode="before")
    @classmethod
    def _levels_are_names(cls, value: object) -> object:
        """Read levels that YAML takes for numbers or for yes and no as the names that they are."""
        return _named(value)

    @field_validator("claims", mode="before")
    @classmethod
    def _on_is_a_key(cls, value: object) -> object:
        """Read the key `on`, which YAML 1.1 takes for yes."""
        if not isinstance(value, dict):
            return value
        return {
            name: {"on" if key is True else key: inner for key, inner in claim.items()}
            if isinstance(claim, dict)
            else claim
            for name, claim in value.items()
        }

    @field_validator("arms")
    @classmethod
    def _one_baseline(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        for name in arms:
            _check_name(name, "an arm")
        marked = [name for name, arm in arms.items() if arm.role]
        if arms and len(marked) != 1:
            found = f"{len(marked)} arms have ({', '.join(marked)})" if marked else "none has"
            raise ValueError(f"exactly one arm must have 'role: baseline'; {found}")
        return arms

    @field_validator("factors")
    @classmethod
    def _real_factors(cls, factors: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
        for name, levels in factors.items():
            _check_name(name, "a factor")
            if name == ARM:
                raise ValueError(f"'{ARM}' is what the arms themselves are called; choose another name")
            if len(levels) < 2:  # noqa: PLR2004 - a factor varies
                raise ValueError(f"{name} needs at least two levels")
            for level in levels:
                _check_name(level, "a level")
        return factors

    @model_validator(mode="after")
    def _combined(self) -> "Study":
        if not self.arms and not self.factors:
            raise ValueError("arms: a study needs arms, or factors that make them")
        for cell in self.cells:
            _refuse_doubles(cell)
        return self

    @cached_property
    def cells(self) -> list[Cell]:
        """All arms: those of the file, or the combinations of the factors, the baseline among them."""
        factors: dict[str, Mapping[str, Sequence[str]]] = dict(self.factors)
        if self.arms:
            first = sorted(self.arms, key=lambda name: self.arms[name].role is None)
            factors = {ARM: {name: self.arms[name].overrides for name in first}, **factors}
        made = cross(factors, zipped=self.zip, when=self.when)
        if self.factors:
            return made
        return sorted(made, key=lambda cell: list(self.arms).index(cell.name))

    @property
    def arm_names(self) -> list[str]:
        """The names of all arms."""
        return [cell.name for cell in self.cells]

    @property
    def baseline(self) -> str:
        """The name of the arm that the others are compared with."""
        return next(cell.name for cell in self.cells if cell.is_baseline)

    def with_seeds(self, seeds: int | list[int]) -> "Study":
        """Return the study with other seeds: a number of them, or a list.

        Raises:
            UserError: no such seeds.
        """
        return checked({**self.model_dump(by_alias=True), "seeds": seeds}, "")

    def at_scale(self, name: str) -> "Study":
        """Return the study at one of its `scales`; `laptop` is the study as it is written.

        Raises:
            UserError: it has no such scale.
        """
        if name == AS_WRITTEN and name not in self.scales:
            return self
        if name not in self.scales:
            raise UserError(f"scale={name}: no such scale of this study; {nearest(name, [AS_WRITTEN, *self.scales])}")
        scale = self.scales[name]
        given = {override_key(override) for override in scale.overrides}
        overrides = [override for override in self.overrides if override_key(override) not in given]
        changed = {**self.model_dump(by_alias=True), "overrides": [*overrides, *scale.overrides]}
        if scale.seeds is not None:
            changed["seeds"] = scale.seeds
        return checked(changed, f"scales.{name}.")


def read_study(name: str, folder: Path = STUDIES) -> Study:
    """Read and check the study called `name`.

    Raises:
        UserError: there is none, or one line that names the file, the key, its value and what is allowed.
    """
    file = folder / f"{name}.yaml"
    if Path(name).name != name or not file.is_file():
        raise UserError(f"study={name}: no such study; {nearest(name, [f.stem for f in folder.glob('*.yaml')])}")
    try:
        # Unlike plain YAML, OmegaConf refuses a key that is written twice: an arm would silently be lost.
        content = OmegaConf.to_container(OmegaConf.load(file))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or set(content) != {"study"} or not isinstance(content["study"], dict):
        raise UserError(f"{file}: must hold one mapping under the key 'study'")
    study = checked(content["study"], f"{file}: study.")
    for scale in study.scales:
        try:
            study.at_scale(scale)
        except UserError as error:
            raise UserError(f"{file}: study.{error}") from error
    return study


def checked(content: Mapping[Any, Any], where: str) -> Study:
    """Return the study that `content` describes.

    Raises:
        UserError: one line that begins with `where` and names the key, its value and what is allowed.
    """
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise UserError(where + _line(error)) from error
    lists: list[tuple[str, Sequence[str]]] = [("overrides", study.overrides)]
    lists += [(f"arms.{name}.overrides", arm.overrides) for name, arm in study.arms.items()]
    lists += [
        (f"factors.{name}.{level}", overrides)
        for name, levels in study.factors.items()
        for level, overrides in levels.items()
    ]
    lists += [(f"scales.{name}.overrides", scale.overrides) for name, scale in study.scales.items()]
    for key, overrides in lists:
        if doubled := first_double(overrides):
            raise UserError(f"{where}{key}: '{override_key(doubled)}' is set twice; one of them must go")
        for override in overrides:
            if not is_override(override):
                raise UserError(f"{where}{key}: {override!r} is not of the form key=value, +key=value or ~key")
            if override_key(override) == "seed":
                raise UserError(f"{where}{key}: {override!r} is set for each run; list the seeds under 'seeds'")
    return study


def _named(value: object) -> object:
    """Turn the names of levels into text, in mappings of any depth and in lists of levels."""
    if isinstance(value, dict):
        return {_name(key): _named(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_name(item) for item in value]
    return value


def _name(value: object) -> object:
    if isinstance(value, bool):
        return "on" if value else OFF
    return str(value) if isinstance(value, int | float) else value


def _check_name(name: str, what: str) -> None:
    # Contrasts are written with these names.
    if not re.fullmatch(r"\w[\w.]*", name, re.ASCII):
        raise ValueError(f"{name!r} cannot name {what}; allowed: letters, digits, '_' and '.'")


def _refuse_doubles(cell: Cell) -> None:
    if doubled := first_double(cell.overrides):
        raise ValueError(
            f"arm {cell.name}: '{override_key(doubled)}' is set twice, by {', '.join(cell.levels)}; one of them must go"
        )


def _line(error: ValidationError) -> str:
    """Say in one line what is wrong first: key, value, what is allowed."""
    # A misspelt key is also a missing one; the misspelling is what helps.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"] if part != "[key]"]
    key = ".".join(location)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {"arms": Arm, "claims": Claim, "budget": Budget, "scales": Scale}
        model = models.get(location[0], Study) if len(location) > 1 else Study
        fields = [field.alias or name for name, field in model.model_fields.items()]
        return f"{key}: unknown key; {nearest(location[-1], [*fields, *(['claim'] if model is Study else [])])}"
    if first["type"] == "missing":
        return f"{key}: missing"
    if not key:
        return message
    value = "" if isinstance(first["input"], dict) else f"={first['input']!r}"
    return f"{key}{value}: {message[0].lower()}{message[1:]}"
