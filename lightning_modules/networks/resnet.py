"""Residual networks and their plain twins (He et al. 2016, Deep Residual Learning for Image Recognition)."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_modules.networks import arguments
from lightning_modules.networks.he import he_normal
from lightning_modules.networks.widths import scaled

# Section 4.1, where A does not say on which side the zeros stand: public weights were trained with either.
SHORTCUTS = ("A", "A-behind", "B", "C")
NORMS = ("batch", "none")


class PaddedIdentity(nn.Module):
    """The shortcut without weights (option A): every `stride`-th pixel, new channels filled with zeros.

    Maps `(N, in_channels, H, W)` to `(N, out_channels, ⌈H / stride⌉, ⌈W / stride⌉)`.

    Args:
        in_channels: channels that come in.
        out_channels: channels that go out.
        stride: in units of the input.
        behind: the new channels follow the old ones, instead of standing on both sides of them.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, behind: bool = False) -> None:
        super().__init__()
        self.stride = stride
        new = out_channels - in_channels
        self.before = 0 if behind else new // 2
        self.after = new - self.before

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, out_channels, ⌈H / stride⌉, ⌈W / stride⌉)`."""
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


def _norm(channels: int, norm: str) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def _shortcut(in_channels: int, out_channels: int, stride: int, option: str, norm: str) -> nn.Module:
    same_shape = stride == 1 and in_channels == out_channels
    if same_shape and option != "C":
        return nn.Identity()
    if option in ("A", "A-behind"):
        return PaddedIdentity(in_channels, out_channels, stride, behind=option == "A-behind")
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=norm == "none"),
        _norm(out_channels, norm),
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions (figure 5, left).

    Maps `(N, in_channels, H, W)` to `(N, width, ⌈H / stride⌉, ⌈W / stride⌉)`.

    Args:
        in_channels: channels that come in.
        width: channels of both convolutions.
        stride: of the first convolution, in units of its input.
        shortcut: how the input is added to the output, one of `SHORTCUTS`; `None` adds nothing.
        norm: after each convolution "batch" norm, or "none" and a bias.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, shortcut: str | None, *, norm: str = "batch") -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=3, stride=stride, padding=1, bias=bias)
        self.bn1 = _norm(width, norm)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=bias)
        self.bn2 = _norm(width, norm)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None if shortcut is None else _shortcut(in_channels, width, stride, shortcut, norm)

    @property
    def last(self) -> nn.Module:
        """What ends the branch beside the shortcut: its last norm, or where there is none its last convolution."""
        return self.bn2 if isinstance(self.bn2, nn.BatchNorm2d) else self.conv2

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, width, ⌈H / stride⌉, ⌈W / stride⌉)`."""
        out: Tensor = self.relu(self.bn1(self.conv1(maps)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            out += self.downsample(maps)
        joined: Tensor = self.relu(out)
        return joined


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones that narrow and widen (figure 5, right).

    The stride is in the 3x3 convolution, as in torchvision ("v1.5").

    Maps `(N, in_channels, H, W)` to `(N, 4 width, ⌈H / stride⌉, ⌈W / stride⌉)`.

    Args:
        in_channels: channels that come in.
        width: channels of the first two convolutions.
        stride: of the block, in units of its input.
        shortcut: how the input is added to the output, one of `SHORTCUTS`; `None` adds nothing.
        norm: after each convolution "batch" norm, or "none" and a bias.
    """

    expansion = 4
    stride_in = "3x3"

    def __init__(self, in_channels: int, width: int, stride: int, shortcut: str | None, *, norm: str = "batch") -> None:
        super().__init__()
        bias = norm == "none"
        out_channels = width * self.expansion
        first, second = (stride, 1) if self.stride_in == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, stride=first, bias=bias)
        self.bn1 = _norm(width, norm)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=second, padding=1, bias=bias)
        self.bn2 = _norm(width, norm)
        self.conv3 = nn.Conv2d(width, out_channels, kernel_size=1, bias=bias)
        self.bn3 = _norm(out_channels, norm)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None if shortcut is None else _shortcut(in_channels, out_channels, stride, shortcut, norm)

    @property
    def last(self) -> nn.Module:
        """What ends the branch beside the shortcut: its last norm, or where there is none its last convolution."""
        return self.bn3 if isinstance(self.bn3, nn.BatchNorm2d) else self.conv3

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, in_channels, H, W)` to `(N, 4 width, ⌈H / stride⌉, ⌈W / stride⌉)`."""
        out: Tensor = self.relu(self.bn1(self.conv1(maps)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            out += self.downsample(maps)
        joined: Tensor = self.relu(out)
        return joined


class EarlyStrideBottleneck(Bottleneck):
    """The bottleneck with its stride in the first 1x1 convolution, as in the paper ("v1")."""

    stride_in = "1x1"


BOTTLENECKS = {block.stride_in: block for block in (Bottleneck, EarlyStrideBottleneck)}


def _stage(
    block: type[BasicBlock | Bottleneck],
    in_channels: int,
    width: int,
    *,
    blocks: int,
    stride: int,
    shortcut: str | None,
    norm: str = "batch",
) -> nn.Sequential:
    first = block(in_channels, width, stride, shortcut, norm=norm)
    rest = (block(width * block.expansion, width, 1, shortcut, norm=norm) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


class ResNet(nn.Module):
    """The networks for 224 pixels (Table 1): a stem, four stages of residual blocks, global average pool, one layer.

    Maps `(N, in_channels, H, W)` to logits `(N, num_classes)`, any H and W. Modules are named as in
    `torchvision.models.resnet*`, whose state dicts load as they are.

    Args:
        num_classes: number of logits.
        in_channels: channels of the image.
        depth: weight layers: 18, 34, 50, 101 or 152.
        residual: `False` leaves out every shortcut (the paper's plain networks); other modules and their names stay.
        shortcut: "A" pads new channels with zeros on both sides, "A-behind" behind, "B" projects where the shape
            changes, "C" projects everywhere.
        stride_in: where bottlenecks (50 layers and more) have their stride: in the "3x3" convolution (torchvision), or
            in the first "1x1" one (the paper).
        stem_kernel_size: of the first convolution, odd; 3 suits 32 pixels.
        stem_stride: of the first convolution, in pixels; 1 suits 32 pixels.
        stem_pool: a 3x3 max pool of stride 2 after the first convolution.
        width_multiplier: of every layer's channels (Howard et al. 2017, section 3.3).

    Raises:
        ValueError: an argument out of its range.
    """

    # Table 1: the block, and how many in each of the stages conv2_x to conv5_x.
    BLOCKS: ClassVar[dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, int, int, int]]]] = {
        18: (BasicBlock, (2, 2, 2, 2)),
        34: (BasicBlock, (3, 4, 6, 3)),
        50: (Bottleneck, (3, 4, 6, 3)),
        101: (Bottleneck, (3, 4, 23, 3)),
        152: (Bottleneck, (3, 8, 36, 3)),
    }
    DEPTHS: ClassVar[Sequence[int]] = tuple(BLOCKS)
    # Channels of the stages' convolutions; of a bottleneck's last, four times as many.
    WIDTHS: ClassVar[tuple[int, int, int, int]] = (64, 128, 256, 512)

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        depth: int = 50,
        residual: bool = True,
        shortcut: str = "B",
        stride_in: str = "3x3",
        stem_kernel_size: int = 7,
        stem_stride: int = 2,
        stem_pool: bool = True,
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, in_channels=in_channels, stem_stride=stem_stride)
        arguments.odd(stem_kernel_size=stem_kernel_size)
        arguments.one_of(self.BLOCKS, depth=depth)
        arguments.one_of(SHORTCUTS, shortcut=shortcut)
        arguments.one_of(BOTTLENECKS, stride_in=stride_in)
        block, blocks = self.BLOCKS[depth]
        if block is Bottleneck:
            block = BOTTLENECKS[stride_in]
        self.base_width = max(self.WIDTHS)
        first, second, third, fourth = (scaled(width, width_multiplier) for width in self.WIDTHS)
        joined = shortcut if residual else None

        self.conv1 = nn.Conv2d(
            in_channels, first, stem_kernel_size, stride=stem_stride, padding=stem_kernel_size // 2, bias=False
        )
        self.bn1 = nn.BatchNorm2d(first)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1) if stem_pool else nn.Identity()
        self.layer1 = _stage(block, first, first, blocks=blocks[0], stride=1, shortcut=joined)
        self.layer2 = _stage(block, first * block.expansion, second, blocks=blocks[1], stride=2, shortcut=joined)
        self.layer3 = _stage(block, second * block.expansion, third, blocks=blocks[2], stride=2, shortcut=joined)
        self.layer4 = _stage(block, third * block.expansion, fourth, blocks=blocks[3], stride=2, shortcut=joined)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(fourth * block.expansion, num_classes)
        self.apply(self.initialise)

    initialise = staticmethod(he_normal)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(maps), 1))
        return logits


class CifarResNet(nn.Module):
    """The networks for 32 pixels (section 4.2): 6n + 2 weight layers in three stages of n blocks.

    Maps `(N, in_channels, H, W)` to logits `(N, num_classes)`, any H and W. The stages have 16, 32 and 64 channels.

    Args:
        num_classes: number of logits.
        in_channels: channels of the image.
        depth: weight layers, 6n + 2, from 8 on: 20, 32, 44, 56 and 110 in the paper.
        residual: `False` leaves out every shortcut (the paper's plain networks); other modules and their names stay.
        bottleneck: three convolutions a block instead of two (figure 5, right), and 9n + 2 weight layers: 164 in He et
            al. 2016, Identity Mappings in Deep Residual Networks, Table 2.
        shortcut: "A" pads new channels with zeros (the paper's choice) on both sides, "A-behind" behind
            (fb.resnet.torch and its followers), "B" projects where the shape changes, "C" projects everywhere.
        norm: after each convolution "batch" norm, or "none" and a bias. The weights of He et al. 2015 keep the signal
            of a plain network without norm; in a residual one, where each block adds to it, the mean square of the
            maps more than doubles from block to block.
        zero_init_last: every residual branch begins as zero and its block as the shortcut (behind a rectifier): the
            scale of the branch's last batch norm is 0 (Goyal et al. 2017, Accurate, Large Minibatch SGD, section 5.1),
            or without norm the weights of its last convolution are (Zhang et al. 2019, Fixup Initialization, section
            3; its smaller weights in the branch's other layers and its scalars are left out).
        width_multiplier: of every layer's channels (Howard et al. 2017, section 3.3).

    Raises:
        ValueError: an argument out of its range.
    """

    DEPTHS: ClassVar[Sequence[int]] = range(8, 1203, 6)  # of basic blocks; 1202 layers: the paper's deepest
    WIDTHS: ClassVar[tuple[int, int, int]] = (16, 32, 64)

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 3,
        depth: int = 20,
        residual: bool = True,
        bottleneck: bool = False,
        shortcut: str = "A",
        norm: str = "batch",
        zero_init_last: bool = False,
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        arguments.positive(num_classes=num_classes, in_channels=in_channels)
        arguments.one_of(SHORTCUTS, shortcut=shortcut)
        arguments.one_of(NORMS, norm=norm)
        if zero_init_last and not residual:
            raise ValueError("zero_init_last=True: goes with residual=True; a plain network would put out zeros")
        block, layers, usual = (Bottleneck, 9, "164") if bottleneck else (BasicBlock, 6, "20, 32, 44, 56 or 110")
        n, rest = divmod(depth - 2, layers)
        if n < 1 or rest:
            raise ValueError(f"depth={depth}: must be {layers}n + 2 with n at least 1, e.g. {usual}")
        joined = shortcut if residual else None
        self.base_width = max(self.WIDTHS)
        first, second, third = (scaled(width, width_multiplier) for width in self.WIDTHS)

        self.conv1 = nn.Conv2d(in_channels, first, kernel_size=3, padding=1, bias=norm == "none")
        self.bn1 = _norm(first, norm)
        self.relu = nn.ReLU(inplace=True)
        stage = partial(_stage, block, blocks=n, shortcut=joined, norm=norm)
        self.layer1 = stage(first, first, stride=1)
        self.layer2 = stage(first * block.expansion, second, stride=2)
        self.layer3 = stage(second * block.expansion, third, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(third * block.expansion, num_classes)
        blocks = (each for each in self.modules() if isinstance(each, BasicBlock | Bottleneck))
        self._zeros = [each.last for each in blocks] if zero_init_last else []
        self.apply(self.initialise)

    def initialise(self, module: nn.Module) -> None:
        """Initialise one module in place: convolutions as `he_normal`, the ends of the branches to zero if asked."""
        he_normal(module)
        if any(module is zero for zero in self._zeros) and isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            nn.init.zeros_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `(N, in_channels, H, W)` to logits `(N, num_classes)`."""
        maps = self.relu(self.bn1(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(maps), 1))
        return logits
