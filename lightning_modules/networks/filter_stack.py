"""A small network to compare what its layers are made of: sizes of filters, depth, activation, receptive field."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_modules.networks import arguments
from lightning_modules.networks.activations import ACTIVATIONS, scaled_normal
from lightning_modules.networks.widths import ROUNDINGS, scaled, spread

NORMS = ("batch", "none")
POOLS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


def _layer(
    in_channels: int, width: int, kernel_size: int, *, dilation: int = 1, activation: str, norm: str
) -> nn.Sequential:
    # Batch norm brings the bias: a filter has kernel_size² weights per pair of channels and nothing else.
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            width,
            kernel_size,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            bias=norm == "none",
        ),
        nn.BatchNorm2d(width) if norm == "batch" else nn.Identity(),
        ACTIVATIONS[activation].module(),
    )


class FilterStack(nn.Module):
    """A 3x3 stem, stages of equal convolutions with a 2x2 pool between them, global average pool, one layer.

    Maps `(N, in_channels, H, W)` to logits `(N, num_classes)`; H and W at least 2 to the power of the number of pools.
    It has 2 + stages · `convs_per_stage` weighted layers: two stages make any even depth from 4 on.

    `convs_per_stage` layers of kxk see as far as one layer of (`convs_per_stage` (k - 1) + 1): two of 3x3 as one of
    5x5, with 18 weights per pair of channels against 25 (Simonyan & Zisserman 2015, section 2.3). The stem is the same
    in every arm and makes the image as wide as the first stage, so that with equal `widths` this ratio holds for each
    stage as a whole.

    Without activation and with average pools it is an affine map of the image, whatever its depth (in evaluation mode;
    in training mode batch norm divides by what the batch decides). A max pool is a nonlinearity of its own.

    Args:
        num_classes: number of logits.
        in_channels: channels of the image.
        kernel_size: of the stages' convolutions, in pixels, odd.
        convs_per_stage: convolutions in each stage.
        widths: channels of each stage.
        width_multiplier: of `widths` (Howard et al. 2017, section 3.3).
        rounding: where `width_multiplier` leaves a fraction of a channel: "stage" gives all layers of a stage the
            nearest width, "layer" gives so many layers, the last ones first, one channel more than the others that the
            mean width is as asked. Of ten channels one more is a fifth of the weights: deep networks meet the
            parameters of shallow ones by layers.
        activation: after each convolution, "relu", "tanh", "gelu" or "none"; the variance of the initial weights goes
            with it (see `activations`).
        norm: after each convolution "batch" norm (Ioffe & Szegedy 2015), or "none" and a bias.
        dilation: of the stages' convolutions: the taps of a filter lie so many pixels apart (Yu & Koltun 2016,
            Multi-Scale Context Aggregation by Dilated Convolutions). They see as far as filters of
            `dilation` (k - 1) + 1, with the same weights, MACs and depth. Layers of one dilation leave out what lies
            between their taps (Yu, Koltun & Funkhouser 2017, Dilated Residual Networks, section 4); up to a dilation
            of 3 the stem has seen it.
        pool: between stages, "max" or "average".
        first_pool: also pool behind the stem, which quarters what the first stage computes.

    Raises:
        ValueError: an argument out of its range; in `forward`, images that the pools would make vanish.
    """

    # What makes it deeper; no paper says how deep a stack can be, a hundred layers a stage is past any use.
    DEPTH_ARGUMENT: ClassVar[str] = "convs_per_stage"
    DEPTHS: ClassVar[Sequence[int]] = range(1, 101)

    def __init__(  # noqa: PLR0913 - each is a key of the configuration
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        kernel_size: int = 3,
        convs_per_stage: int = 2,
        widths: Sequence[int] = (32, 32, 32),
        width_multiplier: float = 1.0,
        rounding: str = "stage",
        activation: str = "relu",
        norm: str = "batch",
        dilation: int = 1,
        pool: str = "max",
        first_pool: bool = False,
    ) -> None:
        super().__init__()
        arguments.positive(
            num_classes=num_classes, in_channels=in_channels, convs_per_stage=convs_per_stage, dilation=dilation
        )
        arguments.positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
        arguments.odd(kernel_size=kernel_size)
        arguments.one_of(ACTIVATIONS, activation=activation)
        arguments.one_of(NORMS, norm=norm)
        arguments.one_of(POOLS, pool=pool)
        arguments.one_of(ROUNDINGS, rounding=rounding)
        if not widths:
            raise ValueError("widths=[]: must name the width of at least one stage")
        self.base_width = max(widths)
        self.activation = activation
        of_layers = [widths[0], *(width for width in widths for _ in range(convs_per_stage))]
        channels = [scaled(width, width_multiplier) for width in of_layers]
        if rounding == "layer":
            self.width_steps = len(of_layers)
            channels = [
                spread(width * width_multiplier, place, len(of_layers)) for place, width in enumerate(of_layers)
            ]

        layer = partial(_layer, activation=activation, norm=norm)
        self.stem = layer(in_channels, channels[0], 3)
        layers = [layer(before, width, kernel_size, dilation=dilation) for before, width in pairwise(channels)]
        self.stages = nn.ModuleList(
            nn.Sequential(*layers[first : first + convs_per_stage]) for first in range(0, len(layers), convs_per_stage)
        )
        self.pool = POOLS[pool](kernel_size=2, stride=2)
        self.first_pool = first_pool
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels[-1], num_classes)
        self.apply(self.initialise)

    def initialise(self, module: nn.Module) -> None:
        """Initialise one convolution in place, with the gain of the activation; every other module keeps torch's."""
        if isinstance(module, nn.Conv2d):
            known = ACTIVATIONS[self.activation]
            scaled_normal(module, known.first_gain if module is self.stem[0] else known.gain)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        arguments.large_enough(images, 2 ** (len(self.stages) - 1 + self.first_pool))
        maps = self.stem(images)
        for index, stage in enumerate(self.stages):
            maps = stage(self.pool(maps) if index > 0 or self.first_pool else maps)
        logits: Tensor = self.fc(torch.flatten(self.avgpool(maps), 1))
        return logits
