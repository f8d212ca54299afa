"""A small network to compare sizes of filters at an equal receptive field (Simonyan & Zisserman 2015, section 2.3)."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_modules.networks import arguments
from lightning_modules.networks.he import he_normal
from lightning_modules.networks.widths import scaled


def _layer(in_channels: int, width: int, kernel_size: int) -> nn.Sequential:
    # Batch norm brings the bias: a filter has kernel_size² weights per pair of channels and nothing else.
    return nn.Sequential(
        nn.Conv2d(in_channels, width, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class FilterStack(nn.Module):
    """A 3x3 stem, stages of equal convolutions with a 2x2 max pool between them, global average pool, one layer.

    Maps `(N, in_channels, H, W)` to logits `(N, num_classes)`; H and W at least 2 to the power of (stages - 1).

    `convs_per_stage` layers of kxk see as far as one layer of (`convs_per_stage` (k - 1) + 1): two of 3x3 as one of
    5x5, with 18 weights per pair of channels against 25. The stem is the same in every arm and makes the image as wide
    as the first stage, so that with equal `widths` this ratio holds for each stage as a whole.

    Args:
        num_classes: number of logits.
        in_channels: channels of the image.
        kernel_size: of the stages' convolutions, in pixels, odd.
        convs_per_stage: convolutions in each stage.
        widths: channels of each stage.
        width_multiplier: of `widths` (Howard et al. 2017, section 3.3).

    Raises:
        ValueError: an argument out of its range; in `forward`, images that the pools would make vanish.
    """

    # What makes it deeper; no paper says how deep a stack can be, a hundred layers a stage is past any use.
    DEPTH_ARGUMENT: ClassVar[str] = "convs_per_stage"
    DEPTHS: ClassVar[Sequence[int]] = range(1, 101)

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        kernel_size: int = 3,
        convs_per_stage: int = 2,
        widths: Sequence[int] = (32, 32, 32),
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, in_channels=in_channels, convs_per_stage=convs_per_stage)
        arguments.positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
        arguments.odd(kernel_size=kernel_size)
        if not widths:
            raise ValueError("widths=[]: must name the width of at least one stage")
        self.base_width = max(widths)
        widths = [scaled(width, width_multiplier) for width in widths]

        self.stem = _layer(in_channels, widths[0], 3)
        stages: list[nn.Module] = []
        channels = widths[0]
        for width in widths:
            layers = [_layer(channels, width, kernel_size)]
            layers += [_layer(width, width, kernel_size) for _ in range(convs_per_stage - 1)]
            stages.append(nn.Sequential(*layers))
            channels = width
        self.stages = nn.ModuleList(stages)
        self.maxpool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        self.apply(self.initialise)

    initialise = staticmethod(he_normal)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        arguments.large_enough(images, 2 ** (len(self.stages) - 1))
        maps = self.stem(images)
        for index, stage in enumerate(self.stages):
            maps = stage(maps if index == 0 else self.maxpool(maps))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(maps), 1))
        return logits
