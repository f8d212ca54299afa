"""Verdicts on claims: supported, refuted or undecided, computed from values paired by seed. Pure functions of numbers.

What a claim says is a region in which the contrast lies (`named_claim.py`), and its contrary that it lies outside.

**The rule.** A claim is supported when its own one-sided test shows it, refuted when the test of its contrary does, and
undecided when neither does; a claim that is not shown is not thereby refuted. The tests are at 2.5 % each, so that one
claim is supported exactly where the whole 95 % interval lies in its region, and refuted exactly where all of it lies
outside: a verdict, of either side, is wrong at most 5 % of the time. (`equivalent` is two one-sided tests; where it is
true, only a refutation can be wrong: on either side of the region with 2.5 %.)

**Several claims.** Holm (1979) is applied twice: over the tests of the claims and over the tests of their contraries.
Each keeps the chance of any wrong supported, or of any wrong refuted, below 2.5 %, however the claims depend on each
other, so that any verdict of the family is wrong at most 5 % of the time. (A margin of `equivalent` far below the
standard error takes twice its part of that: it can be refuted on either side.) Intervals are shown at 95 % each; a
verdict that holds for its interval alone but not for the family is undecided, and says so. All claims that are tested
count, those whose runs are missing, too: the family is what was stated, not what came out.

**No spread.** Where all values of a contrast are the same number to rounding (`intervals.EQUAL`) there is no interval,
and the claim is undecided: on a coarse scale (one picture in 360) a few seeds agree by chance. A sign test would decide
from six seeds on, but about the median: a rare large difference is what it does not see. The exception is a number that
has no spread by its nature, such as parameters: claims on these are `exact`. They are judged as they are, without a
test, and do not count in the family; such a claim says it of every value, and one value that is not so refutes it.

**Bounds.** What it takes to reach an error is not always known, but between which numbers it lies (`reaching.py`), and
so a contrast of it. A test that shows the mean to be below a border takes the upper end of every seed, one that shows
it to be above the lower end: what is shown of numbers that are nowhere below the true ones is shown of the true ones.
Where such an end is infinite in one seed, that test shows nothing.

**Ratios** are tested on the log scale, where a/b and b/a are equally far from 1; the mean is the geometric one.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from experiments.studies.contrasts import ByArm, Number, Ratio, paired
from experiments.studies.intervals import ALPHA, Estimate, estimate, has_spread, p_above, p_below
from experiments.studies.named_claim import NamedClaim, exactly
from experiments.studies.reaching import NeedsByArm, ends

Outcome = Literal["supported", "refuted", "undecided"]


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
        claim: its name.
        outcome: see the rule above.
        effect: of the contrast, one value for each seed; `None` when there is nothing to compare.
        p_value: of the claim's own test, one-sided, uncorrected; `None` for exact claims and where no test can be made.
        adjusted: `p_value` after Holm over the claims that are tested; supported where it is below `ALPHA`.
        contrary: the same of the contrary's test; refuted where it is below `ALPHA`.
        reason: one sentence; its numbers are in the unit of the values.
        left_out: seeds that lack one of the arms.
    """

    claim: str
    outcome: Outcome
    effect: Estimate | None
    p_value: float | None
    adjusted: float | None
    contrary: float | None
    reason: str
    left_out: tuple[int, ...]


