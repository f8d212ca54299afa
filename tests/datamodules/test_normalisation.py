"""Normalisation against NumPy."""

import numpy as np
import pytest
import torch

from datamodules import normalisation
from datamodules.errors import DataError
from datamodules.normalisation import Normalisation, check_channel_values, measure
from datamodules.storage import MemoryStore

PICTURES = np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8), dtype=np.uint8)
TRAIN = np.arange(0, 50, 2)


def measured(pictures: np.ndarray, **options: object) -> Normalisation:
    return measure(MemoryStore(pictures, 8), TRAIN, **{"seed": 0, "sampled": False, **options})  # type: ignore[arg-type]


def test_measured_values_are_those_of_numpy_on_the_given_samples_only() -> None:
    result = measured(PICTURES)
    truth = PICTURES[TRAIN] / 255
    assert result.mean == pytest.approx(truth.mean(axis=(0, 2, 3)), abs=1e-12)
    assert result.std == pytest.approx(truth.std(axis=(0, 2, 3)), abs=1e-12)
    other = PICTURES.copy()
    other[1::2] = 0
    assert measured(other) == result


def test_the_size_of_the_chunks_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measured(PICTURES)
    monkeypatch.setattr(normalisation, "CHUNK_PIXELS", 3 * 64)
    assert measured(PICTURES) == whole


def test_large_splits_in_files_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalisation, "MEASURED_PICTURES", 10)
    assert measured(PICTURES) == measured(PICTURES, sampled=False)
    assert measured(PICTURES, sampled=True) == measured(PICTURES, sampled=True)
    assert measured(PICTURES, sampled=True) != measured(PICTURES)
    assert measured(PICTURES, sampled=True) != measured(PICTURES, sampled=True, seed=1)


def test_normalised_pictures_have_mean_0_and_deviation_1() -> None:
    images = torch.from_numpy(PICTURES[TRAIN])
    kept = images.clone()
    result = measured(PICTURES)(images)
    assert result.dtype == torch.float32
    assert result.is_contiguous()
    assert torch.equal(images, kept)
    assert torch.allclose(result.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(result.std(dim=(0, 2, 3), unbiased=False), torch.ones(3), atol=1e-5)


def test_given_constants_are_applied_as_torchvision_does() -> None:
    constants = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    images = torch.from_numpy(PICTURES)
    mean, std = (torch.tensor(values)[:, None, None] for values in (constants.mean, constants.std))
    assert torch.allclose(constants(images), (images / 255 - mean) / std, atol=2e-6)


def test_a_channel_that_never_varies_is_named() -> None:
    flat = PICTURES.copy()
    flat[:, 1] = 51
    with pytest.raises(DataError, match=r"^std: channel 1 is 0\.2 in every pixel of the training split; give mean"):
        measured(flat)


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("mean", [0.5], "mean=[0.5]: must have 3 value(s), one per channel"),
        ("mean", [125.0, 0.5, 0.5], "mean=[125.0, 0.5, 0.5]: each value must be from 0 to 1 (0 is black, 1 is white)"),
        ("std", [0.2, 0.0, 0.2], "std=[0.2, 0.0, 0.2]: each value must be above 0 and at most 1"),
        ("std", [0.2, float("nan"), 0.2], "std=[0.2, nan, 0.2]: each value must be above 0 and at most 1"),
    ],
)
def test_impossible_constants_are_refused(key: str, values: list[float], message: str) -> None:
    with pytest.raises(DataError) as caught:
        check_channel_values(key, values, 3, positive=key == "std")
    assert str(caught.value).startswith(message)
