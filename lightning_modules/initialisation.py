"""Initial weights that depend on the seed, a module's name and its shapes, and on nothing else."""

import hashlib
from collections.abc import Callable

import torch
from torch import nn

Scheme = Callable[[nn.Module], object]


def initialise(network: nn.Module, seed: int) -> None:
    """Draw the weights of `network` anew, in place, each module from a stream of its own.

    The stream is a function of (`seed`, the module's name in `network`): networks that differ elsewhere start from
    the same weights wherever name and shape agree, e.g. a residual network and its plain twin. What was drawn
    before does not matter, and torch's global generator stays as it was.

    Each module with parameters of its own is set by its `reset_parameters()`, as torch's layers have (except
    `MultiheadAttention`), then by the `initialise(module)` of the outermost module around it that has one, as the
    networks here have. A parameter that neither reaches keeps its value, and so do modules on the meta device.
    Weights that a constructor has loaded from elsewhere are overwritten.

    Args:
        network: any module, on the CPU.
        seed: of the run.

    Raises:
        ValueError: a parameter is neither on the CPU nor on the meta device: another device would draw other weights.
    """
    schemes: dict[str, Scheme | None] = {}
    for name, module in network.named_modules():
        around = schemes.get(name.rpartition(".")[0]) if name else None
        scheme = schemes[name] = around or getattr(module, "initialise", None)
        devices = {parameter.device.type for parameter in module.parameters(recurse=False)}
        for other in devices - {"cpu", "meta"}:
            raise ValueError(f"network on {other}: its initial weights are drawn on the CPU, move it afterwards")
        if "cpu" not in devices:
            continue
        # Only the CPU's generator is set: torch.manual_seed would also set those of the accelerators.
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(_stream(seed, name))
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
            if scheme is not None:
                scheme(module)


def _stream(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
