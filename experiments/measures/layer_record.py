"""What the layers of a network respond to, recorded while it trains: orientation, and the labels that probes read.

**Edges first, patterns later** is asked of the record by single numbers, taken of its last column:

- `<label>_depth`: the mean depth at which the probe's error falls (`probes.gain_depth`), from 0 at the picture to 1 at
  the output; `<label>_error` is the lowest error of any layer, in percent.
- `<label>_after_edge`: the `_depth` of a label less that of the orientation of edges. Above 0, layers that tell the
  label lie deeper than those that tell edges; 0 is what no order between the two would give. It is a difference within
  one network: a claim may state it of a single arm.
- `early_less_late`: the mean of the layers' median orientation selectivity over the first third of the depth, less that
  over the last third. Above 0, early layers prefer an orientation more than late ones.

A label that no layer tells (`probes.LEAST_GAIN`) has no depth; a record without layers in a third has no difference.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.measures.probes import ProbedLayer, gain_depth

FloatArray = npt.NDArray[np.float64]
EDGE = "edge"


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """Numbers of L layers after each of E epochs.

    Attributes:
        layers: names; the first may be the picture itself.
        depths: weighted layers up to each, as a share of the network's: 0 is the picture, 1 the output.
        epochs: trained when the numbers were taken; 0 is before the training.
        selectivity: `(L, E)`, the median orientation selectivity of each layer's channels; nan where none answers.
        errors: by label `(L, E)`, percent of held-out pictures that a probe gets wrong; nan where it cannot be told.
    """

    layers: tuple[str, ...]
    depths: tuple[float, ...]
    epochs: tuple[int, ...]
    selectivity: FloatArray
    errors: Mapping[str, FloatArray]

    def summary(self) -> dict[str, float]:
        """Return the numbers that runs are compared by, of the last column; what is not known is left out."""
        if not self.epochs:
            return {}
        found: dict[str, float] = {}
        for label, errors in self.errors.items():
            column = zip(self.layers, self.depths, errors[:, -1].tolist(), strict=True)
            layers = [ProbedLayer(*layer) for layer in column]
            found[f"probe/{label}_depth"] = gain_depth(layers)
            found[f"probe/{label}_error"] = min((layer.error for layer in layers), default=math.nan)
        edges = found.get(f"probe/{EDGE}_depth", math.nan)
        found |= {
            f"probe/{label}_after_{EDGE}": found[f"probe/{label}_depth"] - edges
            for label in self.errors
            if label != EDGE
        }
        found["selectivity/early_less_late"] = self._early_less_late()
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def _early_less_late(self) -> float:
        depths, last = np.array(self.depths), self.selectivity[:, -1]
        known = ~np.isnan(last) & (depths > 0)
        early, late = last[known & (depths <= 1 / 3 + 1e-9)], last[known & (depths > 2 / 3 + 1e-9)]
        return float(early.mean() - late.mean()) if len(early) and len(late) else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON takes them; null for nan."""
        return {
            "layers": list(self.layers),
            "depths": list(self.depths),
            "epochs": list(self.epochs),
            "selectivity": _plain(self.selectivity),
            "errors": {label: _plain(errors) for label, errors in self.errors.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "LayerRecord":
        """Read what `as_dict` returned."""
        shape = len(content["layers"]), len(content["epochs"])

        def numbers(rows: list[list[float | None]]) -> FloatArray:
            return np.array(rows, dtype=np.float64).reshape(shape)

        return cls(
            tuple(content["layers"]),
            tuple(content["depths"]),
            tuple(content["epochs"]),
            numbers(content["selectivity"]),
            {label: numbers(rows) for label, rows in content["errors"].items()},
        )


def _plain(numbers: FloatArray) -> list[list[float | None]]:
    return [[None if math.isnan(number) else number for number in row] for row in numbers.tolist()]
