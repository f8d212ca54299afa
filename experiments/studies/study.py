"""A study as data: question, arms, seeds, budget, metric and claims."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from experiments.errors import StudyError, UserError
from experiments.runs.configuration import nearest
from experiments.runs.overrides import first_double, is_override, override_key
from experiments.studies.claim import Claim
from experiments.studies.factors import ARM, Cell, cross
from experiments.studies.pretrained import check_pretraining
from experiments.studies.study_mistakes import mistake
from experiments.studies.study_parts import LAPTOP, STRICT, Arm, Budget, Scale, check_name, named, replaced

LARGEST_SEED = 2**32 - 1
# Every run has a folder and rows in the store; more than this of one arm is a slip of the pen.
MOST_SEEDS = 10_000
# The one rule that a run knows: it tests the checkpoint that validated best.
Selection = Literal["best by val/top1_error"]


class Study(BaseModel):
    """A question and the runs that answer it.

    Attributes:
        question: what the study asks, in one sentence.
        source: where the question comes from, such as the paper and section.
        pretraining: by name, the overrides of runs that arms start from (`model.weights=pretraining:NAME`), one for
            each seed; they are not compared.
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

    model_config = STRICT

    question: str = Field(min_length=1)
    source: str | None = None
    pretraining: dict[str, list[str]] = {}
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
        if isinstance(value, int) and not isinstance(value, bool) and value > MOST_SEEDS:
            raise ValueError(f"must be at most {MOST_SEEDS}")
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
        return named(value)

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

    @field_validator("scales")
    @classmethod
    def _not_as_written(cls, scales: dict[str, Scale]) -> dict[str, Scale]:
        if LAPTOP in scales:
            raise ValueError(f"'{LAPTOP}' is the study as it is written; choose another name")
        return scales

    @field_validator("pretraining")
    @classmethod
    def _real_pretraining(cls, pretraining: dict[str, list[str]]) -> dict[str, list[str]]:
        for name in pretraining:
            check_name(name, "a pretraining")
        return pretraining

    @field_validator("arms")
    @classmethod
    def _one_baseline(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        for name in arms:
            check_name(name, "an arm")
        marked = [name for name, arm in arms.items() if arm.role]
        if arms and len(marked) != 1:
            found = f"{len(marked)} arms have ({', '.join(marked)})" if marked else "none has"
            raise ValueError(f"exactly one arm must have 'role: baseline'; {found}")
        return arms

    @field_validator("factors")
    @classmethod
    def _real_factors(cls, factors: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
        for name, levels in factors.items():
            check_name(name, "a factor")
            if name == ARM:
                raise ValueError(f"'{ARM}' is what the arms themselves are called; choose another name")
            if len(levels) < 2:  # noqa: PLR2004 - a factor varies
                raise ValueError(f"{name} needs at least two levels")
            for level in levels:
                check_name(level, "a level")
        return factors

    @model_validator(mode="after")
    def _combined(self) -> "Study":
        if not self.arms and not self.factors:
            raise ValueError("arms: a study needs arms, or factors that make them")
        for cell in self.cells:
            _refuse_doubles(cell)
        check_pretraining(self.pretraining, self.cells)
        return self

    @property
    def crossed(self) -> Mapping[str, Mapping[str, Sequence[str]]]:
        """The factors that make the arms, with their levels; the file's arms are one more, the baseline first."""
        first = sorted(self.arms, key=lambda name: self.arms[name].role is None)
        listed = {ARM: {name: self.arms[name].overrides for name in first}} if first else {}
        return {**listed, **self.factors}

    @cached_property
    def cells(self) -> list[Cell]:
        """All arms: those of the file, or the combinations of the factors, the baseline among them."""
        made = cross(self.crossed, zipped=self.zip, when=self.when)
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
            UserError: it has no such scale, the study has no such pretraining, factor, level or override, or a first
                level would go.
        """
        if name == LAPTOP:
            return self
        if name not in self.scales:
            raise UserError(f"scale={name}: no such scale of this study; {nearest(name, [LAPTOP, *self.scales])}")
        scale = self.scales[name]
        overrides = replaced(self.overrides, scale.overrides, f"scales.{name}.overrides: ")
        changed = {**self.model_dump(by_alias=True), "overrides": overrides}
        if scale.seeds is not None:
            changed["seeds"] = scale.seeds
        if unknown := scale.pretraining.keys() - self.pretraining.keys():
            raise UserError(f"scales.{name}.pretraining.{min(unknown)}: {nearest(min(unknown), self.pretraining)}")
        changed["pretraining"] = {**self.pretraining, **scale.pretraining}
        changed["factors"] = self._levels_at(scale, f"scales.{name}.factors.")
        return checked(changed, f"scales.{name}.")

    def _levels_at(self, scale: Scale, where: str) -> dict[str, dict[str, list[str]]]:
        """Return the factors with those levels replaced that `scale` gives, and without those that it takes away."""
        for factor, levels in scale.factors.items():
            if factor not in self.factors:
                raise UserError(f"{where}{factor}: {nearest(factor, self.factors)}")
            if unknown := levels.keys() - self.factors[factor].keys():
                raise UserError(f"{where}{factor}.{min(unknown)}: {nearest(min(unknown), self.factors[factor])}")
            first = next(iter(self.factors[factor]))
            if levels.get(first, []) is None:
                raise UserError(f"{where}{factor}.{first}: null; the first level, the baseline, cannot be left out")
        return {
            factor: {
                level: chosen
                for level, own in levels.items()
                if (chosen := scale.factors.get(factor, {}).get(level, own)) is not None
            }
            for factor, levels in self.factors.items()
        }


def checked(content: Mapping[Any, Any], where: str) -> Study:
    """Return the study that `content` describes.

    Raises:
        StudyError: one line that begins with `where` and names the key, its value and what is allowed.
    """
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        raise StudyError(where + mistake(error, Study, content)) from error
    lists: list[tuple[str, Sequence[str]]] = [("overrides", study.overrides)]
    lists += [(f"pretraining.{name}", overrides) for name, overrides in study.pretraining.items()]
    lists += [(f"arms.{name}.overrides", arm.overrides) for name, arm in study.arms.items()]
    lists += [
        (f"factors.{name}.{level}", overrides)
        for name, levels in study.factors.items()
        for level, overrides in levels.items()
    ]
    for name, scale in study.scales.items():
        lists.append((f"scales.{name}.overrides", scale.overrides))
        lists += [(f"scales.{name}.pretraining.{of}", overrides) for of, overrides in scale.pretraining.items()]
        lists += [
            (f"scales.{name}.factors.{factor}.{level}", overrides)
            for factor, levels in scale.factors.items()
            for level, overrides in levels.items()
            if overrides is not None
        ]
    for key, overrides in lists:
        if doubled := first_double(overrides):
            raise StudyError(f"{where}{key}: '{override_key(doubled)}' is set twice; one of them must go")
        for override in overrides:
            if not is_override(override):
                raise StudyError(f"{where}{key}: {override!r} is not of the form key=value, +key=value or ~key")
            if override_key(override) == "seed":
                raise StudyError(f"{where}{key}: {override!r} is set for each run; list the seeds under 'seeds'")
    return study


def _refuse_doubles(cell: Cell) -> None:
    if doubled := first_double(cell.overrides):
        raise ValueError(
            f"arm {cell.name}: '{override_key(doubled)}' is set twice, by {', '.join(cell.levels)}; one of them must go"
        )
