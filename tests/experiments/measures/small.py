"""Small networks: one with all that the measures of a network have to tell apart, one that takes some sizes only."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two convolutions with a skip connection, and a scale of its own that belongs to no layer inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, (1, 5), padding=(0, 2))
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4, H, W) → (N, 4, H, W)."""
        return x + self.scale * F.relu(self.conv2(self.conv1(x)))


class Small(nn.Module):
    """A stem, a block that is called twice, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.Dropout())
        self.block = Block()
        self.unused = nn.Linear(7, 7)
        self.fc = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 10)."""
        x = self.block(self.block(self.stem(x)))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


def lenet() -> nn.Sequential:
    """Return a network that takes images of one size only, as its classifier is as wide as one map."""
    convolutions = [nn.Conv2d(1, 6, 5), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(400, 10))
