"""A small network of Inception modules, to compare what they are made of (Szegedy et al. 2015, section 4)."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lightning_modules.networks import arguments
from lightning_modules.networks.googlenet import Convolution
from lightning_modules.networks.he import he_normal
from lightning_modules.networks.widths import ROUNDINGS, scaled, spread


class Branch(NamedTuple):
    """One branch: its share of a module's channels, its filters, and its reduction, as a share of its own channels."""

    share: float
    kernel_size: int
    reduction: float | None = None


# Of module 3a in Table 1: 64 + 128 + 32 + 32 of 256 channels, 96 before the 128 and 16 before the 32.
BRANCHES: dict[str, Branch] = {
    "1x1": Branch(1 / 4, 1),
    "3x3": Branch(1 / 2, 3, 3 / 4),
    "5x5": Branch(1 / 8, 5, 1 / 2),
    "pool": Branch(1 / 8, 1),
}

_convolution = partial(Convolution, batch_norm=True)


class InceptionModule(nn.ModuleDict):
    """Some of the four branches side by side, their channels concatenated in the order of figure 2.

    Maps `(N, in_channels, H, W)` to `(N, out_channels, H, W)`. Its branches are modules of its own, called `1x1`,
    `3x3`, `5x5` and `pool`; in each of them `filter` is the convolution that it is named after, `reduce` the 1x1 in
    front of that, `project` the 1x1 behind the pool.

    Args:
        in_channels: channels that come in.
        width: channels that go out, but for rounding, and for those of an unprojected pool.
        branches: which of `BRANCHES`; they share the width as all four do in the paper.
        reductions: 1x1 convolutions in front of 3x3 and 5x5 (figure 2b).
        pool_projection: a 1x1 convolution behind the pool (figure 2b); without it (figure 2a) the pool hands on all
            channels that come in.
        rounded: makes whole channels of a width; called for each layer, in the order of figure 2.
    """

    def __init__(
        self,
        in_channels: int,
        width: float,
        *,
        branches: Sequence[str],
        reductions: bool,
        pool_projection: bool,
        rounded: Callable[[float], int],
    ) -> None:
        super().__init__()
        self.out_channels = 0
        whole = sum(BRANCHES[name].share for name in branches)
        for name, (share, kernel_size, reduction) in BRANCHES.items():
            if name not in branches:
                continue
            own = width * share / whole
            channels = before = in_channels
            layers: dict[str, nn.Module] = {}
            if name == "pool":
                layers["pool"] = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
            elif reduction is not None and reductions:
                before = rounded(own * reduction)
                layers["reduce"] = _convolution(in_channels, before, 1)
            if name != "pool" or pool_projection:
                channels = rounded(own)
                layers["project" if name == "pool" else "filter"] = _convolution(before, channels, kernel_size)
            branch = nn.Sequential()
            for part_name, layer in layers.items():
                branch.add_module(part_name, layer)
            self[name] = branch
            self.out_channels += channels

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, H, W)`."""
        return torch.cat([branch(maps) for branch in self.values()], dim=1)


class InceptionStack(nn.Module):
    """A 3x3 stem, stages of Inception modules with a max pool between them, global average pool, one linear layer.

    Maps `(N, in_channels, H, W)` to logits `(N, num_classes)`, any H and W. GoogLeNet's parts at a size that trains in
    seconds: every convolution with batch norm, pools of 3x3 and stride 2. With equal `widths`, multiples of 16, every
    module takes as many channels as it puts out, and ratios of weights are exact: reductions leave 11/24 of those of a
    3x3 branch and 33/400 of those of a 5x5 branch.

    Args:
        num_classes: number of logits.
        in_channels: channels of the image.
        widths: channels that the modules of each stage put out; the stem has those of the first.
        modules_per_stage: Inception modules in each stage.
        branches: which of the module's four, "1x1", "3x3", "5x5" and "pool"; those that are left share its width.
        reductions: 1x1 convolutions in front of 3x3 and 5x5; without them, the naive module of figure 2a but for the
            pool's projection.
        pool_projection: a 1x1 convolution behind the pool; without it (figure 2a) every module is wider than what it
            takes, "from stage to stage".
        first_pool: also pool behind the stem, which quarters what the first stage computes.
        width_multiplier: of every layer's channels (Howard et al. 2017, section 3.3).
        rounding: of fractions of a channel: "stage" makes layers of equal widths equal, "layer" some of them a channel
            wider than others, so that a budget is met (see `widths.spread`).

    Raises:
        ValueError: an argument out of its range.
    """

    DEPTH_ARGUMENT: ClassVar[str] = "modules_per_stage"
    DEPTHS: ClassVar[Sequence[int]] = range(1, 51)

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        widths: Sequence[int] = (48, 48, 48),
        modules_per_stage: int = 1,
        branches: Sequence[str] = tuple(BRANCHES),
        reductions: bool = True,
        pool_projection: bool = True,
        first_pool: bool = False,
        width_multiplier: float = 1.0,
        rounding: str = "stage",
    ) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, in_channels=in_channels, modules_per_stage=modules_per_stage)
        arguments.positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
        arguments.one_of(BRANCHES, **{f"branches[{index}]": name for index, name in enumerate(branches)})
        arguments.one_of(ROUNDINGS, rounding=rounding)
        named = ", ".join(branches)
        if not widths:
            raise ValueError("widths=[]: must name the width of at least one stage")
        if not branches or len(set(branches)) < len(branches):
            raise ValueError(f"branches=[{named}]: must name one or more of {', '.join(BRANCHES)}, each once")
        if set(branches) == {"pool"} and not pool_projection:
            raise ValueError("branches=[pool]: has no weights with pool_projection=False")
        self.base_width = max(widths)
        channels = scaled(widths[0], width_multiplier)
        rounded: Callable[[float], int] = partial(scaled, 1)
        if rounding == "layer":
            layers = sum(1 + (reductions and BRANCHES[name].reduction is not None) for name in branches)
            layers -= "pool" in branches and not pool_projection
            self.width_steps = 1 + layers * modules_per_stage * len(widths)
            rounded = _one_by_one(self.width_steps)
            channels = rounded(widths[0] * width_multiplier)
        module = partial(
            InceptionModule, branches=branches, reductions=reductions, pool_projection=pool_projection, rounded=rounded
        )
        self.stem = _convolution(in_channels, channels, 3)
        self.stages = nn.ModuleList()
        for width in widths:
            stage = nn.Sequential()
            for _ in range(modules_per_stage):
                built = module(channels, width * width_multiplier)
                stage.append(built)
                channels = built.out_channels
            self.stages.append(stage)
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.first_pool = first_pool
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        self.apply(self.initialise)

    initialise = staticmethod(he_normal)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        maps = self.stem(images)
        for index, stage in enumerate(self.stages):
            maps = stage(self.pool(maps) if index > 0 or self.first_pool else maps)
        logits: Tensor = self.fc(torch.flatten(self.avgpool(maps), 1))
        return logits


def _one_by_one(layers: int) -> Callable[[float], int]:
    """Return what rounds the widths of so many layers, called for one after the other."""
    places = count()
    return lambda width: spread(width, next(places), layers)
