"""How many parameters a network has: known of any, also of one that cannot run without numbers."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Parameters:
    """What can be known of any network, also of one that cannot run without numbers.

    Attributes:
        total: elements of all parameters, shared ones counted once.
        trainable: elements of those that take gradients.
        size: bytes of memory.
    """

    total: int
    trainable: int
    size: int


def count_parameters(network: nn.Module) -> Parameters:
    """Count the parameters of `network`, with or without numbers."""
    parameters = list(network.parameters())
    return Parameters(
        total=sum(parameter.numel() for parameter in parameters),
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        size=sum(parameter.numel() * parameter.element_size() for parameter in parameters),
    )
