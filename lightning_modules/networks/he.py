"""Initial weights for networks of rectifiers (He et al. 2015, Delving Deep into Rectifiers, section 2.2)."""

from torch import nn


def he_normal(module: nn.Module) -> None:
    """Initialise one convolution in place: weights normal with variance 2 / fan-in, biases zero.

    The variance that keeps the signal of a stack of rectified layers from fading, whatever its depth. Every other
    module keeps torch's own scheme: batch norm starts as the identity, a linear layer uniform in ±1/√fan-in.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
