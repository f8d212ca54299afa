"""What a layer knows of a label: the error of a linear classifier that reads its map, averaged over all positions.

Alain & Bengio, "Understanding intermediate layers using linear classifier probes", arXiv 1610.01644 (2016). The probe
is a multinomial logistic regression on features brought to mean 0 and deviation 1 (by the pictures that it learns
from), with an L2 penalty of half the squared weights against the sum of the losses (scikit-learn's C = 1). Its error is
that of other pictures than it has learnt from. Averaging over positions leaves what is where in the picture aside.

**Where a label is read.** A layer's error is noisy, and several layers may be equally good: the single best one says
little. `gain_depth` takes the whole course over the depth: the errors up to each layer are replaced by the lowest so
far, and each fall counts at the depth at which it happens. The mean depth of the falls, weighted by their size, is 0
where the picture's mean colour already tells the label as well as any layer, and 1 where only the output does.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

STEPS = 500  # of the solver, at most
LEAST_GAIN = 15.0
"""Points of error that the best layer must gain on the picture's mean colour; below, no layer is said to tell it.

Of 256 held-out pictures an error is right to 3 points, and the lowest of twenty such errors is low by chance.
"""


@dataclass(frozen=True)
class ProbedLayer:
    """The error of a probe of one layer.

    Attributes:
        layer: the module whose map is read.
        depth: weighted layers up to here, as a share of the network's.
        error: percent, of the held-out pictures.
    """

    layer: str
    depth: float
    error: float


def probe_error(features: FloatArray, labels: IntArray, held_out: FloatArray, held_out_labels: IntArray) -> float:
    """Return the error, in percent, of a linear probe on pictures that it has not learnt from.

    Args:
        features: `(N, D)`, of the pictures that the probe learns from.
        labels: `(N,)`.
        held_out: `(M, D)`, of other pictures.
        held_out_labels: `(M,)`.

    Returns:
        nan where a feature is not finite.

    Raises:
        ValueError: no pictures, fewer than two labels to learn, or arrays that do not fit each other.
    """
    if not len(features) == len(labels) > 0 or not len(held_out) == len(held_out_labels) > 0:
        raise ValueError(
            f"{len(features)} pictures with {len(labels)} labels, {len(held_out)} held out with {len(held_out_labels)}"
        )
    if len(np.unique(labels)) < 2:  # noqa: PLR2004 - two labels can be told apart
        raise ValueError("a probe needs two labels at least to learn from")
    if not (np.isfinite(features).all() and np.isfinite(held_out).all()):
        return math.nan
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - a second, for those who ask
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    centre, spread = features.mean(axis=0), features.std(axis=0)
    # A channel that is always silent, but for rounding, is no feature; nor is what it would say of other pictures.
    spread = np.where(spread > 1e-7 * np.abs(centre).max(initial=1e-30), spread, np.inf)
    probe = LogisticRegression(C=1.0, max_iter=STEPS)
    with warnings.catch_warnings():
        # It is regularised: what the last steps would still change is far below the noise of the pictures.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit((features - centre) / spread, labels)
    wrong = probe.predict((held_out - centre) / spread) != held_out_labels
    return 100.0 * float(np.mean(wrong))


def gain_depth(layers: Sequence[ProbedLayer]) -> float:
    """Return the mean depth at which the error falls, from 0 at the picture to 1 at the output; see above.

    nan where the best layer gains less than `LEAST_GAIN` points on the first, the picture, or an error is not known.
    """
    ordered = sorted(layers, key=lambda layer: layer.depth)
    errors = np.array([layer.error for layer in ordered], dtype=np.float64)
    if len(errors) < 2 or np.isnan(errors).any():  # noqa: PLR2004 - a fall is between two
        return math.nan
    lowest = np.minimum.accumulate(errors)
    falls = lowest[:-1] - lowest[1:]
    if falls.sum() < LEAST_GAIN:
        return math.nan
    depths = np.array([layer.depth for layer in ordered[1:]], dtype=np.float64)
    return float(falls @ depths / falls.sum())