def judge(
    claims: Sequence[NamedClaim],
    values: Mapping[str, ByArm],
    planned: Collection[int] = (),
    reached: Mapping[str, NeedsByArm] | None = None,
) -> tuple[Verdict, ...]:
    """Return the verdict on each claim, in their order.

    Args:
        claims: all that the study states.
        values: by the name of the claim: for each arm one number for each seed. One that is not finite is missing.
        planned: the seeds of the study: those without any number are left out like those that lack an arm.
        reached: by the name of the claim, where it is on what it takes to reach an error: that, instead of a number.
    """
    bounded = reached or {}
    compared = [
        _bounded(claim, bounded[claim.name], planned)
        if claim.name in bounded
        else _compared(claim, values.get(claim.name, {}), planned)
        for claim in claims
    ]
    tested = [one for one in compared if not one.claim.is_exact]
    adjusted = iter(holm([one.p_value for one in tested]))
    contrary = iter(holm([one.p_contrary for one in tested]))
    return tuple(
        _exact(one) if one.claim.is_exact else _tested(one, next(adjusted), next(contrary), len(tested))
        for one in compared
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number (Holm 1979), in their order."""
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


@dataclass(frozen=True)
class _Compared:
    """A claim with what there is to judge it by; `hindrance` is why it cannot be tested, `note` what else to say."""

    claim: NamedClaim
    numbers: Mapping[int, Number]
    left_out: tuple[int, ...]
    effect: Estimate | None = None
    p_value: float = 1.0
    p_contrary: float = 1.0
    hindrance: str = ""
    note: str = ""


def _compared(claim: NamedClaim, values: ByArm, planned: Collection[int]) -> _Compared:
    pairs, left_out = paired(claim.contrast, values, planned)
    if claim.is_exact:
        pairs = {seed: {arm: exactly(number) for arm, number in numbers.items()} for seed, numbers in pairs.items()}
    ratio = isinstance(claim.contrast, Ratio)
    for seed, numbers in pairs.items():
        for arm, number in numbers.items():
            if ratio and number <= 0:
                reason = f"a ratio needs values above 0, and {arm} has {float(number):g} at seed {seed}"
                return _Compared(claim, {}, left_out, hindrance=reason)
    contrasts = {seed: claim.contrast.of(numbers) for seed, numbers in pairs.items()}
    one = _Compared(claim, contrasts, left_out)
    floats = tuple(float(value) for value in contrasts.values())
    if not floats:
        return replace(one, hindrance="no seed has finished and recorded it in all its arms")
    if claim.is_exact:
        mean = float(sum(map(exactly, contrasts.values()), start=Fraction()) / len(floats))
        return replace(one, effect=Estimate(floats, mean, None, None, "exact"))
    scale: Callable[[float], float] = math.log if ratio else float
    scaled = [scale(value) for value in floats]
    one = replace(one, effect=_on_ratios(floats, scaled) if ratio else estimate(floats))
    if len(floats) == 1:
        return replace(one, hindrance="a single seed says nothing of how much seeds differ")
    if not has_spread(scaled):
        reason = f"all {len(floats)} seeds give the same number to rounding, from which no spread can be estimated"
        return replace(one, hindrance=reason)
    own, contrary = _tests(claim, scaled, scaled, scale)
    return replace(one, p_value=own, p_contrary=contrary)


def _tests(
    claim: NamedClaim, lows: Sequence[float], highs: Sequence[float], scale: Callable[[float], float]
) -> tuple[float, float]:
    """Return the one-sided p of the claim and of its contrary, for values of which the ends are known."""
    own, against = [], []
    for side, border in claim.region:
        at = scale(float(border))
        shown = {
            "below": p_below(highs, at) if all(map(math.isfinite, highs)) else 1.0,
            "above": p_above(lows, at) if all(map(math.isfinite, lows)) else 1.0,
        }
        own.append(shown[side])
        against.append(shown["above" if side == "below" else "below"])
    # All parts of the region must be shown to support the claim; to lie outside one of its borders refutes it.
    return max(own), min(against)


def _bounded(claim: NamedClaim, reached: NeedsByArm, planned: Collection[int]) -> _Compared:
    """Compare what it takes to reach an error, of which in some seeds bounds alone are known."""
    own = {arm: reached.get(arm, {}) for arm in claim.contrast.arms}
    seeds = sorted({*planned, *(seed for found in own.values() for seed in found)})
    between = {
        seed: ends(claim.contrast, {arm: found[seed] for arm, found in own.items()})
        for seed in seeds
        if all(seed in found for found in own.values())
    }
    if all(low == high for low, high in between.values()):
        return _compared(claim, {arm: {seed: found[seed].low for seed in between} for arm, found in own.items()}, seeds)
    left_out = tuple(seed for seed in seeds if seed not in between)
    ratio = isinstance(claim.contrast, Ratio)
    scale: Callable[[float], float] = _log if ratio else float
    lows, highs = ([scale(pair[place]) for pair in between.values()] for place in (0, 1))
    one = _Compared(claim, {seed: high for seed, (_, high) in between.items()}, left_out)
    # The effect is that of the end which the claim's own test looks at; where that is infinite, of the other one.
    own_first = (highs, lows) if claim.region[0][0] == "below" else (lows, highs)
    shown = next((each for each in own_first if all(map(math.isfinite, each))), None)
    if shown is not None:
        effect = _on_ratios(tuple(map(math.exp, shown)), shown) if ratio else estimate(shown)
        if effect is not None:
            effect = replace(effect, bound="at most" if shown is highs else "at least")
        one = replace(one, effect=effect)
    bounds: dict[str, list[int]] = {}
    for arm, found in own.items():
        for seed in between:
            if not found[seed].known:
                bounds.setdefault(f"{arm} needs {found[seed]}", []).append(seed)
    said = ", ".join(f"{bound} at {_seeds(where)}" for bound, where in bounds.items())
    one = replace(one, note=f"; {said}: of what is possible, each test takes what shows least")
    endless = [
        f"from {where} at {_seeds(lacking)}"
        for where, shown in (("below", lows), ("above", highs))
        if (lacking := [seed for seed, end in zip(between, shown, strict=True) if not math.isfinite(end)])
    ]
    if len(between) == 1:
        return replace(one, hindrance=f"a single seed says nothing of how much seeds differ; {said}")
    if len(endless) == 2:  # noqa: PLR2004 - no test of either side can be made
        return replace(one, hindrance=f"nothing bounds the contrast {' nor '.join(endless)}: {said}")
    own_p, contrary = _tests(claim, lows, highs, scale)
    if not any(all(map(math.isfinite, each)) and has_spread(each) for each in (lows, highs)):
        return replace(one, hindrance=f"all {len(between)} seeds give the same bound, which has no spread; {said}")
    return replace(one, p_value=own_p, p_contrary=contrary)


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _on_ratios(values: tuple[float, ...], logs: Sequence[float]) -> Estimate | None:
    found = estimate(logs)
    if found is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return Estimate(values, math.exp(found.mean), low, high, found.method)


def _exact(one: _Compared) -> Verdict:
    claim, numbers = one.claim, one.numbers
    if one.hindrance:
        return _undecided(one, one.hindrance)
    wrong = {seed: number for seed, number in numbers.items() if not claim.holds(exactly(number))}
    outcome: Outcome = "refuted" if wrong else "supported"
    said = claim.said()
    if not wrong:
        holds = "as claimed" if claim.kind == "equal" else said
        reason = f"exactly {_listed(numbers.values())}, {holds}"
    elif len(wrong) == len(numbers):
        reason = f"exactly {_listed(wrong.values())}, not {said}"
    else:
        reason = f"exactly {_listed(wrong.values())} at {_seeds(wrong)}, not {said}"
    return Verdict(claim.name, outcome, one.effect, None, None, None, reason, one.left_out)


def _tested(one: _Compared, adjusted: float, contrary: float, family: int) -> Verdict:
    if one.hindrance:
        return _undecided(one, one.hindrance)
    claim = one.claim
    after = f" after Holm's correction for {family} claims" if family > 1 else ""
    if adjusted < ALPHA:
        outcome: Outcome = "supported"
        reason = f"the contrast is shown to be {claim.said()} (one-sided p = {_p(adjusted)}{after}, below {ALPHA:g})"
    elif contrary < ALPHA:
        outcome = "refuted"
        said = claim.said(contrary=True)
        reason = f"the contrast is shown to be {said} (one-sided p = {_p(contrary)}{after}, below {ALPHA:g})"
    elif min(one.p_value, one.p_contrary) < ALPHA:
        outcome = "undecided"
        alone = one.p_contrary < ALPHA
        told = (one.p_contrary, contrary) if alone else (one.p_value, adjusted)
        reason = (
            f"the interval by itself lies {claim.said(contrary=alone)}, but that is not shown{after}: "
            f"one-sided p = {_p(told[0])} becomes {_p(told[1])}, not below {ALPHA:g}"
        )
    else:
        outcome = "undecided"
        reason = (
            f"{len(one.numbers)} seeds show the contrast neither {claim.said()} (one-sided p = {_p(adjusted)}{after}) "
            f"nor {claim.said(contrary=True)} (p = {_p(contrary)})"
        )
    return Verdict(claim.name, outcome, one.effect, one.p_value, adjusted, contrary, reason + one.note, one.left_out)


def _undecided(one: _Compared, reason: str) -> Verdict:
    return Verdict(one.claim.name, "undecided", one.effect, None, None, None, reason, one.left_out)


def _p(value: float) -> str:
    return "less than 0.0001" if value < 1e-4 else f"{value:.2g}"  # noqa: PLR2004 - as many digits as anyone reads


def _listed(numbers: Collection[Number]) -> str:
    return ", ".join(dict.fromkeys(str(number) for number in numbers))


def _seeds(seeds: Collection[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
