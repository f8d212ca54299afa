"""Activation functions, and the initial weights that go with each.

The rule of He et al. 2015 (Delving Deep into Rectifiers, section 2.2) for any activation f: weights are normal with
variance gain² / fan-in, and gain² · E[f(z)²] = 1 for z standard normal. A layer whose inputs are f of such numbers
then puts out numbers of variance 1 again, whatever the depth. The gain is √2 for the rectifier, as in the paper, and 1
where there is no activation. For tanh it is 1.59 (torch's `calculate_gain` has 5/3, without a source); the older rule
of Glorot & Bengio 2010, gain 1, holds where tanh is nearly linear, and lets the signal of a deep stack fade. For GELU
(Hendrycks & Gimpel 2016, Gaussian Error Linear Units: x times the normal distribution function, not its tanh form) it
is 1.53.

The first layer takes the image, not what an activation puts out: with gain 1 it makes of an image of variance 1 such
numbers. A rectifier multiplies all that follows by what the first layer does, so that the paper keeps √2 there too;
GELU lets a variance that begins twice too large grow tenfold in twenty layers.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from torch import nn


class Activation(NamedTuple):
    """An activation function: what makes its module, and the gain of the weights in the first layer and in others."""

    module: Callable[[], nn.Module]
    first_gain: float
    gain: float


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(partial(nn.ReLU, inplace=True), math.sqrt(2.0), math.sqrt(2.0)),
    "tanh": Activation(nn.Tanh, 1.0, 1.592537419722894),
    "gelu": Activation(nn.GELU, 1.0, 1.533530441195589),
    "none": Activation(nn.Identity, 1.0, 1.0),
}


def scaled_normal(convolution: nn.Conv2d, gain: float) -> None:
    """Initialise one convolution in place: weights normal with variance gain² / fan-in, a bias zero."""
    fan_in = convolution.weight[0].numel()
    nn.init.normal_(convolution.weight, 0.0, gain / math.sqrt(fan_in))
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
