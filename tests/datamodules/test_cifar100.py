"""CIFAR-100 on tiny files in torchvision's layout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torchvision.datasets import CIFAR100

from datamodules.cifar100 import CIFAR100DataModule
from datamodules.errors import DataError


def test_fine_labels_of_torchvisions_layout(tmp_path: Path, make_cifar: Callable[..., NDArray[np.uint8]]) -> None:
    pictures = make_cifar(CIFAR100)
    data = CIFAR100DataModule(root=tmp_path)
    data.prepare_data()
    data.setup()
    original, _ = data.augmented([0, 399], epoch=0)
    assert np.array_equal(original.numpy(), pictures[[0, 399]])
    assert (data.spec.name, data.spec.num_classes) == ("cifar100", 100)
    assert data.split.test.tolist() == list(range(200, 400))


def test_missing_data_names_its_own_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-100-python/train of CIFAR-100 is not there .*: train, test, meta"):
        CIFAR100DataModule(root=tmp_path).prepare_data()
