"""Checks of what a network is given: an error is one line that names the argument, its value and what is allowed."""

from collections.abc import Iterable

from torch import Tensor


def positive(**arguments: int) -> None:
    """Raise `ValueError` for the first of `arguments` that is below 1."""
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1")


def odd(**arguments: int) -> None:
    """Raise `ValueError` for the first of `arguments` that is not an odd number from 1 on."""
    for name, value in arguments.items():
        if value < 1 or value % 2 == 0:
            raise ValueError(f"{name}={value}: must be odd and at least 1")


def probability(**arguments: float) -> None:
    """Raise `ValueError` for the first of `arguments` that is not from 0 to 1."""
    for name, value in arguments.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value}: must be from 0 to 1")


def one_of(allowed: Iterable[object], **arguments: object) -> None:
    """Raise `ValueError` for the first of `arguments` that is not `allowed`."""
    choices = list(allowed)
    for name, value in arguments.items():
        if value not in choices:
            raise ValueError(f"{name}={value}: must be one of {', '.join(map(str, choices))}")


def large_enough(images: Tensor, minimum: int) -> None:
    """Raise `ValueError` when `images` `(N, C, H, W)` are less than `minimum` pixels high or wide."""
    height, width = images.shape[-2:]
    if height < minimum or width < minimum:
        raise ValueError(f"image_size={height}x{width}: this network needs at least {minimum}x{minimum} pixels")
