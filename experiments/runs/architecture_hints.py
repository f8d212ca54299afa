"""Which argument of a network would likely make it the one that a checkpoint was trained with."""

import inspect
import math
from collections.abc import Mapping

from torch import nn

Shape = tuple[int, ...]

_PROJECTIONS = ("downsample", "shortcut", "identity", "projection", "skip")
_LINEAR, _CONVOLUTION = 2, 4


def hint(network: nn.Module, theirs: Mapping[str, Shape], their: str | None, our: str | None) -> str:
    """Say what in the shapes of a checkpoint speaks for other arguments; empty where nothing does.

    Only arguments that the network takes are named, as keys of the configuration. What leaves no trace in shapes and
    names (a pool, a stride, the side of padding) cannot be told.

    Args:
        network: the network that was built.
        theirs: the checkpoint's shapes by name, in their order.
        their: the checkpoint's first tensor that differs, if it has one there.
        our: the network's name at that place, if it has one there.
    """
    ours = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    takes = set(inspect.signature(type(network)).parameters)
    there, here = theirs.get(their or "", ()), ours.get(our or "", ())
    reasons = (
        _classes(theirs, ours, their, our),
        _batch_norm(theirs, ours) if "batch_norm" in takes else "",
        _stem(there, here, takes) if our == next(iter(ours)) else "",
        _shortcut(theirs, ours) if "shortcut" in takes else "",
        _bottleneck(there, here) if "bottleneck" in takes and not _is_projection(their or "", there) else "",
        _head(theirs, ours) if "head_widths" in takes else "",
        _depth(theirs, ours) if "depth" in takes else "",
    )
    return next((reason for reason in reasons if reason), "")


def _classes(theirs: Mapping[str, Shape], ours: Mapping[str, Shape], their: str | None, our: str | None) -> str:
    linear, own_linear = ([name for name in shapes if len(shapes[name]) == _LINEAR] for shapes in (theirs, ours))
    if [their, our] != [*linear[-1:], *own_linear[-1:]]:
        return ""
    there, here = theirs[linear[-1]], ours[own_linear[-1]]
    if there[0] == here[0] or there[1] != here[1]:
        return ""
    return f"it was trained for {there[0]} classes, this data set has {here[0]}"


def _batch_norm(theirs: Mapping[str, Shape], ours: Mapping[str, Shape]) -> str:
    has, wants = (any(name.endswith("running_mean") for name in names) for names in (theirs, ours))
    if has == wants:
        return ""
    return f"it has {'' if has else 'no '}batch norm: model.network.batch_norm={str(has).lower()}"


def _stem(there: Shape, here: Shape, takes: set[str]) -> str:
    if len(there) != _CONVOLUTION or there[2:] == here[2:]:
        return ""
    begins = f"it begins with {there[2]}x{there[3]}"
    if "stem_kernel_size" in takes:
        return f"{begins}: model.network.stem_kernel_size={there[2]}, and see stem_stride and stem_pool"
    if "small_images" in takes:
        return f"{begins}: model.network.small_images={str(there[2] == 3).lower()}"  # noqa: PLR2004 - of 32 px
    return ""


def _is_projection(name: str, shape: Shape) -> bool:
    return len(shape) == _CONVOLUTION and shape[2:] == (1, 1) and any(word in name for word in _PROJECTIONS)


def _shortcut(theirs: Mapping[str, Shape], ours: Mapping[str, Shape]) -> str:
    has, wants = (any(_is_projection(*item) for item in shapes.items()) for shapes in (theirs, ours))
    if has and not wants:
        return "its shortcuts have weights: model.network.shortcut=B"
    if wants and not has:
        return "its shortcuts have no weights: model.network.shortcut=A or A-behind"
    return ""


def _bottleneck(there: Shape, here: Shape) -> str:
    if len(there) != _CONVOLUTION or len(here) != _CONVOLUTION or there[2:] == here[2:]:
        return ""
    return f"its blocks begin with {there[2]}x{there[3]}: model.network.bottleneck={str(there[2] == 1).lower()}"


def _head(theirs: Mapping[str, Shape], ours: Mapping[str, Shape]) -> str:
    their_linear, our_linear = (
        [shape for shape in shapes.values() if len(shape) == _LINEAR] for shapes in (theirs, ours)
    )
    widths, own_widths = ([shape[0] for shape in linear[:-1]] for linear in (their_linear, our_linear))
    if not their_linear or widths == own_widths:
        return ""
    channels = [shape[0] for shape in theirs.values() if len(shape) == _CONVOLUTION]
    side = math.isqrt(their_linear[0][1] // channels[-1]) if channels else 0
    pooled = f" and pooled_size={side}" if side and their_linear[0][1] != our_linear[0][1] else ""
    return f"its head has other widths: 'model.network.head_widths={widths}'{pooled}".replace(", ", ",")


def _depth(theirs: Mapping[str, Shape], ours: Mapping[str, Shape]) -> str:
    there, here = (
        sum(len(shape) == _CONVOLUTION and not _is_projection(name, shape) for name, shape in shapes.items())
        for shapes in (theirs, ours)
    )
    if there == here:
        return ""
    return f"it has {there} convolutions besides those of shortcuts, the network {here}: see model.network.depth"
