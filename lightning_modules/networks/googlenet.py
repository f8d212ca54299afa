"""GoogLeNet (Szegedy et al. 2015, Going Deeper with Convolutions)."""

from functools import partial
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.networks import arguments
from lightning_modules.networks.he import he_normal
from lightning_modules.networks.widths import scaled


class GoogLeNetLogits(NamedTuple):
    """What GoogLeNet with auxiliary heads answers in training mode: three times `(N, num_classes)`."""

    logits: Tensor
    aux1: Tensor
    aux2: Tensor


class Convolution(nn.Module):
    """Convolution, batch norm (or a bias), ReLU.

    Maps `(N, in_channels, H, W)` to `(N, out_channels, ⌈H / stride⌉, ⌈W / stride⌉)`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, batch_norm: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, bias=not batch_norm
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001) if batch_norm else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, ⌈H / stride⌉, ⌈W / stride⌉)`."""
        return F.relu(self.bn(self.conv(maps)), inplace=True)


class Inception(nn.Module):
    """Four branches side by side, their channels concatenated (figure 2b).

    Maps `(N, in_channels, H, W)` to `(N, conv1x1 + conv3x3 + conv5x5 + pool_projection, H, W)`. The arguments are
    numbers of channels, in the order of Table 1.
    """

    def __init__(
        self,
        in_channels: int,
        conv1x1: int,
        reduce3x3: int,
        conv3x3: int,
        reduce5x5: int,
        conv5x5: int,
        pool_projection: int,
        *,
        kernel_size_5x5: int,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        self.out_channels = conv1x1 + conv3x3 + conv5x5 + pool_projection
        convolution = partial(Convolution, batch_norm=batch_norm)
        self.branch1 = convolution(in_channels, conv1x1, 1)
        self.branch2 = nn.Sequential(convolution(in_channels, reduce3x3, 1), convolution(reduce3x3, conv3x3, 3))
        self.branch3 = nn.Sequential(
            convolution(in_channels, reduce5x5, 1), convolution(reduce5x5, conv5x5, kernel_size_5x5)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), convolution(in_channels, pool_projection, 1)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, conv1x1 + conv3x3 + conv5x5 + pool_projection, H, W)`."""
        return torch.cat([self.branch1(maps), self.branch2(maps), self.branch3(maps), self.branch4(maps)], dim=1)


class AuxiliaryHead(nn.Module):
    """A small classifier on the middle stage, for the training only (section 5).

    Maps `(N, in_channels, H, W)` to logits `(N, num_classes)`. Its average pool adapts to 4x4, as torchvision's; the
    paper's 5x5 pool of stride 3 makes the same 4x4 of 14x14, of windows one pixel larger.
    """

    # Of the convolution and of the hidden layer.
    WIDTHS: ClassVar[tuple[int, int]] = (128, 1024)

    def __init__(
        self, in_channels: int, num_classes: int, *, dropout: float, batch_norm: bool, width_multiplier: float
    ) -> None:
        super().__init__()
        channels, units = (scaled(width, width_multiplier) for width in self.WIDTHS)
        self.avgpool = nn.AdaptiveAvgPool2d(4)
        self.conv = Convolution(in_channels, channels, 1, batch_norm=batch_norm)
        self.fc1 = nn.Linear(channels * 4 * 4, units)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(units, num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        units = torch.flatten(self.conv(self.avgpool(maps)), 1)
        logits: Tensor = self.fc2(self.dropout(F.relu(self.fc1(units), inplace=True)))
        return logits


class GoogLeNet(nn.Module):
    """Nine Inception modules in three stages, global average pool, one linear layer (Table 1).

    Maps `(N, in_channels, H, W)` to logits `(N, num_classes)`; with auxiliary heads and in training mode to
    `GoogLeNetLogits`. Modules are named as in `torchvision.models.googlenet`, whose state dicts load as they are.

    The defaults are torchvision's form, which differs from the paper's in four ways: batch norm instead of biases
    (and of local response normalisation, which neither form here has), 3x3 where the paper has 5x5, a last max pool of
    2x2 instead of 3x3, and dropout 0.2 instead of 0.4. Its last Inception module sees 379 pixels, the paper's 715.

    Args:
        num_classes: number of logits.
        in_channels: channels of the image.
        kernel_size_5x5: of the branch that the paper calls 5x5, odd: 5 in the paper, 3 in torchvision.
        last_pool_kernel_size: of the max pool before the last stage: 3 in the paper, 2 in torchvision.
        batch_norm: batch norm after each convolution (torchvision) instead of a bias (paper).
        aux_heads: the two auxiliary heads; they answer in training mode only.
        small_images: for 32 pixels: one 3x3 convolution at full resolution instead of the stem that brings the
            image down to an eighth, and padded pools.
        dropout: probability of dropping a unit before the last layer.
        aux_dropout: the same in the auxiliary heads.
        width_multiplier: of every layer's channels, and of the auxiliary heads' units (Howard et al. 2017, section
            3.3).

    Raises:
        ValueError: an argument out of its range; in `forward`, images that a pool would make vanish.
    """

    WIDEST: ClassVar[int] = 384  # of Table 1's convolutions

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        kernel_size_5x5: int = 3,
        last_pool_kernel_size: int = 2,
        batch_norm: bool = True,
        aux_heads: bool = False,
        small_images: bool = False,
        dropout: float = 0.2,
        aux_dropout: float = 0.7,
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, in_channels=in_channels)
        arguments.odd(kernel_size_5x5=kernel_size_5x5)
        arguments.probability(dropout=dropout, aux_dropout=aux_dropout)
        arguments.one_of((2, 3), last_pool_kernel_size=last_pool_kernel_size)
        convolution = partial(Convolution, batch_norm=batch_norm)
        width = partial(scaled, width_multiplier=width_multiplier)
        self.base_width = max(AuxiliaryHead.WIDTHS) if aux_heads else self.WIDEST
        stem, stem_out = width(64), width(192)

        def inception(in_channels: int, *widths: int) -> Inception:
            return Inception(in_channels, *map(width, widths), kernel_size_5x5=kernel_size_5x5, batch_norm=batch_norm)

        def pool(kernel_size: int) -> nn.MaxPool2d:
            if small_images:
                return nn.MaxPool2d(kernel_size, stride=2, padding=(kernel_size - 1) // 2)
            return nn.MaxPool2d(kernel_size, stride=2, ceil_mode=True)

        self.conv1 = (
            convolution(in_channels, stem_out, 3) if small_images else convolution(in_channels, stem, 7, stride=2)
        )
        self.maxpool1 = nn.Identity() if small_images else pool(3)
        self.conv2 = nn.Identity() if small_images else convolution(stem, stem, 1)
        self.conv3 = nn.Identity() if small_images else convolution(stem, stem_out, 3)
        self.maxpool2 = nn.Identity() if small_images else pool(3)

        self.inception3a = inception(stem_out, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(self.inception3a.out_channels, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = pool(3)
        self.inception4a = inception(self.inception3b.out_channels, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(self.inception4a.out_channels, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(self.inception4b.out_channels, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(self.inception4c.out_channels, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(self.inception4d.out_channels, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = pool(last_pool_kernel_size)
        self.inception5a = inception(self.inception4e.out_channels, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(self.inception5a.out_channels, 384, 192, 384, 48, 128, 128)

        self.aux1: nn.Module | None = None
        self.aux2: nn.Module | None = None
        if aux_heads:
            auxiliary_head = partial(
                AuxiliaryHead,
                num_classes=num_classes,
                dropout=aux_dropout,
                batch_norm=batch_norm,
                width_multiplier=width_multiplier,
            )
            self.aux1 = auxiliary_head(self.inception4a.out_channels)
            self.aux2 = auxiliary_head(self.inception4d.out_channels)

        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.inception5b.out_channels, num_classes)
        self.apply(self.initialise)

        # The least side, in pixels, that leaves something for the last pool.
        self.minimum_size = {(False, 2): 15, (False, 3): 31, (True, 2): 3, (True, 3): 1}[
            small_images, last_pool_kernel_size
        ]

    initialise = staticmethod(he_normal)

    def forward(self, images: Tensor) -> Tensor | GoogLeNetLogits:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`, or to `GoogLeNetLogits` in training."""
        arguments.large_enough(images, self.minimum_size)
        maps = self.maxpool1(self.conv1(images))
        maps = self.maxpool2(self.conv3(self.conv2(maps)))
        maps = self.inception3b(self.inception3a(maps))
        middle1 = self.inception4a(self.maxpool3(maps))
        middle2 = self.inception4d(self.inception4c(self.inception4b(middle1)))
        auxiliary: tuple[Tensor, Tensor] | None = None
        if self.training and self.aux1 is not None and self.aux2 is not None:
            auxiliary = self.aux1(middle1), self.aux2(middle2)
        maps = self.maxpool4(self.inception4e(middle2))
        maps = self.inception5b(self.inception5a(maps))
        logits: Tensor = self.fc(self.dropout(torch.flatten(self.avgpool(maps), 1)))
        return logits if auxiliary is None else GoogLeNetLogits(logits, *auxiliary)
