"""Whether all paths of a network are centred alike (Araujo, Norris & Sim, Distill 2019, "Alignment issues")."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.measures.network import measure
from lightning_modules.networks.googlenet import GoogLeNet
from lightning_modules.networks.resnet import CifarResNet


class Joined(nn.Module):
    """The sum of two paths."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C', H', W')."""
        total: Tensor = self.one(x) + self.other(x)
        return total


class PaddedBehind(nn.Module):
    """TensorFlow's "same" padding of a 3x3 convolution of stride 2 over an even map: one pixel behind, none before."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 4, H / 2, W / 2)."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


def centres(network: nn.Module) -> tuple[bool | None, bool | None]:
    return measure(network, (3, 64, 64)).field.aligned


@pytest.mark.parametrize(
    "network",
    [
        CifarResNet(depth=20, num_classes=10),
        GoogLeNet(num_classes=10, small_images=True),
        Joined(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(3, 4, 1, stride=2)),
        Joined(nn.Conv2d(3, 4, (1, 5), padding=(0, 2)), nn.Conv2d(3, 4, (7, 1), padding=(3, 0))),
        nn.Sequential(PaddedBehind(), nn.MaxPool2d(2)),
    ],
    ids=["resnet20", "googlenet", "strided skip", "1x5 and 7x1", "one path"],
)
def test_symmetric_padding_keeps_paths_centred_alike(network: nn.Module) -> None:
    assert centres(network) == (True, True)


def test_padding_on_one_side_shifts_a_path_against_the_skip() -> None:
    skip = nn.Conv2d(3, 4, 1, stride=2)
    network = Joined(PaddedBehind(), skip)
    assert centres(network) == (False, False)
    # What is out of line stays so, whatever follows.
    assert centres(nn.Sequential(network, nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2))) == (False, False)


def test_each_axis_is_looked_at_by_itself() -> None:
    shifted = nn.Conv2d(3, 4, (1, 2))
    assert centres(Joined(shifted, nn.Sequential(nn.Conv2d(3, 4, 1), nn.ZeroPad2d((0, -1, 0, 0))))) == (True, False)


def test_centres_of_the_whole_image_depend_on_its_size() -> None:
    class Scaled(nn.Module):
        """Squeeze and excitation without weights."""

        def forward(self, x: Tensor) -> Tensor:
            """(N, C, H, W) → (N, C, H, W)."""
            return x * torch.sigmoid(x.mean((2, 3), keepdim=True))

    assert centres(Scaled()) == (None, None)
