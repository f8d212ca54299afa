"""Small data that more than one room is tested with."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torchvision.datasets import CIFAR10


@pytest.fixture
def make_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., NDArray[np.uint8]]:
    """Write a tiny CIFAR in torchvision's layout, and let torchvision know its checksums."""

    def make(source: type[CIFAR10], *, per_class: int = 2) -> NDArray[np.uint8]:
        folder = tmp_path / source.base_folder
        folder.mkdir(parents=True)
        label_key = "labels" if source is CIFAR10 else "fine_labels"
        num_classes = 10 if source is CIFAR10 else 100
        random = np.random.default_rng(0)
        written = []

        def write(name: str, content: object) -> str:
            (folder / name).write_bytes(pickle.dumps(content))
            return hashlib.md5((folder / name).read_bytes()).hexdigest()  # noqa: S324 - torchvision's choice

        for attribute in ("train_list", "test_list"):
            listed = []
            for name, _ in getattr(source, attribute):
                data = random.integers(0, 256, (num_classes * per_class, 3072), dtype=np.uint8)
                labels = list(range(num_classes)) * per_class
                listed.append([name, write(name, {"data": data, label_key: labels})])
                written.append(data.reshape(-1, 3, 32, 32))
            monkeypatch.setattr(source, attribute, listed)
        names = [f"class {number}" for number in range(num_classes)]
        meta = dict(source.meta)
        meta["md5"] = write(meta["filename"], {meta["key"]: names})
        monkeypatch.setattr(source, "meta", meta)
        return np.concatenate(written)

    return make
