"""The parts of a classification network that detectors use: its stages, what makes features of them, its head."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

POOL = "avgpool"
# GoogLeNet's, which look at the middle of the network and answer in training only.
SIDE_HEADS = frozenset({"aux1", "aux2"})
PROBE_PIXELS = 256


class Parts(NamedTuple):
    """A classification network, `head(neck(stages(images)))`; the parts hold its own modules, not copies.

    Attributes:
        stages: images `(N, C, H, W)` to maps `(N, C', H / stride, W / stride)`: all in front of the last pool.
        neck: maps of any size to features `(N, D)`: the last pool and any hidden fully connected layers.
        head: features to logits.
    """

    stages: nn.Sequential
    neck: nn.Sequential
    head: nn.Linear


class MapShape(NamedTuple):
    """Channels of a network's images and of its maps, and the stride of these in pixels."""

    in_channels: int
    channels: int
    stride: int


def parts_of(network: nn.Module) -> Parts:
    """Take a classification network apart: one of ours, or any that keeps to the names of torchvision's.

    Its modules must stand in the order in which they are applied, the last pool called `avgpool`, the last of all a
    linear layer; or be a stack of `stages` with a `pool` between them.

    Raises:
        ValueError: it is made in another way.
    """
    stages = stages_of(network)
    pool, *behind = _behind(network)
    *hidden, head = _flat([getattr(network, name) for name in behind])
    if not isinstance(head, nn.Linear):
        said = f"backbone={type(network).__name__}: ends in {type(head).__name__}, must end in Linear"
        raise ValueError(said)  # noqa: TRY004 - of the argument
    return Parts(stages, nn.Sequential(getattr(network, pool), nn.Flatten(), *hidden), head)


def stages_of(network: nn.Module) -> nn.Sequential:
    """Return all layers in front of a classification network's last pool: those that make maps of images.

    Raises:
        ValueError: as `parts_of`, but for its end.
    """
    children = dict(network.named_children())
    if POOL not in children:
        raise ValueError(f"backbone={type(network).__name__}: has no '{POOL}', behind which its features are")
    if isinstance(children.get("stages"), nn.ModuleList):
        return nn.Sequential(*_flat(_stack(network)))
    names = list(children)
    before = [children[name] for name in names[: names.index(POOL)] if name not in SIDE_HEADS]
    return nn.Sequential(*_flat(before))


def keep_stages(network: nn.Module) -> None:
    """Leave out, in place, what a network has behind its stages, and its side heads: nothing of it would be trained."""
    for name in _behind(network):
        setattr(network, name, nn.Identity())
    for name in SIDE_HEADS & dict(network.named_children()).keys():
        setattr(network, name, None)


def map_shape(stages: nn.Sequential) -> MapShape:
    """Find the shape of a network's maps, without computing any."""
    first = next(module for module in stages.modules() if isinstance(module, nn.Conv2d))
    small, large = (probe(stages, first.in_channels, pixels) for pixels in (PROBE_PIXELS, 2 * PROBE_PIXELS))
    # Layers without padding make maps smaller by some more, of every image alike.
    return MapShape(first.in_channels, small.shape[1], PROBE_PIXELS // (large.shape[3] - small.shape[3]))


def probe(module: nn.Module, channels: int, pixels: int) -> Tensor:
    """Apply a module to two square images without numbers: the answer has none either, but a shape.

    Raises:
        ValueError: as of the module, of images that are too small for it.
    """
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    weightless = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    images = torch.empty(2, channels, pixels, pixels, device="meta")
    answers = functional_call(module, weightless, images)
    answer: Tensor = answers if isinstance(answers, Tensor) else answers[0]
    return answer


def check_head(parts: Parts, num_classes: int) -> None:
    """See that a network's head scores each class, and last the background.

    Raises:
        ValueError: it has another number of logits.
    """
    if parts.head.out_features != num_classes + 1:
        raise ValueError(
            f"backbone: num_classes={parts.head.out_features}: must be {num_classes + 1}, "
            f"of {num_classes} classes and, last, the background"
        )


def _behind(network: nn.Module) -> list[str]:
    """Return the names of the last pool and of what follows it."""
    names = list(dict(network.named_children()))
    return names[names.index(POOL) :]


def _stack(network: nn.Module) -> Iterator[nn.Module]:
    """Yield stem and stages with the pools between them, which such a network applies in its `forward`."""
    children = dict(network.named_children())
    yield children["stem"]
    for number, stage in enumerate(children["stages"].children()):
        if number > 0 or getattr(network, "first_pool", False):
            yield children["pool"]
        yield stage


def _flat(modules: Iterator[nn.Module] | list[nn.Module]) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, nn.Sequential):
            yield from _flat(list(module.children()))
        else:
            yield module
