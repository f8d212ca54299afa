"""VGG (Simonyan & Zisserman 2015, Very Deep Convolutional Networks for Large-Scale Image Recognition)."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from lightning_modules.networks import arguments
from lightning_modules.networks.he import he_normal
from lightning_modules.networks.widths import scaled

# Table 1: five stages of 3x3 convolutions, a 2x2 max pool after each.
STAGE_WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS_PER_STAGE = {
    11: (1, 1, 2, 2, 2),  # configuration A
    13: (2, 2, 2, 2, 2),  # B
    16: (2, 2, 3, 3, 3),  # D
    19: (2, 2, 4, 4, 4),  # E
}


class VGG(nn.Module):
    """Stages of 3x3 convolutions with a 2x2 max pool after each, then fully connected layers.

    Maps `(N, in_channels, H, W)` to logits `(N, num_classes)`; H and W at least 32 pixels. Modules are named as in
    `torchvision.models.vgg*`, whose state dicts load as they are. Weights start as in He et al. 2015 instead of the
    paper's pre-training of the shallow configuration (section 3.1).

    Args:
        num_classes: number of logits.
        in_channels: channels of the image.
        depth: weight layers: 11, 13, 16 or 19 (configurations A, B, D, E).
        batch_norm: batch norm after each convolution (not in the paper).
        pooled_size: side of the map that the head sees, in units of the last stage; average-pooled to it if the map
            has another size. 7 is the paper's, at 224 pixels; 1 suits 32 pixels.
        head_widths: widths of the hidden fully connected layers; none makes the head a single linear layer.
        dropout: probability of dropping a unit of a hidden fully connected layer.
        width_multiplier: of the stages' channels and of `head_widths` alike (Howard et al. 2017, section 3.3). Most
            parameters are the head's: with hidden layers of fixed width no multiplier would bring VGG-16 for 1000
            classes below 21 of its 138 million.

    Raises:
        ValueError: an argument out of its range; in `forward`, images below 32 pixels.
    """

    DEPTHS: ClassVar[Sequence[int]] = tuple(CONVOLUTIONS_PER_STAGE)

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        depth: int = 16,
        batch_norm: bool = False,
        pooled_size: int = 7,
        head_widths: Sequence[int] = (4096, 4096),
        dropout: float = 0.5,
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, in_channels=in_channels, pooled_size=pooled_size)
        arguments.positive(**{f"head_widths[{index}]": width for index, width in enumerate(head_widths)})
        arguments.probability(dropout=dropout)
        arguments.one_of(CONVOLUTIONS_PER_STAGE, depth=depth)

        self.base_width = max(*STAGE_WIDTHS, *head_widths)
        stage_widths = [scaled(width, width_multiplier) for width in STAGE_WIDTHS]
        head_widths = [scaled(width, width_multiplier) for width in head_widths]

        features: list[nn.Module] = []
        channels = in_channels
        for width, convolutions in zip(stage_widths, CONVOLUTIONS_PER_STAGE[depth], strict=True):
            for _ in range(convolutions):
                features.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
                if batch_norm:
                    features.append(nn.BatchNorm2d(width))
                features.append(nn.ReLU(inplace=True))
                channels = width
            features.append(nn.MaxPool2d(kernel_size=2, stride=2))

        head: list[nn.Module] = []
        units = channels * pooled_size**2
        for width in head_widths:
            head += [nn.Linear(units, width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
            units = width

        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled_size)
        self.classifier = nn.Sequential(*head, nn.Linear(units, num_classes))
        self.apply(self.initialise)

    initialise = staticmethod(he_normal)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        arguments.large_enough(images, 2 ** len(STAGE_WIDTHS))
        maps = self.avgpool(self.features(images))
        logits: Tensor = self.classifier(torch.flatten(maps, 1))
        return logits
