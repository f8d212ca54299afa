"""Networks whose effective receptive field is known, or that have something particular about their last map."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHARE = 0.9545


def uniform(*layers: tuple[int, int, int], channels: int = 1) -> nn.Sequential:
    """Return convolutions (kernel, stride, dilation) whose weights are all the same, in double precision."""
    convolutions = [
        nn.Conv2d(channels, channels, kernel, stride, dilation * (kernel // 2), dilation, bias=False)
        for kernel, stride, dilation in layers
    ]
    for convolution in convolutions:
        nn.init.constant_(convolution.weight, 1 / convolution.weight[0].numel())
    return nn.Sequential(*convolutions).double()


def random(n: int, channels: int, *, relu: bool, strides: tuple[int, ...] = (), dilation: int = 1) -> nn.Sequential:
    """Return n convolutions of 3x3 with zero-mean random weights that keep the variance; missing strides are 1."""
    layers: list[nn.Module] = []
    for index in range(n):
        stride = strides[index] if index < len(strides) else 1
        convolution = nn.Conv2d(channels if index else 3, channels, 3, stride, padding=dilation, dilation=dilation)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu" if relu else "linear")
        layers += [convolution, nn.ReLU(inplace=True)] if relu else [convolution]
    return nn.Sequential(*layers[:-1] if relu else layers)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Scaled(nn.Module):
    """The input times a number."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """(…) → (…)."""
        return x * self.scale


class Branches(nn.Module):
    """Two branches of different reach that are joined, then a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(3, 8, 3, stride=2)
        self.far = nn.Conv2d(3, 8, (3, 5), stride=2, dilation=(1, 2), padding=(0, 3))
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4, H', W')."""
        out: Tensor = self.up(self.near(x) + self.far(x))
        return out


class Functional(nn.Module):
    """A network whose last map no module puts out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def maps(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 8, H, W)."""
        # The same operators before and after, so that only their order tells the last map from the others.
        x = F.relu(self.conv1(x), inplace=True)
        return F.relu(x + self.norm(self.conv2(x)), inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4)."""
        out: Tensor = self.fc(self.maps(x).mean((2, 3)))
        return out


class MapsOf(nn.Module):
    """The last map of a network as its output."""

    def __init__(self, network: nn.Module, maps: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.maps = maps

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H', W')."""
        return self.maps(x)


class Gated(nn.Module):
    """A convolution whose channels are scaled by what the whole map holds, as in squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4, H', W')."""
        maps: Tensor = self.conv(x)
        gate: Tensor = self.gate(maps.mean((2, 3), keepdim=True))
        return maps * gate.sigmoid()
