"""CIFAR-100: 60,000 photographs of 32 px in a hundred classes (Krizhevsky 2009, section 3)."""

from torchvision.datasets import CIFAR100

from datamodules.cifar10 import CIFAR10DataModule


class CIFAR100DataModule(CIFAR10DataModule):
    """CIFAR-100 with its 100 fine classes, `(N, 3, H, W)`; divided as CIFAR-10 is, from `root/cifar-100-python/`."""

    name = "cifar100"
    title = "CIFAR-100"
    source = CIFAR100
