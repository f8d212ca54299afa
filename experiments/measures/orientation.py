"""How much the channels of each layer prefer an orientation, shown gratings: the orientation selectivity index.

Of a channel's response R(θ) to gratings of orientation θ at its best spatial frequency,

    OSI = |Σ R(θ) exp(2iθ)| / Σ R(θ),

which is 1 − the circular variance of Ringach, Shapley & Hawken, "Orientation selectivity in macaque V1: diversity and
laminar dependence", J. Neurosci. 22, 2002: 0 where all orientations are answered alike, 1 where one alone is. A plain
derivative, which answers |cos θ|, has 1/3; Gabor filters have more, the narrower they are tuned.

The response to a grating is how far the channel departs from its answer to an even grey: the root mean square of the
departures over the phases and the positions in the middle half of the map, away from its borders. With four phases a
quarter of a wave apart it does not depend on where the grating begins, be the channel linear or rectified. The best
frequency is that of the largest response at any orientation. Unlike the coherence of kernels (`filters.py`) it is of
what a layer sees, through all layers before it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from experiments.measures.network import NetworkMeasures
from experiments.measures.representations import PICTURE, pooled, representations

FloatArray = npt.NDArray[np.float64]

ORIENTATIONS, PHASES = 12, 4
SHORTEST_WAVE = 3.0  # pixels; below, oblique gratings are no gratings any more
SELECTIVE = 1 / 3
"""From this index on a channel is called selective: that of a derivative, which answers |cos θ|."""
_BATCH = 48
_ROUNDING = 1e-5  # of the layer's largest response


@dataclass(frozen=True, eq=False)
class OrientationSelectivity:
    """The orientation selectivity of one layer's channels.

    Attributes:
        layer: the module whose map it is, see `representations.py`.
        depth: weighted layers up to here, as a share of the network's.
        index: `(C,)`, the index of each channel, from 0 to 1; nan for channels that answer no grating.
    """

    layer: str
    depth: float
    index: FloatArray

    @property
    def median(self) -> float:
        """The median index of the channels that answer; nan where none does."""
        answering = self.index[~np.isnan(self.index)]
        return float(np.median(answering)) if len(answering) else math.nan

    @property
    def selective(self) -> float:
        """The share of all channels whose index is at least `SELECTIVE`."""
        return float(np.mean(self.index >= SELECTIVE))

    @property
    def silent(self) -> float:
        """The share of all channels that answer no grating."""
        return float(np.mean(np.isnan(self.index)))


def orientation_selectivity(
    network: nn.Module, measures: NetworkMeasures, *, black: Sequence[float], white: Sequence[float]
) -> list[OrientationSelectivity]:
    """Return the orientation selectivity of every layer, in the order of the calls; the network is left as it was.

    Args:
        network: any module.
        measures: of the same network, at the size of the gratings.
        black: the value of a black pixel in each channel as the network gets it: normalised.
        white: the same of a white pixel.

    Raises:
        ValueError: not as many values as the image has channels.
    """
    channels, height, width = measures.input_shape
    if not len(black) == len(white) == channels:
        raise ValueError(f"black, white: {len(black)} and {len(white)} values for {channels} channels")
    weight = next(network.parameters(), torch.zeros(()))
    ends = [torch.tensor(value, dtype=torch.float64)[:, None, None] for value in (black, white)]
    middle, swing = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
    waves = gratings(height, width)
    all_waves = waves.flatten(0, 2)

    def batches() -> Iterator[Tensor]:
        for first in range(0, len(all_waves), _BATCH):
            some = all_waves[first : first + _BATCH]
            # The grey that the answers are compared with comes first.
            shown = torch.cat([torch.zeros(1, height, width, dtype=some.dtype), some])
            yield (middle + swing * shown[:, None]).to(weight.device, weight.dtype)

    found = []
    for layer in representations(network, batches(), measures, _squared_departures):
        if layer.layer != PICTURE:
            squares = layer.values.double().cpu().numpy().reshape(*waves.shape[:3], -1)
            found.append(OrientationSelectivity(layer.layer, layer.depth, _index(np.sqrt(squares.mean(axis=2)))))
    return found


def selectivity_index(responses: FloatArray) -> FloatArray:
    """Return the index `(…)` of responses `(…, O)`, not negative, to O orientations evenly over half a turn.

    It is nan where all responses are 0.
    """
    turns = np.exp(2j * np.pi * np.arange(responses.shape[-1]) / responses.shape[-1])
    with np.errstate(invalid="ignore"):
        index: FloatArray = np.abs(responses @ turns) / responses.sum(axis=-1)
    return index


def gratings(height: int, width: int) -> Tensor:
    """Return sinusoidal gratings from −1 to 1, float64 `(frequencies, ORIENTATIONS, PHASES, height, width)`.

    Waves are 3 pixels long, 6, 12 … up to the smaller side. At orientation 0 they run along x.
    """
    longest = max(SHORTEST_WAVE, min(height, width))
    octaves = math.floor(math.log2(longest / SHORTEST_WAVE)) + 1
    frequency = 1 / (SHORTEST_WAVE * 2.0 ** torch.arange(octaves, dtype=torch.float64))
    angle = torch.arange(ORIENTATIONS, dtype=torch.float64) * math.pi / ORIENTATIONS
    phase = torch.arange(PHASES, dtype=torch.float64) * 2 * math.pi / PHASES
    y, x = (torch.arange(size, dtype=torch.float64) - (size - 1) / 2 for size in (height, width))
    along = torch.cos(angle)[:, None, None] * x + torch.sin(angle)[:, None, None] * y[:, None]
    turns = 2 * math.pi * frequency[:, None, None, None, None] * along[:, None]
    return torch.cos(turns + phase[:, None, None])


def _squared_departures(maps: Tensor) -> Tensor:
    """Return how far each picture's map `(N, C, …)` is from the first one's: `(N - 1, C)`, mean of the squares."""
    for axis in range(2, maps.ndim):
        size = maps.shape[axis]
        maps = maps.narrow(axis, size // 4, max(1, size - 2 * (size // 4)))
    return pooled((maps[1:] - maps[:1]) ** 2)


def _index(responses: FloatArray) -> FloatArray:
    """Return the index `(C,)` at the best frequency, of responses `(frequencies, orientations, C)`."""
    largest = responses.max(axis=(0, 1))
    best = responses.max(axis=1).argmax(axis=0)
    tuned = responses[best, :, np.arange(responses.shape[2])]
    answers = largest > _ROUNDING * largest.max(initial=0.0)
    return np.where(answers, selectivity_index(np.where(answers[:, None], tuned, 1.0)), np.nan)
