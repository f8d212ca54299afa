"""Thinner and wider networks: the width multiplier (Howard et al. 2017, MobileNets, section 3.3; there alpha).

A network whose size can be matched to a budget tells of itself:

- the argument `width_multiplier` thins or widens it "uniformly at each layer": every convolution and every hidden fully
  connected layer, so that parameters and MACs go with about the square of the multiplier; image and classes stay;
- the attribute `base_width` is the width that its widest layer has at a multiplier of 1, in channels or units;
- the attribute `width_steps`, where it has one, says how many networks there are from one width of that layer to the
  next, as not all layers round up at once; without it two are looked for;
- the class variable `DEPTHS` lists the values, shallow to deep, of the argument `depth`, or of the one that
  `DEPTH_ARGUMENT` names.
"""

import math

# How fractions of a channel are rounded: `scaled` layer by layer, so that equal widths stay equal, or by `spread`.
ROUNDINGS = ("stage", "layer")


def scaled(width: int, width_multiplier: float) -> int:
    """Return `width` times the multiplier in whole channels, halves rounded up; at least one.

    It never falls as the multiplier grows, and is `width` at a multiplier of 1.

    Raises:
        ValueError: a multiplier of 0 or below, or one that is no finite number.
    """
    if not 0 < width_multiplier < math.inf:
        raise ValueError(f"width_multiplier={width_multiplier}: must be above 0 and finite")
    return max(1, math.floor(width * width_multiplier + 0.5))


def spread(width: float, place: int, layers: int) -> int:
    """Return `width` in whole channels, at least one, rounded for the layer at `place`, from 0, of so many.

    Each layer rounds up from a fraction of its own on, the last one first: of layers of one width so many have one
    channel more than the others that the mean of all is nearest to `width`. Where a channel of every layer at once is
    too large a step, a budget is met with steps that are as many times smaller.
    """
    return max(1, math.floor(width + (place + 0.5) / layers))
