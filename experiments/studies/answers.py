"""From a study's claims and its runs to verdicts: which numbers each claim is about, and what they show."""

import math
from collections.abc import Sequence
from statistics import stdev

from experiments.studies import wording
from experiments.studies.claims import claims_of
from experiments.studies.comparison import Replicate
from experiments.studies.contrasts import ByArm
from experiments.studies.curves import Curves
from experiments.studies.intervals import has_spread
from experiments.studies.measured import PREFIX, MeasuredArm, measured
from experiments.studies.named_claim import NamedClaim
from experiments.studies.power import POWER, detectable
from experiments.studies.reaching import needs
from experiments.studies.study import Study
from experiments.studies.verdict import Verdict, judge

NO_CURVES = Curves("")


def check_measures(study: Study, arms: Sequence[MeasuredArm]) -> None:
    """Refuse claims on measures that cannot be judged.

    Raises:
        UserError: a measure that there is not, or that is not known of a network.
    """
    for claim in claims_of(study):
        _measured(study, claim, arms)


def answer(
    study: Study, arms: Sequence[MeasuredArm], replicates: Sequence[Replicate], curves: Curves = NO_CURVES
) -> tuple[Verdict, ...]:
    """Return the verdict on each claim of the study.

    Args:
        study: what was asked.
        arms: with their measures.
        replicates: that finished or not; only finite numbers of finished ones count.
        curves: of the study's metric while learning, for claims on what it takes to reach an error.

    Raises:
        UserError: as `claims.claims_of` and `check_measures`.
    """
    claims = claims_of(study)
    values = {claim.name: _measured(study, claim, arms) or _recorded(study, claim, replicates) for claim in claims}
    reached = {name: needs(study, claim, replicates, curves) for name, claim in study.claims.items() if claim.over}
    return judge(claims, values, study.seeds, reached)


def _measured(study: Study, claim: NamedClaim, arms: Sequence[MeasuredArm]) -> ByArm:
    """Return what a claim on a measure compares, the same for every seed; nothing for other claims."""
    stated = study.claims[claim.name]
    if not (stated.on or study.metric).startswith(PREFIX):
        return {}
    own = [arm for arm in arms if arm.name in claim.contrast.arms]
    return {arm.name: dict.fromkeys(study.seeds, measured(claim.name, stated, arm)) for arm in own}


def _recorded(study: Study, claim: NamedClaim, replicates: Sequence[Replicate]) -> ByArm:
    on = study.claims[claim.name].on or study.metric
    found: dict[str, dict[int, float]] = {}
    for replicate in replicates:
        if replicate.status == "FINISHED" and replicate.result is not None:
            value = replicate.result.metrics.get(on, math.nan)
            if math.isfinite(value):
                found.setdefault(replicate.arm, {})[replicate.seed] = value
    return found


def power_sentences(study: Study, replicates: Sequence[Replicate]) -> list[str]:
    """Say the smallest effect that the study's seeds can show, for each claim that is tested.

    In the metric's unit where runs of two seeds or more tell how much the contrast varies; else in standard deviations.
    """
    tested = [claim for claim in claims_of(study) if not claim.is_exact]
    said = []
    for claim in tested:
        on = study.claims[claim.name].on or study.metric
        smallest = detectable(len(study.seeds), claims=len(tested))
        if smallest is None:
            said.append(f"{claim.name}: one seed shows nothing; give at least two")
            continue
        # What it takes to reach an error is in another unit than the runs' own numbers, and seldom all of it is known.
        values = {} if study.claims[claim.name].over else _recorded(study, claim, replicates)
        shared = set.intersection(*(set(values.get(arm, {})) for arm in claim.contrast.arms))
        contrasts = [
            float(claim.contrast.of({arm: values[arm][seed] for arm in claim.contrast.arms})) for seed in sorted(shared)
        ]
        known = len(contrasts) > 1 and has_spread(contrasts)
        head = f"{claim.name}: {len(study.seeds)} seeds show, {100 * POWER:.0f} % of the time, an effect of"
        if known:
            unit = wording.metric_unit(on)
            amount = f"{smallest * stdev(contrasts):.2f}{' points' if unit == '%' else f' {unit}'.rstrip()}"
            source = f"by the spread of {len(contrasts)} seeds so far"
            said.append(f"{head} {amount} of {wording.metric_name(on)} or more, {source}")
        else:
            said.append(f"{head} {smallest:.2f} standard deviations of {study.claims[claim.name].contrast} or more")
    return said
