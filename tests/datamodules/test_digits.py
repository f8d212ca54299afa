"""Handwritten digits against scikit-learn's own."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from datamodules.digits import DigitsDataModule


def ready(**options: int) -> DigitsDataModule:
    data = DigitsDataModule(**options)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def test_originals_are_scikit_learns_in_256_greys() -> None:
    data, truth = ready(image_size=8), load_digits()
    original, _ = data.augmented(range(1797), epoch=0)
    assert np.array_equal(original[:, 0].numpy(), np.rint(truth.images * 255 / 16))
    assert data.labels.tolist() == truth.target.tolist()


def test_spec_digest_and_split() -> None:
    data = ready()
    assert data.spec.class_names == tuple("0123456789")
    assert (data.spec.name, data.spec.num_classes, data.spec.channels, data.spec.image_size) == ("digits", 10, 1, 32)
    assert data.digest == "2e1451d9a94f306a869e607502b9e0e7ecc73b67663862d1905a99117651f297"
    assert [len(part) for part in (data.split.train, data.split.val, data.split.test)] == [1295, 143, 359]
    shares = np.bincount(data.labels[data.split.test]) / np.bincount(data.labels)
    assert shares == pytest.approx(0.2, abs=0.005)


def test_enlarged_pictures_fit_networks_for_photographs() -> None:
    data = ready(batch_size=16)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (16, 1, 32, 32)
