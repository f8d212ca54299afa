"""What the layers of a network make of pictures: the maps between them, as the next layer reads them.

The map of a weighted layer is the input of the layer that reads it: normalised, rectified, pooled, added to the
shortcut, whatever stands between the two. So taken it is the same thing in a network of modules, of functional calls
and of residual blocks; what a convolution itself puts out is the same numbers before any of that, and of opposite sign
as often as not.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from experiments.measures.network import NetworkMeasures
from experiments.measures.outputs import tensors_of
from experiments.measures.weightless import mode_set

PICTURE = "picture"
"""The name of what the first layer reads."""

Reduce = Callable[[Tensor], Tensor]
_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)


@dataclass(frozen=True, eq=False)
class Representation:
    """What one layer makes of N pictures.

    Attributes:
        layer: the name of the module whose map it is; `PICTURE` for the input of the first one.
        depth: weighted layers from the input to here, as a share of those of the whole network: 0 is the picture, 1 the
            output.
        values: what `reduce` has made of the map, for all pictures.
    """

    layer: str
    depth: float
    values: Tensor


def representations(
    network: nn.Module, batches: Iterable[Tensor], measures: NetworkMeasures, reduce: Reduce
) -> list[Representation]:
    """Run `network` over pictures in evaluation mode, and return what each layer makes of them, in order of the calls.

    The network is left as it was found. Of several layers that read one map the first counts, and so does the first
    call of a layer that is called several times; a layer whose map nothing with weights reads is left out, but for the
    output.

    Args:
        network: any module that takes images `(N, C, H, W)`.
        batches: of such images, on the network's device.
        measures: of the same network, for the order and the depth of its layers.
        reduce: makes of a map `(N, C, …)`, channels second whatever the layer, what is kept of it, `(M, …)`, before any
            operator in place changes it.
    """
    found: dict[str, tuple[int, list[Tensor]]] = {}
    for images in batches:
        for layer, (depth, maps) in _maps(network, images, measures, reduce).items():
            found.setdefault(layer, (depth, []))[1].append(maps)
    # Of several outputs the deepest is not always the main one.
    deepest = max([measures.depth, *(depth for depth, _ in found.values())])
    return [Representation(layer, depth / deepest, torch.cat(maps)) for layer, (depth, maps) in found.items()]


def pooled(maps: Tensor) -> Tensor:
    """Return the mean of each channel over all positions, `(N, C)`, of maps `(N, C, …)`."""
    return maps.flatten(2).mean(2) if maps.ndim > 2 else maps  # noqa: PLR2004 - no positions


def _maps(
    network: nn.Module, images: Tensor, measures: NetworkMeasures, reduce: Reduce
) -> dict[str, tuple[int, Tensor]]:
    """Return depth and reduced map by layer, for one batch."""
    modules = dict(network.named_modules())
    depths: dict[str, list[int]] = {}
    for call in measures.layers:
        if call.macs and isinstance(modules.get(call.name), _WEIGHTED):
            depths.setdefault(call.name, []).append(call.depth)
    found: dict[str, tuple[int, Tensor]] = {}
    latest: dict[int, str] = {0: PICTURE}
    calls: Counter[str] = Counter()

    def read(name: str, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if calls[name] >= len(depths[name]) or not arguments:
            return
        depth = depths[name][calls[name]]
        calls[name] += 1
        made_by = latest.get(depth - 1)
        latest[depth] = name
        if made_by is not None and made_by not in found:
            found[made_by] = (depth - 1, reduce(_channels_second(module, arguments[0])).detach())

    with contextlib.ExitStack() as stack:
        for name in depths:
            stack.callback(modules[name].register_forward_pre_hook(partial(read, name)).remove)
        outputs = tensors_of(_call(network, images, stack))
    last = max(latest)
    if outputs and latest[last] not in found:
        found[latest[last]] = (last, reduce(outputs[0]).detach())
    return found


def _channels_second(module: nn.Module, maps: Tensor) -> Tensor:
    """Return what a module reads as `(N, C, …)`: linear layers have their channels last."""
    return maps.movedim(-1, 1) if isinstance(module, nn.Linear) and maps.ndim > 1 else maps


def _call(network: nn.Module, images: Tensor, stack: contextlib.ExitStack) -> object:
    stack.enter_context(torch.no_grad())
    stack.enter_context(mode_set(network, training=False))
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    return functional_call(network, buffers, (images,))
