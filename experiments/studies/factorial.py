"""Effects of crossed factors: what each level changes on average, and how one factor's effect depends on another's."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from experiments.studies.contrasts import ByArm, Difference, paired
from experiments.studies.intervals import Estimate, estimate

Levels = Mapping[str, str]  # by factor


@dataclass(frozen=True)
class FactorEffect:
    """What one level does, or two levels together beyond what each does alone; against the first levels.

    Attributes:
        levels: the level by its factor: one for a main effect, two for an interaction.
        against: the first level of the same factors.
        contrast: of arms, with the coefficients that the effect is computed with.
        by_seed: the effect in each seed that has all arms of the contrast.
        estimate: the mean over the seeds; `None` where there is none. Its interval is at 95 % by itself, not corrected
            for the number of effects.
        left_out: seeds that lack one of the arms.
    """

    levels: Levels
    against: Levels
    contrast: Difference
    by_seed: Mapping[int, float]
    estimate: Estimate | None
    left_out: tuple[int, ...]

    @property
    def is_interaction(self) -> bool:
        """Whether two factors act together."""
        return len(self.levels) > 1


def factor_effects(
    factors: Mapping[str, Sequence[str]], arms: Mapping[str, Levels], values: ByArm, planned: Collection[int] = ()
) -> tuple[FactorEffect, ...]:
    """Return the main effect of each level, then the interaction of each two levels of different factors.

    A main effect is the difference to the factor's first level, averaged over all combinations of the other factors. An
    interaction is a difference of such differences: how much more (f, g) differ from their first levels together than
    the sum of what each does while the other stays at its first level; averaged over the remaining factors, not halved.
    Seeds are paired: an effect is taken within each seed that has all arms of the effect, then averaged over seeds.

    Args:
        factors: the levels by factor; the first level is what others are compared with.
        arms: the levels of each arm; every combination of levels once.
        values: by arm and seed; one that is not finite is missing.
        planned: the seeds of the study: those without any number are left out like those that lack an arm.

    Raises:
        ValueError: the arms are not every combination of levels once.
    """
    by_levels = _crossed(factors, arms)
    found = []
    for factor in factors:
        found += [_effect({factor: level}, factors, by_levels, values, planned) for level in factors[factor][1:]]
    for one, other in itertools.combinations(factors, 2):
        for pair in itertools.product(factors[one][1:], factors[other][1:]):
            found.append(_effect(dict(zip((one, other), pair, strict=True)), factors, by_levels, values, planned))
    return tuple(found)


def _crossed(factors: Mapping[str, Sequence[str]], arms: Mapping[str, Levels]) -> dict[tuple[str, ...], str]:
    """Return the arm of each combination of levels, in the order of `factors`."""
    by_levels: dict[tuple[str, ...], str] = {}
    for arm, levels in arms.items():
        combination = tuple(levels[factor] for factor in factors)
        if combination in by_levels:
            raise ValueError(f"arms {by_levels[combination]} and {arm} are the same combination of levels")
        by_levels[combination] = arm
    for combination in itertools.product(*factors.values()):
        if combination not in by_levels:
            raise ValueError(f"the factors are not fully crossed: no arm has {', '.join(combination)}")
    return by_levels


def _effect(
    levels: Levels,
    factors: Mapping[str, Sequence[str]],
    by_levels: Mapping[tuple[str, ...], str],
    values: ByArm,
    planned: Collection[int],
) -> FactorEffect:
    against = {factor: factors[factor][0] for factor in levels}
    signs = dict(_signs(levels, against, factors))
    cells = len(signs) // 2 ** len(levels)
    contrast = Difference({by_levels[combination]: Fraction(sign, cells) for combination, sign in signs.items()})
    pairs, left_out = paired(contrast, values, planned)
    by_seed = {seed: float(contrast.of(numbers)) for seed, numbers in pairs.items()}
    return FactorEffect(levels, against, contrast, by_seed, estimate(list(by_seed.values())), left_out)


def _signs(
    levels: Levels, against: Levels, factors: Mapping[str, Sequence[str]]
) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield the combinations that take part, with 1 or -1: minus one for each factor at its first level."""
    choices = [(levels[factor], against[factor]) if factor in levels else factors[factor] for factor in factors]
    for combination in itertools.product(*choices):
        given = dict(zip(factors, combination, strict=True))
        yield combination, (-1) ** sum(given[factor] == against[factor] for factor in levels)
