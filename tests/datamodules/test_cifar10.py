"""CIFAR-10 on tiny files in torchvision's layout, and on the real ones where they are."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray
from torchvision.datasets import CIFAR10

from datamodules.cifar10 import CIFAR10DataModule
from datamodules.errors import DataError

PREPARE = Path(__file__).parents[3] / "shared" / "data" / "prepare"
MakeCifar = Callable[..., NDArray[np.uint8]]


def ready(root: Path, **options: object) -> CIFAR10DataModule:
    data = CIFAR10DataModule(root=root, **options)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def test_pictures_labels_and_names_are_those_of_the_files(tmp_path: Path, make_cifar: MakeCifar) -> None:
    pictures = make_cifar(CIFAR10)
    data = ready(tmp_path)
    original, _ = data.augmented(range(120), epoch=0)
    assert np.array_equal(original.numpy(), pictures)
    assert data.labels.tolist() == list(range(10)) * 12
    assert data.spec.class_names[3] == "class 3"
    assert (data.spec.name, data.spec.num_classes, data.spec.channels, data.spec.image_size) == ("cifar10", 10, 3, 32)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_official_test_set_is_the_test_split_whatever_the_seed(
    tmp_path: Path, make_cifar: MakeCifar, seed: int
) -> None:
    make_cifar(CIFAR10)
    split = ready(tmp_path, seed=seed, val_fraction=0.2).split
    assert split.test.tolist() == list(range(100, 120))
    assert sorted([*split.train, *split.val]) == list(range(100))
    assert len(split.val) == 20


def test_validation_depends_on_the_seed(tmp_path: Path, make_cifar: MakeCifar) -> None:
    make_cifar(CIFAR10)
    assert ready(tmp_path).split.val.tolist() != ready(tmp_path, seed=1).split.val.tolist()


def test_another_image_size_resizes(tmp_path: Path, make_cifar: MakeCifar) -> None:
    make_cifar(CIFAR10)
    data = ready(tmp_path, image_size=16, batch_size=4)
    assert next(iter(data.val_dataloader()))["image"].shape[1:] == (3, 16, 16)


def test_missing_data_names_folder_layout_and_key(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        CIFAR10DataModule(root=tmp_path).prepare_data()
    text = str(caught.value)
    assert text.startswith(f"root={tmp_path}: cifar-10-batches-py/data_batch_1 of CIFAR-10 is not there")
    assert "test_batch, batches.meta" in text
    assert "datamodule.download=true" in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:-9] + b"x" + raw[-8:]])
def test_a_damaged_file_is_named(
    tmp_path: Path, make_cifar: MakeCifar, name: str, damage: Callable[[bytes], bytes]
) -> None:
    make_cifar(CIFAR10)
    path = tmp_path / "cifar-10-batches-py" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        ready(tmp_path)
    assert str(caught.value).startswith(f"{path}: missing, or not the original file of CIFAR-10; set datamodule.down")
    assert "\n" not in str(caught.value)


def test_a_download_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: CIFAR10) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(CIFAR10, "download", fail)
    with pytest.raises(DataError, match=r"^https://\S+tar\.gz: cannot be downloaded to \S+ \(.*no route to host.*\)$"):
        CIFAR10DataModule(root=tmp_path, download=True).prepare_data()


def test_download_fetches_what_is_missing(
    tmp_path: Path, make_cifar: MakeCifar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CIFAR10, "download", lambda _: make_cifar(CIFAR10))
    assert len(ready(tmp_path, download=True).split.test) == 20


@pytest.fixture(scope="module")
def real_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PREPARE.is_file():
        pytest.skip(f"the real data sets are not beside the repository ({PREPARE})")
    root = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, str(PREPARE), str(root)], check=True, capture_output=True)
    return root


@pytest.mark.shared
def test_the_real_cifar10(real_root: Path) -> None:
    data = ready(real_root)
    assert data.digest == "019993ddba3dfebbde6886407e1a54049a94ee95399fe9a7fcddddaa13062920"
    assert [len(part) for part in (data.split.train, data.split.val, data.split.test)] == [45000, 5000, 10000]
    for part, count in ((data.split.train, 4500), (data.split.val, 500), (data.split.test, 1000)):
        assert np.bincount(data.labels[part]).tolist() == [count] * 10
    # The constants that everybody uses, of all 50,000 training pictures.
    assert data.normalisation.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-3)
    assert data.normalisation.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=1e-3)
    assert data.spec.class_names[:3] == ("airplane", "automobile", "bird")
    truth = CIFAR10(real_root, train=False)
    original, _ = data.augmented([50_000, 59_999], epoch=0)
    for picture, position in zip(original, (0, 9999), strict=True):
        assert np.array_equal(picture.permute(1, 2, 0).numpy(), np.asarray(truth[position][0]))
        assert data.labels[50_000 + position] == truth[position][1]
