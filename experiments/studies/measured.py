"""Claims on measures: what they compare is known of each arm before anything is trained, and exact."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from experiments.errors import StudyError
from experiments.runs.configuration import nearest
from experiments.studies.claim import Claim

if TYPE_CHECKING:
    from experiments.measures.network import NetworkMeasures

PREFIX = "measure/"
KNOWN_LAYERS = 5


class MeasuredArm(Protocol):
    """An arm whose network was measured."""

    @property
    def name(self) -> str:
        """The arm's name."""

    @property
    def measures(self) -> Mapping[str, float]:
        """Totals by name; what is not known is left out."""

    @property
    def layers(self) -> Mapping[str, Mapping[str, float]]:
        """Parameters, MACs and activations by layer."""


def sums_by_layer(measures: "NetworkMeasures") -> dict[str, dict[str, float]]:
    """Return parameters, MACs and activations by the layer's name."""
    found: dict[str, dict[str, float]] = {}
    for layer in measures.layers:
        # A layer that is called twice, and the operators of one module, have one name.
        sums = found.setdefault(layer.name, {})
        for column in ("parameters", "macs", "activations"):
            sums[column] = sums.get(column, 0.0) + float(getattr(layer, column))
    return found


def measured(name: str, claim: Claim, arm: MeasuredArm) -> Fraction:
    """Return what the claim called `name` is on, for one arm.

    Raises:
        UserError: no such measure, one that is not known of the arm's network, or a pattern that no layer matches.
    """
    key = f"claims.{name}.on={claim.on}"
    measure = (claim.on or "").removeprefix(PREFIX)
    if claim.layers is None:
        if measure not in arm.measures:
            known = [f"{PREFIX}{each}" for each in arm.measures]
            raise StudyError(f"{key}: not known of the network of {arm.name}; {nearest(str(claim.on), known)}")
        return Fraction(arm.measures[measure])
    matching = [values for layer, values in arm.layers.items() if fnmatchcase(layer, claim.layers)]
    if not matching:
        names = ", ".join(list(arm.layers)[:KNOWN_LAYERS])
        raise StudyError(
            f"claims.{name}.layers={claim.layers}: no layer of {arm.name} matches; its layers are called {names} …"
        )
    return Fraction(sum(values[measure] for values in matching))
