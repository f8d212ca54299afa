"""Claims on measures: what they compare is known of each arm before anything is trained, and exact."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from fractions import Fraction

from experiments.errors import UserError
from experiments.measures.network import NetworkMeasures
from experiments.runs.configuration import nearest
from experiments.studies.claim import Claim

PREFIX = "measure/"


def measured(name: str, claim: Claim, arms: Mapping[str, NetworkMeasures]) -> dict[str, Fraction]:
    """Return what the claim called `name` is on, for each arm.

    Raises:
        UserError: no such measure, one that is not known of an arm's network, or a pattern that no layer matches.
    """
    return {arm: _value(name, claim, arm, measures) for arm, measures in arms.items()}


def _value(name: str, claim: Claim, arm: str, measures: NetworkMeasures) -> Fraction:
    key = f"claims.{name}.on={claim.on}"
    measure = (claim.on or "").removeprefix(PREFIX)
    totals = measures.totals()
    if measure not in totals:
        raise UserError(f"{key}: no such measure; {nearest(str(claim.on), [f'{PREFIX}{known}' for known in totals])}")
    if claim.layers is None:
        value = totals[measure]
        if value is None:
            raise UserError(f"{key}: is not known of the network of {arm} ({measures.field.reason})")
        return Fraction(value)
    matching = [layer for layer in measures.layers if fnmatchcase(layer.name, claim.layers)]
    if not matching:
        names = ", ".join(layer.name for layer in measures.layers[:5])
        raise UserError(
            f"claims.{name}.layers={claim.layers}: no layer of {arm} matches; its layers are called {names} …"
        )
    return Fraction(sum(getattr(layer, measure) for layer in matching))
