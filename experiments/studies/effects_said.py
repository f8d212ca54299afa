"""Effects of crossed factors in words, the same in the terminal and in reports."""

from dataclasses import dataclass

from experiments.studies import wording
from experiments.studies.comparison import Comparison
from experiments.studies.factorial import FactorEffect, factor_effects
from experiments.studies.factors import ARM
from experiments.studies.study import Study


@dataclass(frozen=True)
class SaidEffect:
    """One effect: of a factor's level against its first one (`depth: 56 against 20`), or of two levels together."""

    name: str
    interaction: bool
    numbers: str


def effects_said(study: Study, comparison: Comparison) -> list[SaidEffect]:
    """Say the main effects and two-way interactions of a study's factors on its metric.

    Nothing for a study without factors, or with one that varies in some arms only: there, no average over the others
    is the same for all of its levels.
    """
    if not study.factors or study.when:
        return []
    # Of factors that go together, the first stands for all.
    followers = {name for group in study.zip for name in group[1:]}
    levels = {name: list(each) for name, each in study.factors.items() if name not in followers}
    if study.arms:
        first = sorted(study.arms, key=lambda name: study.arms[name].role is None)
        levels = {ARM: first, **levels}
    arms = {cell.name: {name: cell.levels[name] for name in levels} for cell in study.cells}
    values = {arm.name: arm.by_seed for arm in comparison.arms}
    return [_said(effect, comparison.metric) for effect in factor_effects(levels, arms, values, study.seeds)]


def _said(effect: FactorEffect, metric: str) -> SaidEffect:
    if effect.is_interaction:
        name = f"{' × '.join(effect.levels)}: {', '.join(effect.levels.values())} together"
    else:
        ((factor, level),) = effect.levels.items()
        name = f"{factor}: {level} against {effect.against[factor]}"
    found = effect.estimate
    if found is None:
        return SaidEffect(name, effect.is_interaction, "no seed has finished in all arms")
    unit = wording.metric_unit(metric)
    said = " points" if unit == "%" else f" {unit}".rstrip()
    return SaidEffect(name, effect.is_interaction, wording.effect_numbers(found, said, effect.left_out))
